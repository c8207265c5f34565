"""Wrong content on every surface; what once crashed is in `corpus/`.

`MEDFT_TEST_FUZZ=5000` tries so many contents for each surface.
"""

import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from medft.errors import MedftError
from tests.fuzz.surfaces import SURFACES, Surface

EXAMPLES = int(os.environ.get("MEDFT_TEST_FUZZ", "30"))
SLOW = ("rows", "overrides", "search", "prompts", "csv", "chat-template")  # half a second for each content
CORPUS = Path(__file__).parent / "corpus"
_PIECES = [
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b'"',
        b"'",
        b",",
        b";",
        b"\n",
        b"\r",
        b"{",
        b"}",
        b"[",
        b"]",
        b"${",
        b"$",
    ),
    *(b"%s", b"<", b">", b"&x;", b"null", b"NaN", b"-1", b"1e999", b"9" * 400, b"\\ud800", b"\xc3", b"=", b":", b"- "),
    *(b"!!python/name:os.system ", "\u75db".encode()),
]


@st.composite
def wrong_contents(draw: st.DrawFn, surface: Surface) -> bytes:
    """Anything at all; or a valid content with some places cut, doubled, or put in place of others."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = draw(st.sampled_from(surface.seeds))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(content)))
        end = min(len(content), begin + draw(st.sampled_from((0, 1, 1, 2, 8, 64, 1 << 20))))
        piece = draw(st.one_of(st.sampled_from(_PIECES), st.binary(max_size=4), st.just(content[begin:end] * 2)))
        content = content[:begin] + piece + content[end:]
    return content


def read(surface: Surface, content: bytes) -> None:
    try:
        surface.read(content)
    except MedftError as error:
        assert str(error).strip(), "an error without a word"


@pytest.mark.parametrize(
    "surface",
    [pytest.param(each, id=each.name, marks=[pytest.mark.slow] if each.name in SLOW else []) for each in SURFACES],
)
def test_wrong_content_is_refused_in_a_line(surface: Surface) -> None:
    began, count = time.monotonic(), 0

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        derandomize=EXAMPLES <= 30,
    )
    @given(wrong_contents(surface))
    def run(content: bytes) -> None:
        nonlocal count
        count += 1
        read(surface, content)

    run()
    print(f"{surface.name}: {count} contents in {time.monotonic() - began:.1f} s", file=sys.stderr)


@pytest.mark.parametrize("surface", SURFACES, ids=lambda surface: surface.name)
def test_what_is_valid_is_read(surface: Surface) -> None:
    for seed in surface.seeds[:1]:
        surface.read(seed)


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_once_crashed(file: Path) -> None:
    (surface,) = [each for each in SURFACES if each.name == file.parent.name]
    read(surface, file.read_bytes())
