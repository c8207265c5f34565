"""One answer while it is written: the same as all at once, in whole characters."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from medft.config.schema import Config
from medft.data.encode import decode_answer
from medft.data.tokenizer import Gpt2Tokenizer
from medft.evaluation import streaming
from medft.evaluation.generation import generate
from medft.evaluation.streaming import Written, stream_answer
from tests.evaluation.test_generation import TOKENIZER, network

END = TOKENIZER.end_token_id


@pytest.mark.parametrize("overrides", [(), ("generation=sample",), ("generation.repetition_penalty=1.3",)])
def test_what_is_streamed_is_what_is_written_at_once(tiny: Callable[..., Config], overrides: tuple[str, ...]) -> None:
    config = tiny(*overrides, "generation.max_new_tokens=12")
    model = network(config)
    model.generation_config.eos_token_id = generate(model, [[5, 6, 7]], config.generation, 1, 3)[0].token_ids[5]
    prompts = [[5, 6, 7], [8, 9], [5] * 1020, [5] * 1024]
    at_once = generate(model, prompts, config.generation, 1, 3)
    for number, (prompt, expected) in enumerate(zip(prompts, at_once, strict=True)):
        *parts, last = stream_answer(model, TOKENIZER, prompt, config.generation, 3, number)
        assert last == Written(decode_answer(expected.token_ids, TOKENIZER), len(expected.token_ids), True,
                               expected.hit_limit)  # fmt: skip
        assert [part.tokens for part in parts] == list(range(1, len(expected.token_ids) + 1))
        assert not any(part.has_ended for part in parts)


TEXT = " Die Grippe: 流感是一种病 🤒👩‍⚕️. Gute Besserung \u3000e\u0301 "


def test_characters_come_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = TOKENIZER.encode(TEXT)
    assert any("\ufffd" in TOKENIZER.decode([token]) for token in ids), "characters of several tokens are in it"
    monkeypatch.setattr(streaming, "iterate_tokens", lambda *_: iter([*ids, END]))
    fake = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=END))
    parts = list(stream_answer(fake, Gpt2Tokenizer(), [1], SimpleNamespace(), 0))
    for before, after in zip(parts, parts[1:], strict=False):
        assert after.text.startswith(before.text)
        assert "\ufffd" not in after.text
    assert parts[-1] == Written(TEXT.strip(), len(ids) + 1, True, False)
    assert any("流感" in part.text and "病" not in part.text for part in parts), "it comes bit by bit"


def test_bytes_that_are_no_character_come_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    half = TOKENIZER.encode("流")[:1]
    monkeypatch.setattr(streaming, "iterate_tokens", lambda *_: iter([*TOKENIZER.encode("ab"), *half]))
    fake = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=END))
    parts = list(stream_answer(fake, TOKENIZER, [1], SimpleNamespace(), 0))
    assert [part.text for part in parts[-2:]] == ["ab", "ab\ufffd"]
    assert parts[-1].hit_limit
