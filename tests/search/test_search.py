"""Searches with real Optuna and real runs: what is found, given up, interrupted, repeated, and refused."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="optuna is not installed: pip install 'medft[search]'")

import optuna
from optuna.trial import TrialState

from medft.config.compose import compose_raw
from medft.config.paths import conf_dir
from medft.errors import InputError
from medft.runs.index import RunIndex
from medft.search.config import list_ends, read_search
from medft.search.plan import format_overrides, plan_search
from tests.composed import TINY
from tests.jobs.sweeps import finish, histories, jobs, parents, start, wait_for

# one rate that learns and one that breaks the model; with this seed they are drawn as good, bad, good
ARGUMENTS = (
    *TINY, "search.ranges={optimizer.lr: {choices: [2e-3, 1.0]}}", "search.trials=3", "search.sampler=random",
    "search.sampler.seed=7", "search.pruner.startup_trials=1", "scheduler.warmup_ratio=0", "trainer.max_epochs=3",
    "trainer.log_every_n_steps=50",
)  # fmt: skip
GOOD, BAD = "trial=0, lr=0.002", "trial=1, lr=1"


@dataclass
class Searched:
    """A search that was killed in its first trial, then repeated."""

    root: Path
    before: dict[str, str]  # ids
    code: int
    out: str

    @property
    def runs(self) -> dict[str, Any]:
        return runs_by_name(self.root)

    @property
    def study(self) -> optuna.Study:
        storage = f"sqlite:///{self.root / 'outputs' / 'search' / 'optuna.db'}"
        (name,) = optuna.get_all_study_names(storage)
        return optuna.load_study(study_name=name, storage=storage)


def start_search(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    places = {"MEDFT_ROOT": str(folder / "root"), "MEDFT_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return start("search", *arguments, **places)


def search(folder: Path, *arguments: str) -> tuple[int, str]:
    return finish(start_search(folder, *arguments))


def runs_by_name(root: Path) -> dict[str, Any]:
    """The runs there: the parent as `parent`, trials by label."""
    (parent,) = parents(root)
    return {"parent": parent, **jobs(root)}


def steps(root: Path, run: Any) -> list[int]:
    return [step for step, _ in histories(root, run)["val/loss"]]


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    folder = tmp_path_factory.mktemp("search")
    root = folder / "root"
    process = start_search(folder, *ARGUMENTS)
    wait_for(root, "outputs/search/*/*/checkpoints/last.ckpt", since=0, process=process)
    process.kill()
    process.communicate(timeout=60)
    before = {"parent" if entry.kind else entry.name: entry.run_id for entry in RunIndex(root).list_entries()}
    code, out = search(folder, *ARGUMENTS)
    return Searched(root, before, code, out)


@pytest.mark.slow
def test_a_killed_search_goes_on_with_the_same_trial_in_the_same_run(searched: Searched) -> None:
    assert searched.code == 0, searched.out
    assert "0 trials have ended, 1 were interrupted" in searched.out
    assert set(searched.before) == {"parent", GOOD}
    assert {name: searched.runs[name].data.tags["medft.id"] for name in searched.before} == searched.before
    (log,) = searched.root.glob("outputs/search/*/trial=0,*/job.log")
    assert "interrupted earlier: goes on from" in log.read_text()
    done = steps(searched.root, searched.runs[GOOD])
    assert len(done) == len(set(done)) == 3 * 4
    assert [trial.number for trial in searched.study.trials] == [0, 1, 2]


@pytest.mark.slow
def test_what_falls_behind_is_given_up(searched: Searched) -> None:
    good, bad, same = searched.study.trials
    assert [trial.state for trial in (good, bad)] == [TrialState.COMPLETE, TrialState.PRUNED]
    run = searched.runs[BAD]
    assert run.info.status == "KILLED"
    assert run.data.tags["error"].startswith("pruned at step ")
    assert run.data.tags["search.state"] == "pruned"
    assert 0 < len(bad.intermediate_values) < len(good.intermediate_values) == 3 * 4
    assert not list(searched.root.glob("outputs/search/*/*/checkpoints"))
    assert (same.state, same.value, same.params) == (TrialState.COMPLETE, good.value, good.params)
    assert len(searched.runs) == 4


@pytest.mark.slow
def test_the_best_is_told_and_kept(searched: Searched) -> None:
    root, parent = searched.root, searched.runs["parent"]
    history = searched.study.trials[0].intermediate_values
    assert searched.study.best_value == min(history.values())
    command = searched.out.split("train the best: ")[1].splitlines()[0]
    assert command.startswith("medft train ")
    assert command.endswith(" optimizer.lr=0.002")
    assert "generation.max_new_tokens=4" in command
    assert "evaluation.baseline" not in command, "the trials' savings are not for the final run"
    tags = parent.data.tags
    assert (parent.info.status, tags["medft.kind"], tags["search.best.trial"]) == ("FINISHED", "search", "0")
    assert tags["search.best.command"] == command
    assert json.loads(tags["search.best.params"]) == {"optimizer.lr": 0.002}
    assert tags["search.best.run_id"] == searched.runs[GOOD].data.tags["medft.id"]
    assert "| 0 | done |" in tags["mlflow.note.content"]
    assert list(root.glob("mlruns/artifacts/*/artifacts/optimization_history.png"))
    assert f"run {parent.data.tags['medft.id']}" in searched.out.splitlines()[-1]


@pytest.mark.slow
def test_a_repeat_has_nothing_to_do_and_a_fresh_search_begins_anew(searched: Searched) -> None:
    code, out = search(searched.root.parent, *ARGUMENTS)
    assert (code, ": started" in out) == (0, False), out
    assert "3 trials have ended, 0 were interrupted" in out
    code, out = search(searched.root.parent, *ARGUMENTS, "sweep.fresh=true", "launcher.time_limit=0.1")
    assert code == 1
    assert "FAILED: trial 0: took longer than launcher.time_limit=0.1 seconds" in out


@pytest.mark.slow
def test_wrong_input_that_only_a_trial_can_find_ends_with_2(tmp_path: Path) -> None:
    code, out = search(tmp_path, *TINY, "dataset.split.test=400", "search.trials=1")
    assert code == 2, out
    assert "FAILED: trial 0: InputError: " in out


def test_values_reach_the_config_to_the_last_digit() -> None:
    plan = plan_search([*TINY, "search.ranges={optimizer.lr: {low: 1e-5, high: 1e-3}, model: {choices: [gpt2]}}"])
    value = 0.1 + 0.2 - 1e-17
    config = compose_raw([*plan.fixed, *format_overrides({"optimizer.lr": value / 1000, "model": "gpt2"})])
    assert config.optimizer.lr == value / 1000
    for text in ("a b", "it's", "1e-3", "null", "a,b", "back\\slash"):
        assert compose_raw(format_overrides({"tracking.run_name": text})).tracking.run_name == text


@pytest.mark.slow
def test_one_search_is_known_again_and_others_are_not() -> None:
    plan = plan_search([*TINY])
    assert plan_search([*reversed(TINY), "search.trials=99", "launcher.n_jobs=2"]).identity == plan.identity
    assert plan_search([*TINY, "search.ranges.optimizer.lr.high=1e-2"]).identity != plan.identity
    assert plan_search([*TINY, "trainer.max_epochs=2"]).identity != plan.identity
    assert "dataset.batch_size" not in plan_search([*TINY, "dataset.batch_size=8"]).ranges
    assert plan.config.evaluation.baseline is False
    assert plan_search([*TINY, "evaluation.baseline=true"]).config.evaluation.baseline is True


def test_a_file_of_ones_own_says_only_what_differs(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("trials: 7\npruner: none\nranges:\n  optimizer.lr: {low: 1e-5, high: 1}\n")
    plan = plan_search([*TINY, "search=my.yaml"])
    assert (plan.settings.trials, plan.settings.pruner.name, plan.settings.sampler.name) == (7, "none", "tpe")
    assert list(plan.ranges) == ["optimizer.lr"]
    assert list_ends(plan.ranges["optimizer.lr"]) == [1e-5, 1.0]


@pytest.mark.parametrize("name", sorted(path.stem for path in (conf_dir() / "search").glob("*.yaml")))
def test_every_search_file_is_right(name: str) -> None:
    model = ["model=gpt2"] if name == "lora" else []
    plan = plan_search([f"search={name}", *model])
    assert plan.ranges.keys() == read_search(name, []).ranges.keys()
    assert plan.resource == 8


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("search.ranges.optimizer.lr.low=1", "search.ranges.optimizer.lr: low must be below high (got 1 and 0.005)"),
        ("search.ranges.optimizer.lr.low=0", "search.ranges.optimizer.lr: `low > 0` must hold for `log=True`"),
        ("search.ranges.optimizer.lr.up=1", "search.ranges.optimizer.lr.up: no such key"),
        ("search.ranges.optimizer.lrr.low=1", "search.ranges.optimizer.lrr: not among the ranges; there are"),
        ("search.ranges={}", "search.ranges: "),
        ("search.ranges={optimizer.lr: 3}", "search.ranges.optimizer.lr: must be {low: ..., high: ...} or {choices:"),
        ("search.ranges={optimizer.lrr: {low: 1, high: 2}}", "search.ranges.optimizer.lrr=1: optimizer.lrr: no"),
        ("search.ranges={dataset.batch_size: {low: 1.5, high: 2}}", "search.ranges.dataset.batch_size=1.5: dataset"),
        ("search.ranges={dataset.batch_size: {low: 1, high: 9, step: 3}}", "search.ranges.dataset.batch_size: The d"),
        ("search.ranges={scheduler.warmup_ratio: {low: 0, high: 2}}", "search.ranges.scheduler.warmup_ratio=2.0: "),
        ("search.ranges={scheduler: {choices: [cosine, step]}}", "search.ranges.scheduler=step: scheduler=step: "),
        ("search.ranges={scheduler: {choices: [cosine, cosine]}}", "search.ranges.scheduler: a choice stands"),
        ("search.ranges={dataset.dedup: {choices: [none, exact]}}", "search.ranges.dataset.dedup: val/loss"),
        ("search.ranges={evaluation.weights: {choices: [best, last]}}", "search.ranges.evaluation.weights: val"),
        ("search.ranges={paths.root_dir: {choices: [a, b]}}", "search.ranges.paths.root_dir: cannot be searched"),
        ("search.ranges={seed: {low: 1, high: 9}}", "search.ranges.seed: the luckiest seed says nothing"),
        ("search.metric=test/loss", "search.metric: test/loss is no metric of the validation rows. Settings chosen by"),
        ("search.metric=train/loss", "search.metric: train/loss is lowest for what learns the training rows by heart"),
        ("search.trials=0", "search.trials: must be greater than or equal to 1 (got 0)"),
        ("search.pruner=best", "search.pruner.name: must be 'median', 'hyperband' or 'none' (got 'best')"),
        ("search.storage=/tmp/x", "search.storage: "),
        ("search.nonsense=1", "search.nonsense: no such key"),
        ("search=nothing", "search=nothing: no such file; there are default, lora, or give a file of your own"),
        ("optimizer.lr=1e-3,1e-4", "optimizer.lr: one value here fixes it; what is searched"),
        ("optimizer.lr=interval(1,2)",
         "optimizer.lr: one value here fixes it; what is searched is given under search.ranges: "
         "'search.ranges={optimizer.lr: {low: 1, high: 2}}'"),
        ("launcher=ray", "launcher.n_jobs: a search needs a number"),
        ("search.ranges={launcher.n_jobs: {low: 1, high: 2}}", "search.ranges.launcher.n_jobs: cannot be searched"),
        ("search.ranges={optimizer.lr: {low: 0.1, high: 1, log: true, step: 0.1}}", "search.ranges.optimizer.lr: The"),
        ("dataset.size=-1", "dataset.size: must be greater"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_before_the_first_trial(override: str, line: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        plan_search([*TINY, override])
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "root").exists()
