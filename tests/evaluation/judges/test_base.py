"""Who a judge is."""

from typing import Annotated

from medft.config.section import Role
from medft.evaluation.judges.base import Judge, JudgeItem, Verdict


class Length(Judge):
    """Gives a point for each word."""

    name: str = "length"  # another default, the same kind of key
    points: int = 1
    server: Annotated[str, Role.PLACE] = "here"

    def prepare(self) -> "Length":
        return self

    def score(self, item: JudgeItem, repeat: int = 0) -> Verdict:
        return Verdict("scored", self.points * len(item.answer.split()))


def test_a_judge_is_another_where_its_scores_are_not_where_or_what_it_is_asked() -> None:
    judge = Length()
    assert judge.depends_on() == {"class": f"{__name__}.Length", "options": {"points": 1}}
    same = Length(name="b", limit=3, repeats=2, controls=5, controls_seed=1, concurrency=4, cache=False, server="there")
    assert same.identity() == judge.identity()
    assert Length(points=2).identity() != judge.identity()
