"""`import medft`: what it offers, that it is typed and quick, and that the documented lines run."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import medft
from medft.config.paths import checkout_root
from medft.config.schema import Config
from medft.errors import InputError

ROOT = checkout_root()
assert ROOT


def test_exported_members() -> None:
    for name in medft.__all__:
        assert getattr(medft, name) is not None
    public = [
        name for name, value in vars(medft).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    ]
    assert set(public) <= set(medft.__all__)
    assert dir(medft) == sorted(medft.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = medft.nothing


@pytest.mark.slow
def test_the_documented_lines_run(tmp_path: Path, ready_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    lines, *asking = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(lines, names)
    run, earlier, comparison = names["run"], names["earlier"], names["comparison"]
    assert isinstance(run, medft.Run)
    assert isinstance(earlier, medft.Run)
    assert isinstance(comparison, medft.Comparison)
    assert run.folder
    assert run.folder.is_relative_to(tmp_path / "root" / "outputs")
    assert json.loads((run.folder / "run.json").read_text())["run_id"] == run.id
    assert run.metrics == earlier.metrics
    assert [row.test.answer for row in run.predictions] == [row.test.answer for row in earlier.predictions]
    assert run.config.seed == earlier.config.seed == 42
    told = capsys.readouterr()
    assert f"{run.name} {run.folder} {run.metrics['test/bits_per_byte']}" in told.out
    assert "True " in told.out
    assert f"run=last: run {run.id} ({run.name})\n" in told.err
    command = run._opened.stored.state.tags["command"]
    assert command.startswith("medft train model=gpt2-nano dataset.size=60")
    answer = run.load_model().answer("What causes gout?")
    assert answer
    capsys.readouterr()
    for block, printed in zip(asking, (answer, str([answer])), strict=True):
        assert len([line for line in block.splitlines() if line]) == 3
        exec(block, {})
        assert capsys.readouterr().out == f"{printed}\n"


def test_the_answer_is_the_one_of_the_test(tiny: Callable[..., Config]) -> None:
    run = medft.run(tiny("dataset.split.test=2", "evaluation.baseline=false"))
    row = run.predictions[0]
    model = run.load_model()
    assert model.answer(row.instruction, row.input) == row.test.answer
    assert len(model.answer(row.instruction, row.input, max_new_tokens=1)) < len(row.test.answer)
    assert medft.open_run(run.id, "generation.max_new_tokens=7").config.generation.max_new_tokens == 7


def test_composing_is_checked_and_two_runs_never_share_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(medft.MedftError, match=r"dataset.sise: no such key \(did you mean dataset.size"):
        medft.compose("dataset.sise=3")
    folders: list[str | None] = []

    def run_nothing(config: medft.Config) -> None:
        folders.append(config.paths.output_dir)
        raise InputError("nothing is run here")

    monkeypatch.setattr("medft.experiment.run", run_nothing)
    config = medft.compose("seed=7")
    for given in (config, config, medft.compose("paths.output_dir=here")):
        with pytest.raises(InputError, match="nothing is run here"):
            medft.run(given)
    assert len(set(folders)) == 3
    assert folders[-1] == "here"
    with pytest.raises(InputError, match="the config was changed after compose"):
        medft.run(config.model_copy(update={"seed": 8}))


@pytest.mark.slow
def test_importing_is_lazy() -> None:
    heavy = (
        "[name for name in ('torch', 'mlflow', 'hydra', 'transformers', 'pydantic', 'numpy') if name in sys.modules]"
    )
    code = f"import sys, medft; print({heavy}); medft.compose; medft.run; medft.compare; print({heavy})"
    code += f"; medft.compose('seed=1'); print({heavy})"
    lines = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()
    assert lines == ["[]", "['pydantic']", "['hydra', 'pydantic']"]


SNIPPET = """\
from pathlib import Path
import medft

config: medft.Config = medft.compose("model=gpt2-nano")
run: medft.Run = medft.run(config)
score: float = run.metrics["test/loss"]
row: medft.Prediction = run.predictions[0]
folder: Path | None = run.folder
answer: str = run.load_model().answer("What is gout?", max_new_tokens=3)
comparison: medft.Comparison = medft.compare([run, "last"], metric="rougeL")
number: int = medft.open_run("last").name
medft.compose(1)
"""


@pytest.mark.slow
def test_users_are_told_their_mistakes_by_mypy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mypy import api

    assert (ROOT / "src" / "medft" / "py.typed").is_file()
    (tmp_path / "usage.py").write_text(SNIPPET)
    monkeypatch.setenv("MYPYPATH", str(ROOT / "src"))
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache")]  # lint's: warm
    out, err, code = api.run([*settings, "usage.py"])
    assert code == 1, err
    assert [line.split(" error: ")[0] for line in out.splitlines() if " error: " in line] == [
        "usage.py:11:",
        "usage.py:12:",
    ]
    assert "[assignment]" in out
    assert "[arg-type]" in out


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    done = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert "True" in str(done.cells[-1].outputs)
    assert "Traceback" not in str(done)
    assert len(list((tmp_path / "root" / "outputs").rglob("run.json"))) == 2
