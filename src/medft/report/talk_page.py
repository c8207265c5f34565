"""The page of `medft serve`: a question to the model before and after fine-tuning, and blind marks.

It loads its style and its script from the server that it comes from, and nothing else.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from medft.report.html import render_page


def render_talk(
    title: str, settings: Mapping[str, Any], missing: Mapping[str, str], questions: Sequence[str], login: str
) -> str:
    """The page as HTML.

    Args:
        settings: of answers, `generation.*`.
        missing: why a part of the page is not there, by `before` and `marks`.
        questions: test questions to choose from.
        login: the name that marks have unless another is typed.
    """
    return render_page("talk.html", title=title, settings=settings, missing=missing, questions=questions, login=login)


def read_asset(name: str) -> str:
    """A style or script that belongs to the page."""
    return files("medft.report").joinpath("templates", name).read_text(encoding="utf-8")
