"""What pages share: templates that escape every text, and the words in which two texts differ."""

import re
from difflib import SequenceMatcher
from typing import Any

Marked = list[tuple[str, bool]]


def render_page(template: str, **values: Any) -> str:
    """A page from a template of `medft/report/templates`; a name that the template does not know is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("medft.report"), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    return environment.get_template(template).render(values)


def mark_differences(left: str, right: str) -> tuple[Marked, Marked]:
    """Both texts as pieces of (text, is only here); put together, the pieces are the texts.

    Words are compared without regard to case and punctuation.
    """
    words = re.findall(r"\S+\s*|\s+", left), re.findall(r"\S+\s*|\s+", right)
    bare = [[re.sub(r"\W+", "", word.lower()) or word.strip() for word in side] for side in words]
    blocks = SequenceMatcher(None, bare[0], bare[1], autojunk=False).get_matching_blocks()
    left_blocks, right_blocks = [(a, size) for a, _, size in blocks], [(b, size) for _, b, size in blocks]
    return _cut_into_pieces(words[0], left_blocks), _cut_into_pieces(words[1], right_blocks)


def _cut_into_pieces(words: list[str], shared: list[tuple[int, int]]) -> Marked:
    pieces: Marked = []
    done = 0
    for start, size in shared:
        pieces += [("".join(words[done:start]), True), ("".join(words[start : start + size]), False)]
        done = start + size
    return [piece for piece in pieces if piece[0]]
