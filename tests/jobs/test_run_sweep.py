"""What a sweep promises, with jobs that no process runs: who fails takes nobody along, a repeat runs what is left."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from medft.config.schema import Config
from medft.errors import InputError
from medft.jobs.plan import plan
from medft.jobs.process import Outcome
from medft.jobs.run_sweep import lock_sweep, run_sweep
from medft.runs.local_run import LocalRun
from tests.composed import TINY
from tests.jobs.fakes import FakeExecutor, finish, log_run
from tests.jobs.sweeps import jobs, parents

Run = Callable[[Config], Outcome | None]


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch, ready_store: Path) -> Callable[..., tuple[int, list[str]]]:
    """Runs a sweep whose jobs end as is said; returns the exit code and the labels of the jobs that were started."""

    def sweep(arguments: Sequence[str], run: Run = finish, outlives: bool = False) -> tuple[int, list[str]]:
        executor = FakeExecutor(run, outlives=outlives)
        monkeypatch.setattr("medft.jobs.run_sweep.make_executor", lambda config: executor)
        return run_sweep(plan([*TINY, *arguments], True), ["-m", *arguments]), executor.started

    return sweep


@pytest.mark.slow
def test_a_repeat_starts_only_jobs_that_have_not_finished_and_no_process_for_the_others(
    sweep: Callable[..., tuple[int, list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"

    def two_go_wrong(config: Config) -> Outcome:
        if config.seed == 2:
            return Outcome("failed", 1.0, "RuntimeError: out of luck")
        if config.seed == 3:
            log_run(config, "KILLED", exit_code="130", error="interrupted")
            return Outcome("killed", 1.0, "interrupted")
        return finish(config)

    code, started = sweep(["seed=1,2,3,4"], two_go_wrong)
    out = capsys.readouterr().out
    assert (code, started) == (1, ["seed=1", "seed=2", "seed=3", "seed=4"])
    first = jobs(root)
    statuses = {label: run.info.status for label, run in first.items()}
    assert statuses == {"seed=1": "FINISHED", "seed=2": "FAILED", "seed=3": "KILLED", "seed=4": "FINISHED"}
    assert "FAILED: seed=2: RuntimeError: out of luck" in out
    assert "seed=2" in out.split("    alone:    medft train ")[1].splitlines()[0]
    assert "2 of 4 jobs did not finish; the same command again runs only these" in out
    (parent,) = parents(root)
    assert (parent.info.status, parent.info.run_name) == ("FAILED", "seed")
    assert {run.data.tags["mlflow.parentRunId"] for run in first.values()} == {parent.info.run_id}
    assert {label: run.data.tags["seed"] for label, run in first.items()} == {f"seed={n}": str(n) for n in (1, 2, 3, 4)}
    note = parent.data.tags["mlflow.note.content"]
    assert note.index("| seed=4 |") < note.index("| seed=1 |"), "the best first"
    own = parent.data.tags["medft.id"]
    assert f"/runs?searchFilter=tags.%60medft.parent%60%20%3D%20%27{own}%27&orderByKey=" in note

    # more values are the same sweep
    code, started = sweep(["seed=1,2,3,4,5"])
    out = capsys.readouterr().out
    assert (code, started) == (0, ["seed=2", "seed=3", "seed=5"])
    assert [out.count(f"seed={seed}: done earlier, test/bits_per_byte") for seed in (1, 2, 4)] == [1, 0, 1]
    assert [run.info.status for run in parents(root)] == ["FINISHED"]
    assert jobs(root)["seed=1"].info.run_id == first["seed=1"].info.run_id

    assert sweep(["seed=1,2,3,4,5"]) == (0, [])
    code, started = sweep(["seed=1,2", "sweep.fresh=true"])
    assert (code, started) == (0, ["seed=1", "seed=2"])
    assert len(parents(root)) == 2


@pytest.mark.slow
def test_other_data_or_another_config_make_a_finished_job_run_again(
    sweep: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    rows = [f"What is illness number {number}?,It is the one of number {number}" for number in range(30)]
    data.write_text("\n".join(["instruction,output", *rows]))
    settings = ["dataset=alpaca", f"dataset.path={data}", "dataset.size=null", "seed=1,2"]
    assert sweep(settings) == (0, ["seed=1", "seed=2"])
    assert sweep(settings) == (0, [])
    data.write_text("\n".join(["instruction,output", *rows[::-1], "What is new?,This"]))
    assert sweep(settings) == (0, ["seed=1", "seed=2"])
    data.unlink()
    assert sweep(settings, lambda config: Outcome("failed", 1.0, "no data"))[1] == ["seed=1", "seed=2"]
    data.write_text("\n".join(["instruction,output", *rows[::-1], "What is new?,This"]))
    assert sweep(settings)[1] == [], "who could not look has taken nothing away"
    run = LocalRun(Path(jobs(tmp_path / "root")["seed=1"].data.tags["output_dir"]))
    run.set_tags({"config_hash": "another"})
    assert sweep(settings) == (0, ["seed=1"])


def test_a_sweep_that_runs_is_not_run_twice_and_every_job_is_frozen_before_the_first_starts(
    sweep: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    seen: list[tuple[set[str], str]] = []

    def look(config: Config) -> Outcome:
        frozen = {path.parent.name for path in (tmp_path / "root").rglob("job.yaml")}
        with pytest.raises(InputError) as caught:
            sweep(["seed=1,2"])
        seen.append((frozen, str(caught.value)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(["seed=1,2"], look)
    (frozen, message), = seen  # fmt: skip
    assert frozen == {"seed=1", "seed=2"}
    assert message.startswith("this sweep is running already, in another process")
    assert [run.info.status for run in parents(tmp_path / "root")] == ["KILLED"]
    config = plan(TINY, False).configs[0]
    with lock_sweep(config, "a"), lock_sweep(config, "b"), lock_sweep(config, "a", "search"):
        pass


def test_an_interrupt_while_a_sweep_begins_waits_for_nothing(
    sweep: Callable[..., tuple[int, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> dict[str, str]:
        raise KeyboardInterrupt

    def wait(*_: object) -> bool:
        raise AssertionError("for a courier that was never started")

    monkeypatch.setattr("medft.runs.sweeps.collect_code_tags", interrupt)
    monkeypatch.setattr("medft.runs.sweeps.Courier.close", wait)
    with pytest.raises(KeyboardInterrupt):
        sweep(["seed=1,2"])
