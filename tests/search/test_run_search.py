"""What a search promises, with trials that no process runs."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="optuna is not installed: pip install 'medft[search]'")

import optuna
from optuna.trial import TrialState

from medft.config.schema import Config
from medft.jobs.plan import job_command
from medft.jobs.process import Outcome
from medft.jobs.scheduler import INTERRUPTED
from medft.runs.state import EXIT_CODE
from medft.runs.sweeps import find_job_run
from medft.search.plan import plan_search
from medft.search.run_search import run_search
from medft.search.study import SearchStudy
from tests.composed import TINY
from tests.jobs.fakes import FakeExecutor, log_run
from tests.jobs.sweeps import jobs, parents

Run = Callable[[Config], Outcome | None]
RANGES = "search.ranges={optimizer.lr: {low: 1e-4, high: 1.0, log: true}, dataset.batch_size: {choices: [4, 8]}}"
SETTINGS = (*TINY, RANGES, "search.trials=4", "search.sampler.startup_trials=2", "search.pruner.startup_trials=1")


def loss(config: Config) -> float:
    return abs(config.optimizer.lr - 0.01)


def log_losses(config: Config, losses: Sequence[float]) -> None:
    """What a trial that runs has logged."""
    run = find_job_run(config)
    assert run
    for step, value in enumerate(losses, start=1):
        run.log_metrics({"val/loss": value}, step)


def finish(config: Config) -> Outcome:
    log_run(config)
    log_losses(config, [2 * loss(config), loss(config), 1.5 * loss(config)])
    (config.paths.output / "checkpoints").mkdir()
    return Outcome("finished", 1.0)


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch, ready_store: Path) -> Callable[..., tuple[int, list[str]]]:
    """Runs a search whose trials end as is said; returns the exit code and the labels of those that were started."""

    def search(*arguments: str, run: Run = finish) -> tuple[int, list[str]]:
        executor = FakeExecutor(run)
        monkeypatch.setattr("medft.search.run_search.make_executor", lambda config: executor)
        return run_search(plan_search([*SETTINGS, *arguments]), arguments), executor.started

    return search


def trials(place: Path) -> list[Any]:
    """Those of the only study."""
    storage = f"sqlite:///{place / 'outputs' / 'search' / 'optuna.db'}"
    (name,) = optuna.get_all_study_names(storage)
    return list(optuna.load_study(study_name=name, storage=storage).trials)


def test_an_interrupted_trial_has_the_same_values_and_those_after_it_too() -> None:
    plan = plan_search([*SETTINGS, "search.trials=9"])

    def ask(storage: optuna.storages.BaseStorage, name: str, interrupt: int) -> list[dict[str, object]]:
        study = SearchStudy(storage, name, plan)
        for number in range(len(study.list_trials(TrialState.COMPLETE)), 9):
            trial = study.resume_trial(number) if study.list_trials(TrialState.RUNNING) else study.ask()
            if number == interrupt:
                break
            study.tell(trial, TrialState.COMPLETE, abs(trial.params["optimizer.lr"] - 0.01))
        return [trial.params for trial in study.list_trials()]

    whole, halves = optuna.storages.InMemoryStorage(), optuna.storages.InMemoryStorage()
    expected = ask(whole, "whole", interrupt=-1)
    assert len(ask(halves, "halves", interrupt=5)) == 6
    assert ask(halves, "halves", interrupt=-1) == expected
    assert len({json.dumps(params) for params in expected}) == 9


@pytest.mark.slow
def test_an_interrupted_search_goes_on_and_a_finished_one_has_nothing_to_do(
    search: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    def interrupt_at_the_third(config: Config) -> Outcome:
        if config.job.label.startswith("trial=2,"):
            raise KeyboardInterrupt
        return finish(config)

    root = tmp_path / "root"
    with pytest.raises(KeyboardInterrupt):
        search(run=interrupt_at_the_third)
    assert [trial.state.name for trial in trials(root)] == ["COMPLETE", "COMPLETE", "RUNNING"]
    assert parents(root)[0].info.status == "KILLED"
    code, started = search()
    assert (code, [label.split(",")[0] for label in started]) == (0, ["trial=2", "trial=3"])
    assert [trial.value for trial in trials(root)] == [
        abs(trial.params["optimizer.lr"] - 0.01) for trial in trials(root)
    ]
    tags = parents(root)[0].data.tags
    assert json.loads(tags["search.best.params"]) == min(trials(root), key=lambda trial: trial.value).params
    assert not list(root.rglob("checkpoints"))
    assert search() == (0, []), "nothing is left"


@pytest.mark.slow
def test_a_trial_whose_command_was_interrupted_is_no_failed_one(
    search: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    def interrupt(config: Config) -> Outcome:
        if not config.job.label.startswith("trial=1,"):
            return finish(config)
        log_run(config, "KILLED")
        (config.paths.output / "checkpoints").mkdir()
        return Outcome("killed", 1.0, INTERRUPTED)

    search("search.trials=2", run=interrupt)
    assert [trial.state.name for trial in trials(tmp_path / "root")] == ["COMPLETE", "RUNNING"]
    assert list((tmp_path / "root").rglob("checkpoints")), "it goes on from them"
    code, started = search("search.trials=2")
    assert (code, [label.split(",")[0] for label in started]) == (0, ["trial=1"])


def test_wrong_input_of_an_earlier_launch_is_not_of_this_one(
    search: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    def fail(config: Config) -> Outcome:
        log_run(config, "FAILED")
        run = find_job_run(config)
        assert run
        run.set_tags({EXIT_CODE: "2"})
        return Outcome("failed", 1.0, "wrong input")

    assert search("search.trials=1", run=fail)[0] == 2
    assert search("search.trials=2")[0] == 0


def test_the_best_of_an_experiment_that_is_a_sweep_is_trained_alone() -> None:
    planned = plan_search([*SETTINGS, "experiment=loss_on_response", "model=gpt2-nano", "dataset=sample"])
    assert planned.in_experiment and not plan_search(SETTINGS).in_experiment
    assert job_command(planned.own, planned.in_experiment).endswith(" hydra.mode=RUN")


def test_a_trial_that_falls_behind_is_given_up_and_one_that_fails_is_replaced(
    search: Callable[..., tuple[int, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(config: Config) -> Outcome | None:
        if config.job.label.startswith("trial=1,"):  # it runs, and is worse than the first
            log_run(config, "RUNNING")
            log_losses(config, [100.0])
            return None
        if config.job.label.startswith("trial=2,"):
            return Outcome("failed", 1.0, "out of luck")
        return finish(config)

    code, started = search("search.trials=3", run=run)
    out = capsys.readouterr().out
    assert (code, len(started)) == (0, 3)
    assert [trial.state.name for trial in trials(tmp_path / "root")] == ["COMPLETE", "PRUNED", "FAIL"]
    assert "pruned after 1 s, val/loss 100.0000: pruned at step 1: val/loss 100.0000 falls behind (median)" in out
    assert "FAILED: trial 2: out of luck" in out
    assert "1 of 3 trials are left" in out
    states = {label.split(",")[0]: run.data.tags["search.state"] for label, run in jobs(tmp_path / "root").items()}
    assert states == {"trial=0": "complete", "trial=1": "pruned", "trial=2": "fail"}
    code, started = search("search.trials=3")
    assert (code, [label.split(",")[0] for label in started]) == (0, ["trial=3"])
