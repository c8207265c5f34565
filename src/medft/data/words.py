"""The words of a text in any script; of Chinese and others that write no spaces between them the characters."""

import re
import unicodedata

import regex

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = regex.compile(rf"[{_UNSPACED}]\p{{M}}*|[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]+", regex.VERSION1)
_ASCII_WORD = re.compile("[a-z0-9]+")  # the same of ASCII, in a third of the time
_WITHOUT_SPACES = regex.compile(rf"[{_UNSPACED}]")


def split_words(text: str) -> list[str]:
    """Words in lower case, without punctuation; of ASCII the sequences of letters and digits."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return found


def lacks_spaces(text: str) -> bool:
    """Whether some of it is in a script that writes no spaces between words."""
    return _WITHOUT_SPACES.search(text) is not None
