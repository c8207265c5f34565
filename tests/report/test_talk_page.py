"""The page of `medft serve`: texts stay texts, and what is missing is said."""

from medft.report.talk_page import read_asset, render_talk
from tests.report.test_run_page import EVIL, Page

SETTINGS = {"max_new_tokens": 64, "do_sample": True, "temperature": 1.0}


def test_what_is_shown_is_text() -> None:
    html = render_talk(f"a {EVIL}", SETTINGS, {"before": EVIL}, [EVIL, "痛风?"], EVIL)
    page = Page(html)
    assert page.tags.count("script") == 1
    assert page.attributes["src"] == ["talk.js"]
    assert "img" not in page.tags
    assert page.text.count(EVIL.strip()) == 4  # title, heading, why, question
    assert EVIL in page.attributes["value"]
    assert "痛风?" in page.text


def test_settings_have_fields_of_their_kind_and_what_is_missing_has_a_reason() -> None:
    html = render_talk("a run", SETTINGS, {"marks": "no answers from before"}, [], "me")
    assert '<input type="number" name="max_new_tokens" value="64" min="0" step="1" required>' in html
    assert '<input type="checkbox" name="do_sample" checked>' in html
    assert 'name="temperature" value="1.0" min="0" step="any"' in html
    assert "There is nothing to mark: no answers from before." in html
    assert 'id="pick"' not in html
    assert 'id="before"' in html


def test_no_text_of_a_model_becomes_html() -> None:
    script = read_asset("talk.js")
    assert "innerHTML" not in script
    assert "insertAdjacentHTML" not in script
