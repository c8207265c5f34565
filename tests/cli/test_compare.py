"""`medft compare` and `medft report` on runs that were really made."""

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag

from medft.cli.main import main
from medft.config.compose import compose_config
from medft.evaluation.predictions import read_jsonl, write_jsonl
from medft.experiment import run
from tests.composed import TINY

pytestmark = pytest.mark.slow
OTHER = "questions"


@dataclass
class Made:
    """Runs of two lengths and two seeds each, `64-1` to `128-2`, and their sweep; one of them with fewer questions."""

    place: str
    folder: Path
    ids: dict[str, str]
    parent: str

    def __call__(self, command: str, *arguments: str) -> int:
        return main([command, *arguments, self.place, f"to={self.folder}"])

    @property
    def client(self) -> Any:
        return mlflow.MlflowClient(f"sqlite:///{self.place.split('=')[1]}/mlruns/mlflow.db")

    def run(self, run_id: str) -> Any:
        """As MLflow has it; a clone has no id but MLflow's."""
        experiments = [each.experiment_id for each in self.client.search_experiments()]
        known = self.client.search_runs(experiments, f"tags.`medft.id` = '{run_id}'")
        return known[0] if known else self.client.get_run(run_id)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("compare")
    places = [f"paths.root_dir={root}", f"paths.cache_dir={root / 'cache'}"]

    def train(name: str, *overrides: str) -> str:
        folder = root / name
        run(compose_config([*TINY, *places, "dataset.split.test=12", *overrides, f"paths.output_dir={folder}"]))
        return str(json.loads((folder / "run.json").read_text())["run_id"])

    ids = {
        f"{length}-{seed}": train(f"{length}-{seed}", f"dataset.max_length={length}", f"seed={seed}")
        for length in (64, 128) for seed in (1, 2)
    }  # fmt: skip
    found = Made(places[0], root / "to", ids, "")
    found.parent = sweep(found, list(ids.values()))
    ids[OTHER] = clone(found, ids["128-1"], root / OTHER, rows=5)
    return found


def sweep(made: Made, children: Sequence[str]) -> str:
    """A parent as a sweep leaves it."""
    client = made.client
    experiment = made.run(children[0]).info.experiment_id
    parent = client.create_run(experiment, run_name="lengths").info.run_id
    tags = {
        "medft.kind": "sweep", "sweep.name": "lengths", "sweep.keys": '["dataset.max_length", "seed"]',
        "sweep.question": "Which length?", "sweep.reference": "max_length=128", "sweep.limits": "Nothing.",
        "sweep.metric": "test/bits_per_byte", "sweep.direction": "minimize", "command": "medft sweep lengths",
    }  # fmt: skip
    for key, value in tags.items():
        client.set_tag(parent, key, value)
    for child in children:
        client.set_tag(made.run(child).info.run_id, "mlflow.parentRunId", parent)
    client.set_terminated(parent)
    return str(parent)


def clone(
    made: Made, run_id: str, folder: Path, status: str = "FINISHED", token_factor: int = 1, rows: int = 12, **tags: str
) -> str:
    """The same run once more, with other tags, other token counts, or fewer questions."""
    client = made.client
    own = made.run(run_id)
    new = client.create_run(own.info.experiment_id, run_name="clone").info.run_id
    params = own.data.params | ({"model.tokenizer": "other"} if token_factor > 1 else {})
    params |= {"dataset.split.test": str(rows)}
    left_out = ("mlflow.parentRunId", "medft.id")
    kept = {key: value for key, value in own.data.tags.items() if key not in left_out} | tags
    client.log_batch(
        new,
        [Metric(key, value, 0, 0) for key, value in own.data.metrics.items()],
        [Param(key, value) for key, value in params.items()],
        [RunTag(key, value) for key, value in kept.items()],
    )
    artifacts = Path(own.info.artifact_uri.removeprefix("file://"))
    kept_rows = read_jsonl(artifacts / "predictions.jsonl")[:rows]
    for row in kept_rows:
        row.test = replace(row.test, tokens=row.test.tokens * token_factor)
    folder.mkdir(exist_ok=True)
    write_jsonl(kept_rows, folder / "predictions.jsonl")
    shutil.copy(artifacts / "config.yaml", folder)
    client.log_artifacts(new, str(folder))
    client.set_terminated(new, status)
    return str(new)


def figures(made: Made) -> dict[tuple[str, str], dict[str, str]]:
    with (made.folder / "compare.csv").open(newline="") as file:
        return {(line["variant"], line["metric"]): line for line in csv.DictReader(file)}


def test_runs_of_two_seeds_are_two_variants(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [made.ids[name][:12] for name in ("64-1", "64-2", "128-1", "128-2", "64-1")]
    assert made("compare", *ids, "reference=max_length=128") == 0
    out, err = capsys.readouterr()
    assert "difference to: max_length=128" in out
    assert out.endswith(f"read:          {made.folder / 'compare.html'}\nresults:       {made.folder}\n")
    assert err == ""
    found = figures(made)
    assert {variant for variant, _ in found} == {"before fine-tuning", "max_length=64", "max_length=128"}
    line = found["max_length=64", "bits_per_byte"]
    logged = [made.run(made.ids[name]).data.metrics["test/bits_per_byte"] for name in ("64-1", "64-2")]
    assert float(line["value"]) == pytest.approx(sum(logged) / 2)
    assert sorted([float(line["seed_min"]), float(line["seed_max"])]) == pytest.approx(sorted(logged))
    assert line["run_ids"].split() == [made.ids["64-1"], made.ids["64-2"]]
    assert "max_length=64" in (made.folder / "compare.html").read_text()


def test_a_single_run_has_the_interval_that_it_logged(made: Made) -> None:
    assert made("compare", made.ids["64-1"], made.ids["64-2"], "seeds=apart", "baseline=false") == 0
    found, logged = figures(made), made.run(made.ids["64-1"]).data.metrics
    for metric in ("loss", "bits_per_byte", "rougeL", "length_ratio", "limit_share"):
        line = found["seed=1", metric]
        assert float(line["value"]) == pytest.approx(logged[f"test/{metric}"])
        for end, key in (("low", "ci_low"), ("high", "ci_high")):
            if line[end]:
                assert float(line[end]) == pytest.approx(logged[f"test/{metric}_{key}"])
            else:
                assert f"test/{metric}_{key}" not in logged


def test_a_sweep_by_parent_and_what_is_left_out(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failed = clone(made, made.ids["64-1"], tmp_path, "FAILED", **{"mlflow.parentRunId": made.parent})
    clone(made, made.ids["64-1"], tmp_path, superseded_by="x", **{"mlflow.parentRunId": made.parent})
    assert made("compare", f"parent={made.parent[:8]}") == 0
    out, err = capsys.readouterr()
    assert "difference to: max_length=128" in out  # as the sweep says
    assert err == f"warning: run {failed} is left out: it is FAILED\n"
    assert {line["run_ids"] for line in figures(made).values()} == {
        f"{made.ids['64-1']} {made.ids['64-2']}", f"{made.ids['128-1']} {made.ids['128-2']}"
    }  # fmt: skip
    assert made("compare", made.ids["64-1"], failed) == 2
    assert "it is FAILED, only FINISHED runs can be compared" in capsys.readouterr().err


def test_a_filter(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert made("compare", "filter=params.seed = '1' and params.`dataset.split.test` = '12'") == 0
    assert {"max_length=64", "max_length=128"} < {variant for variant, _ in figures(made)}
    assert made("compare", "filter=nonsense") == 2
    assert "error: filter=nonsense: " in capsys.readouterr().err
    assert made("compare", "filter=params.seed = '99'") == 2
    assert "filter=params.seed = '99': no finished run in sqlite" in capsys.readouterr().err


def test_other_questions(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    both = [made.ids["128-1"], made.ids[OTHER]]
    assert made("compare", *both) == 2
    assert "different questions: 5 are shared, each run has 5 or 12; questions=shared" in capsys.readouterr().err
    assert made("compare", *both, "questions=shared") == 0
    words = "only the 5 questions that all runs share are compared"
    assert words in capsys.readouterr().err
    assert words in next(iter(figures(made).values()))["warnings"]
    assert words[1:] in (made.folder / "compare.html").read_text()


def test_another_tokenizer(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = clone(made, made.ids["64-1"], tmp_path, token_factor=2)
    assert made("compare", made.ids["64-1"], other) == 0
    assert "note: loss and perplexity are not compared" in capsys.readouterr().out
    found = figures(made)
    assert ("tokenizer=other", "bits_per_byte") in found
    assert ("tokenizer=other", "loss") not in found


def test_a_leak(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaking = clone(made, made.ids["64-1"], tmp_path, leaking="true")
    assert made("compare", made.ids["128-1"], leaking) == 0
    assert "warning: trained on test questions, so these figures say nothing" in capsys.readouterr().err
    assert figures(made)["max_length=64", "loss"]["leaking"] == "true"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["abc"], "run=abc: no such run in sqlite"),
        (["abcdefgh"], "run=abcdefgh: no such run in sqlite"),
        (["x' or"], "run=x' or: no such run in sqlite"),
        ([], "name runs by id, or by parent=<id>"),
        (["abcdef", "parent=abcdef"], "name runs by id, or by parent=<id>"),
        (["parent=abcdefgh"], "parent=abcdefgh: no such run"),
        (["abcdef", "what=3"], "what: no such key; there are parent, filter, to"),
        (["abcdef", "questions=all"], "questions=all: must be same or shared"),
        (["abcdef", "answers=-1"], "answers=-1: must be a number from 0"),
    ],
)
def test_wrong_input_is_one_line(
    made: Made, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made("compare", *arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_what_does_not_fit_the_runs_is_one_line(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    for argument, words in (
        ("reference=x", "reference=x: no variant is called so; there are: max_length=64; max_length=128"),
        ("metric=length_ratio", "metric=length_ratio: the variants cannot be ranked by it; there are loss, bits_"),
        ("metrics=x", "metrics=x: no such metric here; there are loss, bits_per_byte"),
        ("judge=x", "judge=x: none of the runs has scores of a judge of that name (there are: none)"),
    ):
        assert made("compare", made.ids["64-1"], made.ids["128-1"], argument) == 2
        assert words in capsys.readouterr().err
    assert made("compare", made.parent) == 2
    assert f"it is a sweep; its runs are compared by parent={made.parent}" in capsys.readouterr().err


def test_a_report_of_a_sweep(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "root" / "experiments" / "lengths"
    assert main(["report", "experiment=lengths", made.place]) == 0
    out = capsys.readouterr().out
    assert out.endswith(f"read:          {folder / 'README.md'}\nresults:       {folder}\n")
    text = (folder / "README.md").read_text()
    assert "Differences are to max_length=128." in text
    assert "| max_length=64 (2 seeds" in text
    with (folder / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["run_id"] for line in lines} == set(list(made.ids.values())[:4])
    logged = made.run(lines[0]["run_id"]).data
    assert float(lines[0]["test/bits_per_byte_ci_low"]) == logged.metrics["test/bits_per_byte_ci_low"]
    assert lines[0]["config_hash"] == logged.tags["config_hash"]
    first = (folder / "results.csv").read_bytes()
    assert main(["report", f"parent={made.parent}", made.place]) == 0
    assert (folder / "results.csv").read_bytes() == first
    renews = f"`medft report parent={made.parent}"
    own = text.replace("`medft report experiment=lengths", renews)
    assert (folder / "README.md").read_text() == own != text, "another sweep may have this name by then"


def test_reports_of_what_is_no_sweep(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    for argument, words in (
        ("experiment=x", "experiment=x: no sweep of that name in sqlite"),
        (f"parent={made.ids['64-1']}", "this run is no sweep (medft compare takes any runs)"),
        ("seeds=apart", "seeds: no such key; there are parent, experiment, to, reference"),
        ("questions=shared", "name a sweep by parent=<id> or by experiment=<name>"),
    ):
        assert made("report", argument) == 2
        assert words in capsys.readouterr().err
