"""`judge=none`: nobody judges."""

from typing_extensions import override

from medft.evaluation.judges.base import Judge, JudgeItem, Verdict


class NoJudge(Judge):
    """No judge; `medft judge run=<id> judge=ollama` can still judge the run later."""

    @override
    def prepare(self) -> None:
        return None

    @override
    def score(self, item: JudgeItem, repeat: int = 0) -> Verdict:
        return Verdict("failed", failure="judge=none")
