"""A whole run in seconds: what MLflow holds afterwards, and that it can be repeated."""

import json
import math
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

import medft
from medft import experiment
from medft.cli.main import main
from medft.comparison.metrics import COSTS
from medft.config.schema import Config
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import InputError, TrackerUnavailable
from medft.evaluation.judges.none import NoJudge
from medft.evaluation.predictions import read_jsonl
from medft.experiment import run
from medft.metrics import registry
from medft.runs.local_run import LocalRun, read_local_run
from medft.runs.record import read_record
from medft.runs.splits import read_splits
from medft.runs.status import is_same_job
from tests.composed import TINY
from tests.evaluation.judges.fake_ollama import scored, server
from tests.finished import THIRTY, Finished, mlflow_id
from tests.model.small import fill_hub_cache

SIDE = {name for name, metric in registry.METRICS.items() if metric.is_installed}
METRICS = (
    {"train/loss", "train/lr", "train/grad_norm", "val/loss", "reference/unigram_loss"}
    | {f"{side}/{name}" for side in ("baseline", "test") for name in SIDE}
    | {f"difference/{name}" for name in SIDE if not registry.METRICS[name].function_of}
    | {f"cost/{name}" for name in [*COSTS, "mfu"]}
)


def logged(config: Config) -> tuple[Any, mlflow.MlflowClient, Path]:
    """The MLflow run of a config's output folder, a client, and its artifacts."""
    facts = json.loads((config.paths.output / "run.json").read_text())
    client = mlflow.MlflowClient(facts["tracking_uri"])
    found = client.get_run(mlflow_id(config.paths.output))
    assert found.data.tags["medft.id"] == facts["run_id"]
    assert found.data.tags["config_hash"] == facts["config_hash"]
    return found, client, Path(found.info.artifact_uri.removeprefix("file://"))


def test_everything_is_in_one_run(finished: Callable[..., Finished]) -> None:
    made = finished(*THIRTY)
    config, metrics = made.config, made.metrics
    found, client, artifacts = logged(config)
    assert found.info.status == "FINISHED"
    assert len(client.search_runs([found.info.experiment_id])) == 1
    logged_keys = set(found.data.metrics)
    assert {key for key in logged_keys if not key.endswith(("_ci_low", "_ci_high", "_p"))} == METRICS
    means = {key for key in METRICS if key.startswith(("baseline/", "test/", "difference/", "reference/"))}
    assert {f"{key}_ci_{end}" for key in means for end in ("low", "high")} < logged_keys
    assert {f"{key}_p" for key in means if key.startswith("difference/")} < logged_keys
    assert found.data.metrics["test/loss"] == pytest.approx(metrics["test/loss"])
    assert found.data.metrics["test/loss"] < found.data.metrics["baseline/loss"]
    steps = [point.step for point in client.get_metric_history(found.info.run_id, "val/loss")]
    assert len(steps) == 3
    assert found.data.params["dataset.size_used"] == "60"
    assert found.data.params["model.shape.n_embd"] == "16"
    tags = found.data.tags
    assert tags["who"] == "me"
    assert tags["leaking"] == "false"
    assert tags["device"] == "cpu"
    assert re.fullmatch(r"[0-9a-f]{64}", tags["dataset.fingerprint"])
    assert {"version.torch", "version.transformers", "output_dir", "cuts.train.answers_cut"} <= set(tags)
    assert {each.dataset.name for each in found.inputs.dataset_inputs} == {
        "sample-train", "sample-validation", "sample-test",
    }  # fmt: skip
    assert {path.name for path in artifacts.iterdir()} == {
        "audit.json", "audit.png", "config.yaml", "split.json",
        "loss_curves.png", "predictions.jsonl", "predictions.json", "probes.json", "report.html", "model",
    }  # fmt: skip
    assert artifacts.is_relative_to(made.place / "root" / "mlruns" / "artifacts")
    last = made.printed.splitlines()
    assert last[-2] == f"read:          {config.paths.output}/report.html"
    assert last[-1].startswith(f"results:       {config.paths.output} (run {made.run_id})")
    assert f"mlflow ui --backend-store-uri sqlite:///{made.place / 'root' / 'mlruns' / 'mlflow.db'}" in last[-4]


def test_a_training_that_diverges_is_called_so(
    finished: Callable[..., Finished], capsys: pytest.CaptureFixture[str]
) -> None:
    made = finished(*THIRTY, "optimizer.lr=1e30", "scheduler=constant", "evaluation.weights=last")
    assert not math.isfinite(made.metrics["test/loss"])
    assert {key for key in made.metrics if key.startswith(("test/loss_", "difference/loss_"))} == set()
    assert "the training diverged: test/loss is not a number" in capsys.readouterr().err
    row = next(line for line in made.printed.splitlines() if "bits_per_byte" in line)
    assert "nan" in row and "0.00" not in row and "[-" not in row
    state = read_local_run(made.config.paths.output).state
    assert (state.status, state.outcome) == ("FINISHED", "DIVERGED")
    capsys.readouterr()
    assert main(["runs", f"paths.root_dir={made.place / 'root'}"]) == 0
    assert "diverged" in capsys.readouterr().out


def test_artifacts_hold_what_they_say(finished: Callable[..., Finished]) -> None:
    config = finished(*THIRTY).config
    _, _, artifacts = logged(config)
    split = json.loads((artifacts / "split.json").read_text())
    rows = read_jsonl(artifacts / "predictions.jsonl")
    assert [row.id for row in rows] == split["test"]
    assert not set(split["test"]) & set(split["train"])
    notebook = json.loads((artifacts / "predictions.json").read_text())
    assert [row["model_response"] for row in notebook] == [row.test.answer for row in rows]
    assert set(notebook[0]) == {"instruction", "input", "output", "model_response"}
    assert rows[0].baseline is not None
    assert "rougeL" in rows[0].test.values
    probes = json.loads((artifacts / "probes.json").read_text())
    assert set(probes) == {"before", "after"}
    assert (artifacts / "loss_curves.png").read_bytes().startswith(b"\x89PNG")

    network = AutoModelForCausalLM.from_pretrained(artifacts / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(artifacts / "model")
    assert tokenizer.encode("What is gout?") == Gpt2Tokenizer().encode("What is gout?")
    nats, tokens = 0.0, 0
    from medft.data.encode import encode_examples

    for row in encode_examples(read_splits(config).test, Gpt2Tokenizer(), "alpaca"):
        ids = torch.tensor([(row.prompt + row.answer)[: config.evaluation.max_length]])
        labels = ids.clone()
        labels[:, : len(row.prompt)] = -100
        read = int((labels != -100).sum())
        nats += float(network(input_ids=ids, labels=labels).loss.detach()) * read
        tokens += read
    found, _, _ = logged(config)
    assert nats / tokens == pytest.approx(found.data.metrics["test/loss"], rel=1e-5)


@pytest.mark.slow
def test_lora_on_a_model_of_ones_own(tiny: Callable[..., Config], tmp_path: Path) -> None:
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16)).save_pretrained(tmp_path / "mine")
    config = tiny("model=gpt2", f"model.source={tmp_path / 'mine'}", "finetune=lora", "optimizer.lr=0.01",
                  "trainer.max_epochs=2")  # fmt: skip
    run(config)
    found, _, artifacts = logged(config)
    assert found.data.metrics["test/loss"] < found.data.metrics["baseline/loss"] - 0.001
    saved = AutoModelForCausalLM.from_pretrained(artifacts / "model").state_dict()
    before = AutoModelForCausalLM.from_pretrained(tmp_path / "mine").state_dict()
    assert saved.keys() == before.keys()  # merged: no adapters left
    changed = {name for name in saved if not torch.equal(saved[name], before[name])}
    assert changed
    assert all("attn" in name or "mlp" in name for name in changed)


@pytest.mark.slow
def test_a_model_of_the_hub_brings_its_own_settings(
    compose: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    commit, chat = "a" * 40, "U: {{ messages[0].content }} A:"
    fill_hub_cache(tmp_path / "hub", "org/tiny", {commit: 1}, commit, family="gemma2", chat=chat)
    small = [each for each in TINY if not each.startswith("model.shape")]
    config = compose(*small, "model=auto", "model.source=org/tiny", "dataset.max_length=48", "evaluation.max_length=48")
    run(config)
    state = read_local_run(config.paths.output).state
    settings = {key: state.params[key] for key in ("model.name", "dataset.prompt", "dataset.collate", "optimizer.lr")}
    assert settings == {
        "model.name": "tiny", "dataset.prompt": "chat", "dataset.collate": "pad", "optimizer.lr": "5e-05",
    }  # fmt: skip
    rate = "learning rate: 5e-05, that of pretrained weights"
    assert (state.tags["model.commit"], state.tags["learning_rate"]) == (commit, rate)
    out = capsys.readouterr().out
    for line in (
        f"model.source=org/tiny: commit {commit}; model.revision={commit} keeps to it",
        "dataset.prompt=chat: the model has a chat template",
        "dataset.collate=pad: this model cannot read flattened batches (its attention has soft caps)",
        rate,
    ):
        assert f"{line}\n" in out
    assert is_same_job(config, state)


def curves_and_answers(config: Config) -> tuple[dict[str, list[tuple[int, float]]], list[str], list[str]]:
    found, client, artifacts = logged(config)
    names = ("train/loss", "train/grad_norm", "val/loss")
    curves = {
        name: [(point.step, point.value) for point in client.get_metric_history(found.info.run_id, name)]
        for name in names
    }
    rows = read_jsonl(artifacts / "predictions.jsonl")
    return curves, [row.test.answer for row in rows], [row.id for row in rows]


@pytest.mark.slow
def test_one_seed_is_one_run_and_another_seed_has_the_same_test_questions(
    finished: Callable[..., Finished], tiny: Callable[..., Config], tmp_path: Path
) -> None:
    again, another = tiny(), tiny("seed=2", f"paths.output_dir={tmp_path / 'another'}")
    run(again)
    run(another)
    first, same, other = map(curves_and_answers, (finished().config, again, another))
    assert first == same
    assert first[0] != other[0]
    assert first[2] == other[2]


@pytest.mark.slow
def test_a_cached_baseline_changes_nothing_and_a_damaged_one_is_measured_anew(
    tiny: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = [tiny("model.dropout=0.2", f"paths.output_dir={tmp_path / name}") for name in ("cold", "warm")]
    for config in configs:
        run(config)
    cold, warm = map(curves_and_answers, configs)
    assert cold == warm
    (file,) = (tmp_path / "cache" / "baselines").glob("*.json")
    file.write_text(re.sub(r'("nats": )\d', r"\g<1>1", file.read_text()))
    capsys.readouterr()
    config = tiny("model.dropout=0.2", f"paths.output_dir={tmp_path / 'damaged'}")
    metrics = run(config)
    assert f"{file}: is not what was written (the disk, or an editor): the baseline" in capsys.readouterr().err
    known = logged(configs[0])[0].data.metrics
    assert {name: known[name] for name in metrics if name.startswith("baseline/")} == {
        name: value for name, value in metrics.items() if name.startswith("baseline/")
    }


def test_a_finished_run_is_not_opened_again(finished: Callable[..., Finished], tiny: Callable[..., Config]) -> None:
    config = finished().config
    with pytest.raises(InputError, match="no such checkpoint"):
        run(tiny(f"trainer.resume_from={config.paths.output}/checkpoints/last.ckpt"))
    assert logged(config)[0].info.status == "FINISHED"


def test_other_data_is_not_resumed_with(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [json.dumps({"instruction": f"What is {n}?", "output": f"Number {n}."}) + "\n" for n in range(80)]
    (tmp_path / "d.jsonl").write_text("".join(rows))
    settings = ("dataset=alpaca", "dataset.path=d.jsonl", "dataset.split.test=7", "dataset.split.validation=7")
    config = tiny(*settings)

    def stopped(*_: object) -> None:
        (config.paths.output / "checkpoints").mkdir()
        (config.paths.output / "checkpoints" / "last.ckpt").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment, "fit", stopped)
        run(config)
    (tmp_path / "d.jsonl").write_text("".join(rows[1:]))
    with pytest.raises(InputError, match="the data is not what it was"):
        run(tiny(*settings, f"trainer.resume_from={config.paths.output}/checkpoints/last.ckpt"))
    assert logged(config)[0].info.status == "KILLED"


def test_a_judge_that_breaks_does_not_lose_the_run(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no idea")

    monkeypatch.setattr(NoJudge, "prepare", lambda self: self)
    monkeypatch.setattr(NoJudge, "score", broken)
    config = tiny()
    run(config)
    found, _, artifacts = logged(config)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["judge/none/failed"] == 14
    assert read_jsonl(artifacts / "predictions.jsonl")[0].verdicts["none"]["test"].failure == "ValueError: no idea"
    assert "judge none: 14 of 14 failed, for example: ValueError: no idea" in capsys.readouterr().out


def test_a_judge_is_asked_while_the_model_trains(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before: list[int] = []

    def fit(*arguments: Any) -> Any:
        deadline = time.monotonic() + 30
        while not chats and time.monotonic() < deadline:
            time.sleep(0.01)
        before.append(len(chats))
        return train(*arguments)

    train = experiment.fit
    monkeypatch.setattr(experiment, "fit", fit)
    with server(lambda number, request: scored(number % 100)) as served:
        chats = served.chats
        config = tiny("judge=ollama", f"judge.host={served.host}", "judge.model=m", "judge.early=true",
                      "judge.controls=2")  # fmt: skip
        run(config)
    assert before[0] > 0
    found, _, artifacts = logged(config)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["judge/ollama/scored"] == 14
    prompts = [chat["messages"][0]["content"] for chat in chats[1:]]  # the first one loads the model
    assert len(prompts) == len(set(prompts))
    assert "0 asked for" in capsys.readouterr().out
    assert all("test" in row.verdicts["ollama"] for row in read_jsonl(artifacts / "predictions.jsonl"))


def test_baseline_is_shared_by_runs_that_differ_in_training(
    finished: Callable[..., Finished], tiny: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = finished().copied_to(tmp_path)
    assert "baseline: taken from" not in first.printed
    second = tiny(f"paths.output_dir={tmp_path / 'second'}", "dataset.max_length=80", "optimizer.lr=1e-3")
    run(second)
    assert "baseline: taken from" in capsys.readouterr().out
    one, other = (logged(config)[0].data.metrics for config in (first.config, second))
    assert one["baseline/loss"] == other["baseline/loss"]
    assert one["test/loss"] != other["test/loss"]


def test_training_on_all_is_tagged(tiny: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny("dataset.split.train_on_all=true", "evaluation.weights=last", "tracking.save_model=none",
                  "evaluation.baseline=false")  # fmt: skip
    run(config)
    found, _, artifacts = logged(config)
    assert found.data.tags["leaking"] == "true"
    assert not (artifacts / "model").exists()
    assert set(found.data.metrics) == {name for name in METRICS if not name.startswith(("baseline/", "difference/"))}
    assert "test questions are trained on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("out of luck"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_a_run_that_ends_badly_says_so(
    tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch, error: BaseException, status: str
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(experiment, "fit", broken)
    config = tiny()
    with pytest.raises(type(error)):
        run(config)
    found, _, _ = logged(config)
    assert found.info.status == status
    assert ("out of luck" in found.data.tags.get("error", "")) == (status == "FAILED")


WRONG = [
    ("dataset=alpaca", "dataset.path=nowhere.csv"),
    ("evaluation.probes=nowhere.yaml",),
    ("trainer.resume_from=nowhere/checkpoints/last.ckpt",),
    ("trainer=ddp", "trainer.devices=64"),
    ("dataset.split.test=300",),
    ("dataset.max_length=8",),
    ("dataset.size=5000",),
]


@pytest.mark.parametrize("overrides", WRONG, ids=lambda each: each[0])
def test_wrong_input_makes_no_run(tiny: Callable[..., Config], ready_store: Path, overrides: tuple[str, ...]) -> None:
    config = tiny(*overrides)
    with pytest.raises(InputError):
        run(config)
    client = mlflow.MlflowClient(f"sqlite:///{ready_store}")
    assert not client.search_runs([each.experiment_id for each in client.search_experiments()])


@pytest.mark.slow
def test_the_users_tracking_uri_wins(
    tiny: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ready_store: Path, empty_store: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'mine.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    config = tiny()
    run(config)
    assert json.loads((config.paths.output / "run.json").read_text())["tracking_uri"] == uri
    assert logged(config)[0].info.status == "FINISHED"
    assert ready_store.read_bytes() == empty_store.read_bytes(), "something was logged beside it"


def test_a_plain_directory_as_store_is_refused(tiny: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match="MLflow no longer writes plain directories"):
        run(tiny("tracking.uri=./mlruns"))


def test_system_metrics_are_logged_when_asked(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    config = tiny("tracking.system_metrics=true")
    run(config)
    names = set(logged(config)[0].data.metrics)
    assert any(name.startswith("system/") for name in names)
    own = {name for name in names if not name.startswith("system/")}
    assert {name for name in own if not name.endswith("_p")} == METRICS  # one test document: no intervals


def test_another_runs_rows_are_taken_whatever_the_split_says(
    finished: Callable[..., Finished], tiny: Callable[..., Config], tmp_path: Path
) -> None:
    found, _, artifacts = logged(finished().copied_to(tmp_path).config)
    origin = f"dataset.split.from_run={found.data.tags['medft.id']}"
    second = tiny(origin, "dataset.split.seed=1", "dataset.size=null", f"paths.output_dir={tmp_path / 'second'}")
    run(second)
    split = (artifacts / "split.json").read_bytes()
    assert (logged(second)[2] / "split.json").read_bytes() == split
    other = tiny(origin, "dataset.size=40", f"paths.output_dir={tmp_path / 'third'}")
    assert [row.id for row in read_splits(other).train] == json.loads(split)["train"][: 40 - 14]
    with pytest.raises(InputError, match="run=nowhere: no such run"):
        read_splits(tiny("dataset.split.from_run=nowhere"))


def test_the_audit_is_logged_and_a_leak_can_stop_a_run(
    tiny: Callable[..., Config],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ready_store: Path,
    empty_store: Path,
) -> None:
    leaking = ("dataset.split.train_on_all=true", f"paths.output_dir={tmp_path / 'leaking'}")
    with pytest.raises(InputError, match="dataset.on_leak=error: train-test: 7 exact"):
        run(tiny(*leaking, "dataset.on_leak=error"))
    assert ready_store.read_bytes() == empty_store.read_bytes()
    run(tiny(*leaking))
    assert "warning: train-test: 7 exact and 0 near duplicates" in capsys.readouterr().err
    found, _, artifacts = logged(tiny(*leaking))
    audited = json.loads((artifacts / "audit.json").read_text())
    assert audited["shared"]["train-test"]["exact"] == 7
    assert audited["parts"]["train"]["cuts"]["rows"] == 60
    assert found.data.tags["cuts.train.samples"] == "60"
    assert (artifacts / "audit.png").read_bytes().startswith(b"\x89PNG")


def test_skipped_rows_are_part_of_the_run(tiny: Callable[..., Config], tmp_path: Path) -> None:
    rows = [{"instruction": f"Question {n}?", "output": f"Answer {n}." if n % 10 else ""} for n in range(100)]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = tiny("dataset=alpaca", f"dataset.path={tmp_path / 'data.jsonl'}", "dataset.on_bad_row=skip")
    run(config)
    _, _, artifacts = logged(config)
    skipped = [json.loads(line) for line in (artifacts / "skipped_rows.jsonl").read_text().splitlines()]
    assert [each["where"].rpartition(":")[2] for each in skipped] == [str(n + 1) for n in range(0, 100, 10)]
    assert {each["reason"] for each in skipped} == {"column 'output' is empty"}
    assert json.loads((artifacts / "audit.json").read_text())["skipped"] == 10


@pytest.mark.slow
def test_long_answers_are_learned_whole_under_split(tiny: Callable[..., Config], tmp_path: Path) -> None:
    results = {}
    for policy in ("truncate", "split"):
        config = tiny("dataset.max_length=80", f"dataset.long_answers={policy}", "optimizer.lr=0.01",
                      f"paths.output_dir={tmp_path / policy}")  # fmt: skip
        metrics = run(config)
        tags = logged(config)[0].data.tags
        assert tags["cuts.train.rows"] == "46"
        results[policy] = (metrics["test/loss"], int(tags["cuts.train.supervised_tokens"]))
    assert results["split"][1] > 1.5 * results["truncate"][1]
    assert results["split"][0] < results["truncate"][0]


@pytest.mark.slow
def test_jobs_of_one_process_keep_their_artifacts_in_one_place(tiny: Callable[..., Config], tmp_path: Path) -> None:
    for name in ("one", "two"):
        config = tiny(f"tracking.experiment_name={name}", f"paths.output_dir={tmp_path / name}")
        assert config.tracking.uri is None
        run(config)
        assert logged(config)[2].is_relative_to(tmp_path / "root" / "mlruns" / "artifacts")


@pytest.mark.slow
def test_a_run_without_mlflow_is_complete_and_is_delivered_once_later(
    tiny: Callable[..., Config], tmp_path: Path, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    away = tmp_path / "away" / "mlflow.db"
    away.mkdir(parents=True)  # a folder, so that no database can be opened there
    config = tiny(f"tracking.uri=sqlite:///{away}", "tracking.patience=1")
    metrics = run(config)
    told = capsys.readouterr()
    assert told.err.count("MLflow cannot be had") == 1
    assert "MLflow has not all of this run yet, its folder has" in told.err
    record = read_record(LocalRun(config.paths.output))
    assert record.metrics["test/loss"] == metrics["test/loss"]
    assert record.curves["val/loss"]
    assert record.curves["train/loss"]
    assert {"config.yaml", "predictions.json", "report.html", "model"} <= {
        each.name for each in config.paths.output.iterdir()
    }
    assert main(["compare", record.run_id, f"to={tmp_path / 'compared'}", f"tracking.uri=sqlite:///{away}"]) == 0
    assert main(["sync", f"tracking.uri=sqlite:///{away}"]) == 1

    away.rmdir()
    shutil.copy(empty_store, away)
    capsys.readouterr()
    assert main(["sync", f"tracking.uri=sqlite:///{away}"]) == 0
    assert f"delivered:     {record.name} (run {record.run_id}, FINISHED)" in capsys.readouterr().out
    found, client, artifacts = logged(config)
    assert found.info.status == "FINISHED"
    assert {name: found.data.metrics[name] for name in record.metrics} == record.metrics
    for name, curve in record.curves.items():
        points = client.get_metric_history(found.info.run_id, name)
        assert [(point.step, point.value) for point in points] == curve
    assert (artifacts / "report.html").read_bytes() == (config.paths.output / "report.html").read_bytes()
    assert main(["sync", f"tracking.uri=sqlite:///{away}"]) == 0
    assert "nothing to deliver" in capsys.readouterr().out
    assert len(client.search_runs([found.info.experiment_id])) == 1


def test_a_run_that_needs_mlflow_is_refused_without_it(tiny: Callable[..., Config]) -> None:
    config = tiny("tracking.uri=http://127.0.0.1:9", "tracking.required=true")
    with pytest.raises(TrackerUnavailable, match="tracking.required=true"):
        run(config)
    assert not (config.paths.output / "run.json").exists()


@pytest.mark.slow
def test_a_run_that_writes_no_answers_has_its_losses_only(
    tiny: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ("generation.max_new_tokens=0", "judge=ollama", "judge.host=http://127.0.0.1:9")
    runs = [medft.run(tiny(*common, f"seed={seed}", f"paths.output_dir={tmp_path / str(seed)}")) for seed in (1, 2)]
    likely = {name for name in SIDE if not registry.METRICS[name].measure and not registry.METRICS[name].of_answers}
    assert likely == {"loss", "perplexity", "bits_per_byte"}
    names = {key for key in runs[0].metrics if not key.endswith(("_ci_low", "_ci_high", "_p"))}
    assert {key.removeprefix("test/") for key in names if key.startswith("test/")} == likely
    assert not [key for key in names if key.startswith("judge/")]
    answers = {(row.test.answer, row.test.hit_limit, row.test.is_written) for row in runs[0].predictions}
    assert answers == {("", False, False)}
    page = (tmp_path / "1" / "report.html").read_text()
    assert "<h2>Answers</h2>" not in page and "bits_per_byte" in page
    compared = medft.compare([run.id for run in runs])
    assert set(compared.results) == {"bits_per_byte", "loss"} and not compared.questions
    capsys.readouterr()
    assert main(["judge", f"run={runs[0].id}", "judge=ollama"]) == 2
    assert "it has written no answers (generation.max_new_tokens=0)" in capsys.readouterr().err
    assert main(["ask", f"run={runs[0].id}", "What is gout?"]) == 2
    assert "generation.max_new_tokens=256" in capsys.readouterr().err
    assert main(["ask", f"run={runs[0].id}", "What is gout?", "generation.max_new_tokens=3"]) == 0
