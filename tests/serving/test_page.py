"""The page of `medft serve` in a real browser: both answers appear, ten are marked blind, nothing leaves loopback."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from medft.evaluation.judging.human import MARKS, read_marks
from medft.evaluation.predictions import read_jsonl
from tests.finished import THIRTY, Finished
from tests.processes import start

pytestmark = pytest.mark.slow
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FREE = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture
def made(finished: Callable[..., Finished], tmp_path: Path) -> Finished:
    return finished(*THIRTY).copied_to(tmp_path)


@pytest.fixture
def address(made: Finished) -> Iterator[str]:
    """Of a server, which has ended in good order when the test has."""
    served = start(
        "serve", f"run={made.config.paths.output}", "port=0", "generation.max_new_tokens=40", program="medft"
    )
    assert served.stdout is not None
    try:
        found = re.search(r"http://127\.0\.0\.1:\d+", served.stdout.readline())
        assert found, served.communicate(timeout=60)
        yield found[0]
        served.send_signal(2)
        assert served.wait(timeout=60) == 0, served.communicate()
    finally:
        served.kill()
        served.communicate()


@pytest.fixture
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no chromium on this machine")
    options = ["--disable-background-networking", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_question_is_asked_and_ten_answers_are_marked_blind(
    width: int, browser: Any, address: str, made: Finished
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.goto(address)
    assert page.evaluate(FREE), "the page is wider than the screen"
    assert page.locator("text=Nothing here is medical advice").count() == 1

    rows = read_jsonl(made.config.paths.output / "predictions.jsonl")
    page.select_option("#pick", "2")
    assert page.input_value("#question") == rows[2].instruction
    page.click("#more summary")
    page.fill("[name=max_new_tokens]", "4")
    page.click("#send")
    page.wait_for_selector("#send:not([disabled])")
    if page.locator("#before .remark").inner_text() != "an empty answer":
        assert page.locator("#before .text").inner_text().strip() == rows[2].scores("baseline").answer
    assert page.locator("#after .text").text_content() == rows[2].test.answer
    assert page.locator("#expected .text").text_content() == rows[2].expected
    assert page.evaluate(FREE)
    page.fill("#question", "流感是什么？")
    assert page.locator("#expected").is_hidden(), "it is no test question any more"
    page.fill("[name=max_new_tokens]", "900")
    page.keyboard.press("Enter")
    page.locator("#after .text", has_text=re.compile(".{20}")).wait_for()
    page.click("#stop")
    page.wait_for_selector("#send:not([disabled])")
    assert page.locator("#status").inner_text() == "stopped"
    page.fill("[name=top_p]", "2")
    page.click("#send")
    page.wait_for_selector("text=top_p=2: Input should be less than or equal to 1")

    page.click("#to-marks")
    page.fill("#who", "黄医生")
    page.press("#who", "Tab")
    for place in range(10):
        page.wait_for_selector("[data-better=left]:not([disabled])")
        page.click(f"[data-better={('left', 'right', 'equal')[place % 3]}]")
        page.wait_for_selector(f"text=/^{place + 1} of \\d+ marked by you/")
    page.wait_for_selector("#back:not([disabled])")
    page.click("#back")
    page.click("[data-better=equal]")
    page.wait_for_selector("[data-better=left]:not([disabled])")
    assert re.fullmatch(r"10 of \d+ marked by you", page.locator("#mark-status").inner_text())
    marks = read_marks(made.config.paths.output / MARKS)
    assert [mark.who for mark in marks] == ["黄医生"] * 10
    assert sum(mark.choice == "equal" for mark in marks) == 4
    assert page.evaluate(FREE)
    page.close()
    assert wrong == ["Failed to load resource: the server responded with a status of 400 (Bad Request)"]
    assert len(asked) > 20
    assert {urlsplit(url).hostname for url in asked if not url.startswith("data:")} == {"127.0.0.1"}
