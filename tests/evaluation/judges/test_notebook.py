"""judge=notebook: the first users' prompt to the letter, and only a bare integer counts."""

from collections.abc import Callable

import pytest

from medft.config.schema import Config
from medft.evaluation.judges.base import JudgeItem
from tests.evaluation.judges.fake_ollama import chat, server

ITEM = JudgeItem("What is gout?", "Adults.", "A disease of the joints.", "A fish for $5.")


def test_the_prompt_is_that_of_the_notebook(compose: Callable[..., Config]) -> None:
    judge = compose("judge=notebook").judge
    assert judge.render(ITEM) == (
        "Given the input `Below is an instruction that describes a task. Write a response that appropriately completes "
        "the request.\n\n### Instruction:\nWhat is gout?\n\n### Input:\nAdults.` and correct output `A disease of the "
        "joints.`, score the model response `A fish for $5.` on a scale from 0 to 100, where 100 is the best score. "
        "Respond with the integer number only."
    )
    assert "### Input" not in judge.render(JudgeItem("What is gout?", "", "A disease.", "A fish."))


@pytest.mark.parametrize(
    ("reply", "score", "failure"),
    [
        ("85", 85, None),
        (" 85\n", 85, None),
        ("0", 0, None),
        ("Score: 85", None, "not an integer"),
        ("85/100", None, "not an integer"),
        ("8.5", None, "not an integer"),
        ("", None, "not an integer"),
        ("1_0", None, "not an integer"),
        ("٣", None, "not an integer"),
        ("850", None, "not from 0 to 100"),
        ("-5", None, "not from 0 to 100"),
        ("9" * 5000, None, "not an integer"),  # Python itself refuses so long a number
    ],
)
def test_only_an_integer_is_a_score(
    compose: Callable[..., Config], reply: str, score: int | None, failure: str | None
) -> None:
    with server(lambda *_: chat(reply)) as served:
        judge = compose("judge=notebook", "judge.model=m", f"judge.host={served.host}").judge
        judge.plan([ITEM])
        verdict = judge.score(ITEM)
        assert (verdict.score, verdict.failure, verdict.reply) == (score, failure, reply)
        assert len(served.chats) == 1  # the same request is not sent again
        assert served.chats[0].get("format") in (None, "")
        assert served.chats[0]["options"]["seed"] == 123
