"""`judge.prompt`: the text that asks a language model for a score."""

import hashlib
import re
from string import Template
from typing import Annotated

from pydantic import Field, field_validator

from medft.config.section import Component
from medft.evaluation.judges.base import JudgeItem

_PLACES = {"question", "expected", "answer"}
_TAG = re.compile(r"</(\w+)>")


class JudgePrompt(Component):
    """`judge.prompt`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
    version: Annotated[int, Field(ge=1)]
    text: str

    @field_validator("text")
    @classmethod
    def _has_all_places(cls, text: str) -> str:
        template = Template(text)
        if not template.is_valid() or set(template.get_identifiers()) != _PLACES:
            raise ValueError("must have $question, $expected and $answer, and no other $ (write $$ for a dollar)")
        return text

    @property
    def label(self) -> str:
        """Name and version, such as `rubric-1`."""
        return f"{self.name}-{self.version}"

    @property
    def digest(self) -> str:
        """SHA-256 (16 hex digits) of the text: a changed text is another prompt, whatever its version says."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def render(self, question: str, item: JudgeItem) -> str:
        """The prompt for one item; `question` as the judge wants it put.

        A text that spells the prompt's own tags could end its part of the prompt: there they stand in other brackets.
        """
        tags = "|".join(map(re.escape, sorted(set(_TAG.findall(self.text)))))
        texts = {"question": question, "expected": item.expected, "answer": item.answer}
        if tags:
            texts = {name: re.sub(f"<(/?(?:{tags}))>", r"[\1]", text) for name, text in texts.items()}
        return Template(self.text).substitute(texts)
