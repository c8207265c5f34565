"""MLflow loads and serves a run's model, which answers as `medft ask` does."""

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.exceptions import MlflowException

import medft
from medft.runs.pyfunc import _read_questions
from tests.finished import Finished
from tests.processes import call, free_port, is_open, running

QUESTION = "What causes gout? 痛风"


@pytest.fixture
def run(finished: Callable[..., Finished]) -> Finished:
    return finished("generation.max_new_tokens=12")


@pytest.fixture
def folder(run: Finished) -> Path:
    """Where MLflow has the model."""
    return run.artifacts / "model"


def test_it_answers_as_the_run_did(run: Finished, folder: Path) -> None:
    model = mlflow.pyfunc.load_model(str(folder))
    opened = medft.open_run(str(run.config.paths.output))
    rows = opened.predictions[:3]
    table = pd.DataFrame([{"instruction": row.instruction, "input": row.input} for row in rows])
    assert model.predict(table) == [row.test.answer for row in rows]
    expected = opened.load_model().answer(QUESTION)
    assert len(expected) > 3
    assert (
        model.predict(QUESTION) == model.predict([QUESTION]) == model.predict({"instruction": QUESTION}) == [expected]
    )
    with_input = opened.load_model().answer(QUESTION, "肺炎")
    assert model.predict(pd.DataFrame({"instruction": [QUESTION], "input": ["肺炎"]})) == [with_input]
    short = opened.load_model().answer(QUESTION, max_new_tokens=3)
    assert model.predict(QUESTION, params={"max_new_tokens": 3}) == [short] != [expected]


def test_what_sampling_draws_is_what_the_run_draws(finished: Callable[..., Finished]) -> None:
    run = finished("generation.do_sample=true", "generation.temperature=3.0", "generation.top_k=0", "seed=5")
    opened = medft.open_run(str(run.config.paths.output))
    assert mlflow.pyfunc.load_model(str(run.artifacts / "model")).predict(QUESTION) == [
        opened.load_model().answer(QUESTION)
    ]


def test_the_documented_uri(run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = run.copied_to(tmp_path)
    monkeypatch.chdir("/")
    opened = medft.open_run(copy.run_id)
    assert opened.model_uri == f"runs:/{copy.mlflow_id}/model"
    model = mlflow.pyfunc.load_model(opened.model_uri)
    assert model.predict(QUESTION) == [opened.load_model().answer(QUESTION)]
    assert list(model.input_example["instruction"]) == ["What are the symptoms of gout?"]
    assert len(model.predict(model.input_example)) == 1


def test_nothing_is_pickled_and_the_weights_are_there_once(run: Finished, folder: Path) -> None:
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert list(described["flavors"]) == ["python_function"]
    assert described["flavors"]["python_function"]["loader_module"] == "medft.runs.pyfunc"
    assert described["signature"]["outputs"] and "max_new_tokens" in described["signature"]["params"]
    assert not [path for path in folder.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt")]
    (weights,) = folder.rglob("*.safetensors")
    assert weights.samefile(run.config.paths.output / "model" / "model.safetensors")
    needed = [line for line in (folder / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    assert needed == [f"mlflow=={mlflow.__version__}"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.DataFrame({"question": ["x"]}), "has the columns instruction and perhaps input; this has .'question'"),
        (pd.DataFrame({"instruction": ["x"], "answer": ["y"]}), "this has .'instruction', 'answer'"),
        (pd.DataFrame({"instruction": ["x", None]}), "a question is a text"),
        ([7], "a question is a text; 7 is none"),
        (7, "a question is a text; 7 is none"),
    ],
)
def test_what_is_no_question_is_one_line(folder: Path, data: Any, message: str) -> None:
    model = mlflow.pyfunc.load_model(str(folder))
    with pytest.raises(MlflowException, match=message):
        model.predict(data)


def test_a_run_without_answers_asks_how_long_one_may_be(finished: Callable[..., Finished]) -> None:
    run = finished("generation.max_new_tokens=0")
    model = mlflow.pyfunc.load_model(str(run.artifacts / "model"))
    with pytest.raises(MlflowException, match="max_new_tokens=0: must be at least 1"):
        model.predict(QUESTION)
    assert len(model.predict(QUESTION, params={"max_new_tokens": 2})) == 1


def test_columns_that_are_empty_are_none() -> None:
    table = pd.DataFrame({"input": [None, "x"], "instruction": ["a", "b"]})
    assert _read_questions(table) == [("a", ""), ("b", "x")]
    assert _read_questions([]) == []
    assert _read_questions([{"instruction": "a"}, {"instruction": "b", "input": "c"}]) == [("a", ""), ("b", "c")]


@pytest.mark.slow
def test_a_run_that_keeps_no_model_describes_none(finished: Callable[..., Finished]) -> None:
    assert not (finished("tracking.save_model=none").config.paths.output / "model").exists()


@pytest.mark.slow
def test_mlflow_serves_it(run: Finished, tmp_path: Path) -> None:
    copy = run.copied_to(tmp_path)
    port = free_port()
    store = f"sqlite:///{copy.place / 'root' / 'mlruns' / 'mlflow.db'}"
    served = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"runs:/{copy.mlflow_id}/model",
              "--env-manager", "local", "-p", str(port)]  # fmt: skip
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts uvicorn by name
    with running(served, tmp_path / "log", lambda: is_open(port), PATH=path, MLFLOW_TRACKING_URI=store):
        code, out, err = call(
            "ask", f"run={copy.run_id}", QUESTION, program="medft", MEDFT_ROOT=str(copy.place / "root")
        )
        assert code == 0, err
        asked = [{"inputs": QUESTION}, {"inputs": [QUESTION]}, {"dataframe_records": [{"instruction": QUESTION}]},
                 {"dataframe_split": {"columns": ["instruction", "input"], "data": [[QUESTION, ""]]}}]  # fmt: skip
        for body in asked:
            assert post(port, body) == (200, {"predictions": [out.strip()]})
        status, told = post(port, {"dataframe_records": [{"question": QUESTION}]})
        assert status == 400 and "has the columns instruction and perhaps input" in told["message"]
        listening = (tmp_path / "log").read_text()
        assert f"http://127.0.0.1:{port}" in listening


def post(port: int, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
