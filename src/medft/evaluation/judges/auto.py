"""`judge=auto`: Ollama if it is there, else nobody, said in one line."""

from typing import Self

from medft.console import say
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.ollama import Ollama


class Auto(Ollama):
    """Ollama where it answers on its host and has the model."""

    def prepare(self) -> Self | None:
        """Itself when ready, else None."""
        try:
            return super().prepare()
        except JudgeUnavailable as reason:
            say(f"no judge: {reason}. The run can be judged later: medft judge run=<id>")
            return None
