"""The same command finds the run that was interrupted, whatever stage that was at, and leaves alone what it must."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from medft import experiment
from medft.cli.main import main
from medft.cli.train import train
from medft.config.schema import Config
from medft.errors import DamagedFile, InputError
from medft.evaluation.predictions import read_jsonl
from medft.experiment import run
from medft.files import write_checked
from medft.runs import recorder
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun, hold_folder
from medft.runs.resume import claim_run
from medft.runs.splits import read_splits
from medft.runs.state import CODE
from medft.runs.status import RESERVE, close_lost
from medft.runs.sweeps import open_sweep

STAGES = [
    pytest.param(stage, marks=() if stage == "fit" else pytest.mark.slow)
    for stage in ("write_audit", "_measure_baseline", "fit", "evaluate", "log_results", "log_model", "publish_report")
]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, stage: str, after: bool = False) -> None:
    real = getattr(experiment, stage)

    def interrupted(*arguments: Any, **settings: Any) -> Any:
        if after:
            real(*arguments, **settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, stage, interrupted)


def list_runs(tmp_path: Path) -> list[LocalRun]:
    return [LocalRun(Path(entry.folder)) for entry in RunIndex(tmp_path / "root").list_entries()]


@pytest.fixture
def new(tiny: Callable[..., Config], tmp_path: Path) -> Callable[..., Config]:
    """Each run in a folder of its own, as from the command line."""
    count = iter(range(100))
    return lambda *overrides: tiny(*overrides, f"paths.output_dir={tmp_path / 'root' / 'outputs' / str(next(count))}")


@pytest.mark.parametrize("stage", STAGES)
def test_the_same_command_goes_on_wherever_it_was_interrupted(
    new: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, whole: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        interrupt_at(patch, stage, after=stage == "fit")
        with pytest.raises(KeyboardInterrupt):
            run(new())
    (interrupted,) = list_runs(tmp_path)
    assert interrupted.state.status == "KILLED"
    assert f"medft train resume={interrupted.run_id}" in capsys.readouterr().err
    metrics = run(new())
    (finished,) = list_runs(tmp_path)
    assert (finished.run_id, finished.state.status) == (interrupted.run_id, "FINISHED")
    assert "error" not in finished.state.tags
    assert comparable(metrics) == comparable(whole["metrics"])
    assert [row.test for row in read_jsonl(finished.artifact("predictions.jsonl"))] == whole["answers"]
    curve = [(step, value) for step, value in finished.history("train/loss")]
    assert curve == whole["curve"]
    points = [each for each in finished.journal.read() if each.kind == "metrics" and "train/loss" in each.data]
    assert len(points) == len(curve), "a step was logged twice"


def test_a_run_that_was_killed_before_it_could_log_anything_goes_on(
    new: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "_log_setup", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(new())
    (begun,) = list_runs(tmp_path)
    assert CODE not in begun.state.tags
    run(new())
    (finished,) = list_runs(tmp_path)
    assert (finished.run_id, finished.state.status) == (begun.run_id, "FINISHED")
    assert CODE in finished.state.tags


def comparable(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if not name.startswith("cost/")}


@pytest.fixture(scope="session")
def whole(finished: Callable[..., Any]) -> dict[str, Any]:
    """A run that nothing has disturbed."""
    made = finished()
    folder = LocalRun(made.config.paths.output)
    answers = [row.test for row in read_jsonl(folder.artifact("predictions.jsonl"))]
    return {"metrics": made.metrics, "answers": answers, "curve": folder.history("train/loss")}


@pytest.fixture
def interrupted(new: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalRun:
    with monkeypatch.context() as patch:
        interrupt_at(patch, "fit", after=True)
        with pytest.raises(KeyboardInterrupt):
            run(new())
    return list_runs(tmp_path)[0]


def claimed(config: Config) -> str | None:
    with claim_run(config, read_splits(config)) as earlier:
        return earlier.run.run_id if earlier.run else None


def test_what_is_not_the_same_run_is_left_alone(
    interrupted: LocalRun,
    new: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert claimed(new()) == interrupted.run_id
    assert claimed(new("tracking.run_name=another", "trainer.log_every_n_steps=7")) == interrupted.run_id
    assert claimed(new("seed=7")) is None
    assert claimed(new("dataset.size=50")) is None
    assert claimed(new("resume=never")) is None
    with hold_folder(interrupted.folder):  # its process lives
        assert claimed(new()) is None
    monkeypatch.setattr("medft.runs.provenance._digest_source", lambda: "another")
    assert claimed(new()) is None
    assert f"had other code: begun anew; that one stays in {interrupted.folder}" in capsys.readouterr().out
    assert (interrupted.folder / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
def test_a_run_goes_on_in_the_precision_that_another_machine_began_with(
    new: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    auto = "trainer.precision=auto"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    with monkeypatch.context() as patch:
        interrupt_at(patch, "fit", after=True)
        with pytest.raises(KeyboardInterrupt):
            run(new(auto))
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    config = new(auto)
    with claim_run(config, read_splits(config)) as earlier:
        assert earlier.run is not None
        assert earlier.run.card["precision"] == earlier.run.state.tags["precision"] == "bf16-mixed"
        assert earlier.run.state.params["trainer.precision"] == "bf16-mixed"
        assert earlier.config.trainer.precision == "bf16-mixed"
        run_id = earlier.run.run_id
    for asked in (f"resume={run_id}", f"trainer.resume_from={earlier.config.trainer.resume_from}"):
        assert claimed(new(auto, asked)) == run_id
        assert claimed(new("trainer.precision=bf16-mixed", asked)) == run_id
        with pytest.raises(InputError, match="had other settings"):
            claimed(new("trainer.precision=32-true", asked))
    run(new(auto))
    assert earlier.run.state.status == "FINISHED"


def test_after_a_finished_run_the_command_starts_anew_and_says_so(
    interrupted: LocalRun, new: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    run(new())
    assert claimed(new()) is None
    assert f"done before, as run {interrupted.run_id} ({interrupted.folder}): begun anew" in capsys.readouterr().out


def test_a_run_that_was_killed_while_it_was_delivered_is_not_begun_anew(
    interrupted: LocalRun, new: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = run(new())
    (interrupted.folder / RESERVE).write_bytes(b"0")  # goes last; it never had a checkpoint if it was short
    assert run(new()).items() >= metrics.items()
    assert f"finished already (run {interrupted.run_id}), and killed before it said so" in capsys.readouterr().out
    assert not (interrupted.folder / RESERVE).exists()
    assert claimed(new()) is None


def test_a_run_can_be_resumed_by_its_id_and_no_other(interrupted: LocalRun, new: Callable[..., Config]) -> None:
    assert claimed(new(f"resume={interrupted.run_id}")) == interrupted.run_id
    with pytest.raises(InputError, match="the interrupted run had other settings"):
        claimed(new(f"resume={interrupted.run_id}", "seed=7"))
    with pytest.raises(InputError, match="resume=nothing: no such run"):
        claimed(new("resume=nothing"))


def test_the_last_interrupted_run_goes_on_without_its_command(
    interrupted: LocalRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "resume=last", "seed=3"]) == 2
    assert "resume=last goes on with a run as it was" in capsys.readouterr().err
    assert main(["train", "resume=last"]) == 0
    assert interrupted.state.status == "FINISHED"
    assert f"results:       {interrupted.folder} (run {interrupted.run_id})" in capsys.readouterr().out
    assert main(["train", f"resume={interrupted.run_id[:8]}"]) == 2
    assert "this run has finished" in capsys.readouterr().err
    assert main(["train", "resume=last"]) == 2
    assert "no run here was interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("logged", "asked", "typed"),
    [
        ("medft train -m seed=1,2", ["paths.root_dir=there"], ["train", "-m", "seed=1,2", "paths.root_dir=there"]),
        ("medft train -m seed=1,2 paths.root_dir=there", ["paths.root_dir=there"], None),
        ("medft search search.storage=postgresql://me:***@host/db", [], "its password is not known here; repeat the"),
    ],
)
def test_a_sweep_goes_on_where_it_was(
    logged: str, asked: list[str], typed: list[str] | str | None, compose: Callable[..., Config],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    sweep = open_sweep(compose(*asked), "identity", Path("sweep").resolve())
    sweep.begin("mine", ["seed"], logged)
    sweep.close("KILLED", "")
    started: list[list[str]] = []
    monkeypatch.setattr("medft.cli.main.main", lambda words: (started.append(words), 0)[1])
    if isinstance(typed, str):
        with pytest.raises(InputError, match=typed):
            train(["resume=last", *asked])
        return
    assert train(["resume=last", *asked]) == 0
    assert started == [typed or logged.split()[1:]]


def test_a_damaged_checkpoint_is_not_used(
    interrupted: LocalRun, new: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    last = interrupted.folder / "checkpoints" / "last.ckpt"
    previous = last.with_name("previous.ckpt")
    assert previous.is_file()
    flip(last)
    with claim_run(new(), read_splits(new())) as earlier:
        assert earlier.config.trainer.resume_from == str(previous)
    assert (
        f"{last}: is not what was written (the disk, or an editor): previous.ckpt is taken" in capsys.readouterr().err
    )
    flip(previous)
    with pytest.raises(DamagedFile, match="ckpt: is not what was written .* resume=never starts anew"):
        claimed(new())
    assert claimed(new("resume=never")) is None


def test_damaged_best_weights_are_not_used(interrupted: LocalRun, new: Callable[..., Config]) -> None:
    flip(interrupted.folder / "checkpoints" / "best.safetensors")
    with pytest.raises(DamagedFile, match=r"best.safetensors: is not what was written"):
        run(new())


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_the_one_before_is_whole_until_the_next_is(tmp_path: Path) -> None:
    """Killed between any two steps of writing a checkpoint, one that is as it was written is there."""
    from medft.training.checkpoints import find_checkpoint

    folder = tmp_path / "checkpoints"
    for content in ("first", "second", "third"):
        with write_checked(folder / "last.ckpt", keep=folder / "previous.ckpt") as partial:
            partial.write_text(content)
    assert [(folder / name).read_text() for name in ("last.ckpt", "previous.ckpt")] == ["third", "second"]
    with (
        pytest.raises(KeyboardInterrupt),
        write_checked(folder / "last.ckpt", keep=folder / "previous.ckpt") as partial,
    ):
        partial.write_text("half")
        raise KeyboardInterrupt
    assert find_checkpoint(tmp_path) == folder / "last.ckpt"
    (folder / "last.ckpt").unlink()  # killed between the two renames
    assert find_checkpoint(tmp_path) == folder / "previous.ckpt"


def test_lost_runs_of_this_machine_are_closed_at_the_next_start(
    interrupted: LocalRun, new: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = LocalRun.create(new(), tmp_path / "started", "a run", {})
    interrupted.set_status("RUNNING")  # as after SIGKILL
    with hold_folder(interrupted.folder):  # its process lives
        close_lost(new(), started)
    assert interrupted.state.status == "RUNNING"
    with monkeypatch.context() as patch:
        patch.setattr("platform.node", lambda: "another machine")
        close_lost(new(), started)
    assert interrupted.state.status == "RUNNING"
    close_lost(new(), started)
    assert interrupted.state.status == "KILLED"
    assert interrupted.state.error == "its process ended without a word"
    assert started.state.status == "RUNNING"


def test_config_yaml_is_what_was_run(interrupted: LocalRun) -> None:
    logged = yaml.safe_load(interrupted.artifact("config.yaml").read_text())
    assert logged["dataset"]["size"] == 60 and logged["resume"] == "auto"
