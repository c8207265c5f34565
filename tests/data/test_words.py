"""Words are found in every script."""

from medft.data.words import split_words


def test_words_keep_their_accents_and_marks() -> None:
    assert split_words("naïve cafés, 5 µg/dL") == ["naïve", "cafés", "5", "μg", "dl"]
    assert split_words("हिन्दी भाषा") == ["हिन्दी", "भाषा"]
