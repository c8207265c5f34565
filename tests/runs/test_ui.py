"""A sweep in MLflow's own pages, as a person with a browser sees it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.sweeps import jobs, parents, sweep

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync")  # fmt: skip
# and wait until it is drawn
SCROLL = "(it, top) => new Promise(end => (it.scrollTop = top, setTimeout(() => requestAnimationFrame(end))))"
METRIC = "test/bits_per_byte"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The only one; before the sweep, so that a missing browser costs nothing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: no browser to look with")
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: no browser to look with")
    with api.sync_playwright() as started:
        yield started.chromium.launch(executable_path=CHROMIUM, chromium_sandbox=False, args=FLAGS)


@pytest.fixture(scope="module")
def root(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a sweep of 2 x 2 jobs has run."""
    place = tmp_path_factory.mktemp("ui")
    code, out = sweep("dataset.max_length=64,128", "seed=1,2", "hydra.launcher.n_jobs=2",
                      MEDFT_ROOT=str(place), MEDFT_CACHE=str(place / "cache"))  # fmt: skip
    assert code == 0, out
    return place


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[str]:
    """The address of MLflow's pages of it, until the tests are done."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", "0", "--workers", "1",
               "--backend-store-uri", f"sqlite:///{root / 'mlruns' / 'mlflow.db'}",
               "--uvicorn-opts", "--no-access-log"]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            running = next((line for line in process.stderr if "running on http://" in line), "")
            assert running, "the server did not start"
            yield running.split("running on ")[1].split()[0]
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@pytest.fixture
def page(browser: Any, server: str) -> Iterator[Any]:
    """A tab of someone who has never been here."""
    context = browser.new_context(base_url=server, viewport={"width": 1600, "height": 1000})
    context.set_default_timeout(60_000)
    # MLflow's assistant would open over a part of the page at the first visit
    context.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
    yield context.new_page()
    context.close()


def row(page: Any, name: str) -> Any:
    """The part of a run's row that has its name."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def cells(page: Any, run: Any, column: str) -> Any:
    """What a run's row says in a column."""
    return page.locator(f'[row-id="{run.info.run_id}"] [col-id="{column}"]')


def first_column(table: Any) -> list[str]:
    """The names in a table of the page that compares."""
    return [line.split("\t")[0].strip() for line in table.get_by_role("row").all_inner_texts()]


def metric_names(page: Any) -> set[str]:
    """The same of its long table of metrics, of which only a part exists at a time."""
    names, values = page.get_by_role("grid").all()
    found: set[str] = set()
    for top in range(0, values.evaluate("it => it.scrollHeight"), 200):
        values.evaluate(SCROLL, top)
        found |= set(names.get_by_role("link").all_inner_texts())
    return found


def open_sweep(page: Any, root: Path) -> Any:
    """The table of runs with the sweep opened; its parent run."""
    (parent,) = parents(root)
    page.goto(f"/#/experiments/{parent.info.experiment_id}/runs")
    page.get_by_text("Model training", exact=True).click()
    row(page, parent.info.run_name).get_by_role("button").click()
    return parent


def test_a_sweep_is_one_row_that_opens_and_two_of_its_jobs_can_be_compared(page: Any, root: Path) -> None:
    parent = open_sweep(page, root)
    assert parent.info.run_name == "max_length x seed"
    labels = {f"max_length={length}, seed={seed}" for length in (64, 128) for seed in (1, 2)}
    for label in labels:
        row(page, label).wait_for()
    names = page.get_by_role("row").get_by_role("link").all_inner_texts()
    assert names[0] == parent.info.run_name
    assert sorted(names[1:]) == sorted(labels)

    for length in (64, 128):
        row(page, f"max_length={length}, seed=2").get_by_role("checkbox", name="row selection").check()
    page.get_by_role("button", name="Compare", exact=True).click()
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    about, settings, tags = (page.get_by_role("table").nth(number) for number in range(3))
    for length in (64, 128):
        about.get_by_text(f"max_length={length}, seed=2").wait_for()
    assert "seed" in first_column(settings)
    for section in ("Parameters", "Metrics", "Tags"):
        page.get_by_role("switch", name=f"{section} - Show diff only").click()
    settings.get_by_text("audit.seed").wait_for(state="hidden")
    assert first_column(settings) == ["dataset.max_length"]
    assert {"max_length", "command"} <= set(first_column(tags))
    assert not {"seed", "git.commit", "device"} & set(first_column(tags))
    assert METRIC in metric_names(page)


def test_swept_keys_and_metrics_can_be_made_columns(page: Any, root: Path) -> None:
    open_sweep(page, root)
    page.get_by_role("button", name="Columns", exact=True).click()
    tree = page.get_by_test_id("column-selector-tree")
    # the whole text of an entry: the parameter is dataset.max_length, and metrics have _ci_low beside them
    for name in ("max_length", METRIC):
        page.get_by_placeholder("Search columns").fill(name)
        tree.locator("span", has_text=re.compile(f"^{name}$")).last.click()
    page.keyboard.press("Escape")
    for run in jobs(root).values():
        assert cells(page, run, "tags.`max_length`").inner_text() == run.data.tags["max_length"]
        shown = cells(page, run, f"metrics.`{METRIC}`").inner_text()
        assert float(shown.rstrip("…")) == pytest.approx(run.data.metrics[METRIC], abs=1e-3)


def test_the_sweeps_view_has_its_jobs_the_best_first_with_what_was_swept(page: Any, root: Path) -> None:
    (parent,) = parents(root)
    page.goto(f"/#/experiments/{parent.info.experiment_id}/runs/{parent.info.run_id}")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="All jobs as a table, the best first").click()
    view = opened.value
    best_first = sorted(jobs(root).values(), key=lambda run: run.data.metrics[METRIC])
    for run in best_first:
        for key in ("max_length", "seed"):
            view.locator(f'[row-id="{run.info.run_id}"]').get_by_text(run.data.tags[key], exact=True).wait_for()
            assert cells(view, run, f"tags.`{key}`").inner_text() == run.data.tags[key]
    names = view.get_by_role("row").get_by_role("link").all_inner_texts()
    assert names == [run.info.run_name for run in best_first]
