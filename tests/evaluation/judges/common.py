"""What the tests of all judges that are language models begin with."""

from typing import Any

from medft.evaluation.judges.base import JudgeItem
from medft.evaluation.judges.prompt import JudgePrompt

ITEM = JudgeItem("What is gout?", "", "A disease of the joints.", "A fish.")
PROMPT = JudgePrompt(name="short", version=1, text="Q $question E $expected A $answer")
COMMON: dict[str, Any] = {
    "prompt": PROMPT,
    "load_timeout": 5.0,
    "attempts": 2,
    "backoff": 0.0,
    "temperature": 0.0,
    "seed": 1,
    "reply_tokens": 64,
}
