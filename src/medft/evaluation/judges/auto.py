"""`judge=auto`: Ollama if it is available, else no judge and one line that says why."""

from typing import Self

from typing_extensions import override

from medft.console import say
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.ollama import Ollama


class Auto(Ollama):
    """Ollama where it answers on its host and has the model."""

    @override
    def prepare(self) -> Self | None:
        try:
            return super().prepare()
        except JudgeUnavailable as reason:
            say(f"no judge: {reason}. The run can be judged later: medft judge run=<id>")
            return None
