"""`judge=none`: nobody judges."""

from medft.evaluation.judges.base import Judge, JudgeItem, Verdict


class NoJudge(Judge):
    """No judge; `medft judge run=<id> judge=ollama` can still judge the run later."""

    def prepare(self) -> None:
        """There is none."""

    def score(self, item: JudgeItem, repeat: int = 0) -> Verdict:
        """No score."""
        return Verdict("failed", failure="judge=none")
