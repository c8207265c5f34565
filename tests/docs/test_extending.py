"""The recipes of docs/extending.md work as they stand."""

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest

from medft.cli.parser import Command
from medft.config import compose as compose_module
from medft.config.compose import compose_config
from medft.config.paths import conf_dir
from medft.data.example import BadRow
from medft.evaluation.judges.base import JudgeItem
from tests.docs.pages import ROOT, blocks


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The recipes' files by path, with the YAML ones in the config tree."""
    text = (ROOT / "docs" / "extending.md").read_text()
    files = {
        block.splitlines()[0].removeprefix("# "): block for kind in ("python", "yaml") for block in blocks(text, kind)
    }
    tree = shutil.copytree(conf_dir(), tmp_path / "conf")
    for path, block in files.items():
        if path.endswith(".yaml"):
            (tmp_path / path).write_text(block.split("\n", 1)[1])
    monkeypatch.setattr(compose_module, "conf_dir", lambda: tree)
    return files


def load(recipes: dict[str, str], path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """A recipe's module under the name that its path gives it."""
    name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
    file = tmp_path / Path(path).name
    file.write_text(recipes[path])
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_a_data_set(recipes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(recipes, "src/medft/data/readers/faq.py", tmp_path, monkeypatch)
    path = tmp_path / "faq.txt"
    path.write_text("What is gout?\nA joint disease.\nWhat is asthma?\n")
    first, second = compose_config(["dataset=faq", f"dataset.path={path}"]).dataset.reader.read()
    assert (first.instruction, first.output) == ("What is gout?", "A joint disease.")
    assert second == BadRow(f"{path}:3", "a question without an answer", "What is asthma?")


def test_a_model(recipes: dict[str, str]) -> None:
    assert "conf/model/tinyllama.yaml" in recipes
    config = compose_config(["model=tinyllama"])
    source = "TinyLlama/TinyLlama-1.1B-Chat-v1.0"
    assert (config.model.source, config.dataset.prompt, config.optimizer.lr) == (source, "chat", 2e-5)


def test_a_judge(recipes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(recipes, "src/medft/evaluation/judges/keywords.py", tmp_path, monkeypatch)
    judge = compose_config(["judge=keywords"]).judge.prepare()
    assert judge is not None
    item = JudgeItem("What is gout?", "", expected="A painful disease of the joints.", answer="Painful, in the joints.")
    assert (judge.score(item).status, judge.score(item).score) == ("scored", 67)
    assert judge.score(JudgeItem("?", "", "so it is", "yes")).status == "failed"


def test_a_metric(recipes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = load(recipes, "src/medft/metrics/opening.py", tmp_path, monkeypatch)
    assert opening.OPENING.measure(["Gout is", "Asthma"], ["gout means", "A disease"]) == {"opening": [1.0, 0.0]}


@pytest.mark.slow
def test_a_command(
    recipes: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = eval(
        recipes["the entry in COMMANDS of src/medft/cli/commands.py"].split("\n", 1)[1], {"Command": Command}
    )
    size = load(recipes, "src/medft/cli/size.py", tmp_path, monkeypatch).size
    assert command.function == "size:size"
    assert size(command.parse(["model.shape.n_layer=1", "model.shape.n_embd=20"], "medft size")) == 0
    assert int(capsys.readouterr().out.replace(",", "")) > 50257 * 20
