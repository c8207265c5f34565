"""Web left-overs go, text stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medft.data.readers.medquad import clean_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Uric  acid\n\n and\tcrystals. ", "Uric acid and crystals."),
        ("<p>One.</p><p>Two.</p>", "One. Two."),
        ("line<br/>break<br>again", "line break again"),
        ("H<sub>2</sub>O and 10<sup>9</sup>", "H2O and 109"),
        ("a <b>bold</b><i>er</i> word", "a bolder word"),
        ('<a href="https://x.org" target=_blank>link</a>', "link"),
        ("<ul><li>one</li><li>two</li></ul>", "one two"),
        ("pain &amp; fever &lt; 38&nbsp;&deg;C", "pain & fever < 38 °C"),
        ("written out: &amp;lt;b&amp;gt;", "written out: &lt;b&gt;"),
        ("p <0.05 and x > 3, if a<b then c>d", "p <0.05 and x > 3, if a<b then c>d"),
        ("<script>alert(1)</script>text<!-- note -->", "text"),
        ("<STYLE type=x>p {}</STYLE> T", "T"),
        ("a <!-- never closed", "a <!-- never closed"),
        ("<script>x</script>a<script>y</SCRIPT >b<script>c", "a b<script>c"),
        ("soft\u00adhyphen zero\u200bwidth \ufeffmark\x00", "softhyphen zerowidth mark"),
        ("a\u00a0b\u2003c", "a b c"),
        ("<patient> and <3 months>", "<patient> and <3 months>"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean_text(text) == expected


@given(st.text(st.characters(categories=("L", "N", "P", "Zs"), exclude_characters="<&")))
def test_plain_text_loses_nothing_but_white_space(text: str) -> None:
    assert clean_text(text) == " ".join(text.split())


@given(st.text(alphabet="<>/abp &;!-script\n"))
def test_never_fails_and_leaves_no_run_of_white_space(text: str) -> None:
    assert "  " not in clean_text(text)
