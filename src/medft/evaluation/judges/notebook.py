"""`judge=notebook`: the first users' notebook as it asked llama3, for comparison with their figures.

Its prompt and its way of asking are those of S. Raschka, "Build a Large Language Model (From Scratch)" (Manning 2024),
chapter 7.8, `generate_model_scores`: free text, and the reply has to be an integer and nothing else.
"""

import re
from typing import Any, ClassVar

from typing_extensions import override

from medft.evaluation.judges.base import JudgeItem, Verdict
from medft.evaluation.judges.language_model import InvalidReply
from medft.evaluation.judges.ollama import Ollama

_QUESTION = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}"
)


class Notebook(Ollama):
    """Any reply that is not an integer has no score, as there. What differs: an integer outside 0 to 100 has none
    either, failures are counted, and a prompt that the server would truncate (there silently, at 2,048 tokens) is
    `too_long`.
    """

    asks_again: ClassVar[bool] = False

    @override
    def render(self, item: JudgeItem) -> str:
        question = _QUESTION.format(instruction=item.instruction)
        return self.prompt.render(question + (f"\n\n### Input:\n{item.input}" if item.input else ""), item)

    @override
    def reply_schema(self) -> dict[str, Any] | None:
        return None

    @override
    def read(self, text: str) -> Verdict:
        if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", text, re.ASCII):
            raise InvalidReply("not an integer", text)
        if not 0 <= int(text) <= 100:
            raise InvalidReply("not from 0 to 100", text)
        return Verdict("scored", int(text), reply=text)
