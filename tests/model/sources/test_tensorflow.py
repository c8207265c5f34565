"""OpenAI's TensorFlow checkpoint of GPT-2 gives the model it was made from, or one line that says why not."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from medft.config.schema import Config, ModelConfig
from medft.data.tokenizer import find_gpt2_files, load_tokenizer
from medft.errors import ModelError
from medft.files import file_digest
from medft.inputs import check_inputs
from medft.model.build import build_model
from medft.model.sources.resolve import digest_local, resolve
from tests.model.sources.bundles import NAMES, write_openai_files

INDEX, DATA = NAMES
SHAPE = {"n_layer": 11, "n_head": 2, "n_embd": 8, "n_positions": 512, "vocab_size": 50257}
OVERRIDES = [f"model.shape.{key}={value}" for key, value in SHAPE.items()]


@pytest.fixture(scope="module")
def network() -> GPT2LMHeadModel:
    torch.manual_seed(3)
    network = GPT2LMHeadModel(GPT2Config(**SHAPE)).eval()
    with torch.no_grad():  # biases and norms are zeros and ones at first
        for weight in network.parameters():
            weight.add_(torch.randn(weight.shape) * 0.1)
    return network


@pytest.fixture(scope="module")
def written(network: GPT2LMHeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files as they are downloaded."""
    folder = tmp_path_factory.mktemp("gpt2") / "355M"
    write_openai_files(folder, network)
    for file in find_gpt2_files().values():
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of them, to damage."""
    return Path(shutil.copytree(written, tmp_path / "gpt2" / "355M"))


@pytest.fixture
def model(folder: Path, compose: Callable[..., Config]) -> ModelConfig:
    return compose("model=gpt2-medium", f"model.source={folder}", *OVERRIDES).model


@pytest.mark.parametrize("tokenizer", ["gpt2", "own"])
def test_the_logits_are_those_of_the_source(
    model: ModelConfig, network: GPT2LMHeadModel, tmp_path: Path, tokenizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model.model_copy(update={"tokenizer": tokenizer})
    directory = resolve(model, tmp_path / "cache")
    loaded = build_model(model, directory, load_tokenizer(model, directory), seed=0).eval()
    ids = torch.arange(40, 72)[None]
    torch.testing.assert_close(loaded(ids).logits, network(ids).logits, rtol=0, atol=1e-5)
    assert load_tokenizer(model, directory).encode("What causes gout?") == [2061, 5640, 308, 448, 30]
    assert resolve(model, tmp_path / "cache") == directory
    assert capsys.readouterr().out.count("converting") == 1


def test_other_weights_in_its_place_are_other_weights(
    model: ModelConfig, network: GPT2LMHeadModel, folder: Path, tmp_path: Path
) -> None:
    first, digest = resolve(model, tmp_path / "cache"), digest_local(model)
    write_openai_files(folder, network, **{"model/ln_f/b": np.ones(8, "f4")})
    assert digest and digest_local(model) not in ("", digest)
    assert resolve(model, tmp_path / "cache") != first
    pinned = model.model_copy(update={"sha256": file_digest(folder / DATA)})
    resolve(pinned, tmp_path / "cache")
    with pytest.raises(ModelError, match="expected model.sha256=0000"):
        resolve(model.model_copy(update={"sha256": "0" * 64}), tmp_path / "cache")


def test_another_preset_is_refused_before_anything_is_converted(
    folder: Path, compose: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = compose("model=gpt2", f"model.source={folder}").model
    with pytest.raises(ModelError, match="has n_layer=11, but model=gpt2 has 12: choose the preset that fits"):
        resolve(model, tmp_path / "cache")
    assert "converting" not in capsys.readouterr().out


def damage(folder: Path, what: str, network: GPT2LMHeadModel) -> None:
    index, data, hparams = folder / INDEX, folder / DATA, folder / "hparams.json"
    if what == "flipped":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 4
        data.write_bytes(content)
    elif what == "truncated":
        data.write_bytes(data.read_bytes()[:-1])
    elif what == "index":
        index.write_bytes(index.read_bytes()[:-1])
    elif what == "shape":
        write_openai_files(folder, network, **{"model/h3/mlp/c_fc/w": np.zeros((1, 32, 8), "f4")})
    elif what == "more layers":
        write_openai_files(folder, network, **{"model/h11/ln_1/b": np.zeros(8, "f4")})
    elif what == "hparams":
        hparams.write_text(json.dumps(json.loads(hparams.read_text()) | {"n_layer": "11"}))
    elif what == "vocabulary":
        (folder / "vocab.bpe").write_text("#version: 0.2\n肺 炎\n", encoding="utf-8")
    elif what == "two":
        shutil.copy(index, folder / "other.index")
        (folder / "checkpoint").write_text('model_checkpoint_path: "gone"\n')
    else:
        (folder / what).unlink()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("flipped", "the checksum of model/.* is not the one in the index: download it anew"),
        ("truncated", "ends before model/wte does"),
        ("index", "cannot be read as a TensorFlow checkpoint"),
        ("shape", r"model/h3/mlp/c_fc/w has the shape \[1, 32, 8\], expected \[1, 8, 32\]"),
        ("more layers", "has 12 layers, and hparams.json beside it says n_layer=11"),
        ("hparams", "is not GPT-2's, which has a number for each of n_vocab"),
        ("vocabulary", "vocab.bpe: is not GPT-2's vocabulary"),
        ("two", "holds 2 checkpoints, and its file `checkpoint` names none of them"),
        ("hparams.json", "no hparams.json in it"),
        (INDEX, f"no {INDEX} in it"),
        (DATA, f"no {DATA} in it"),
    ],
)
def test_what_is_damaged_is_one_line_and_leaves_nothing(
    model: ModelConfig, network: GPT2LMHeadModel, folder: Path, tmp_path: Path, what: str, message: str
) -> None:
    damage(folder, what, network)
    with pytest.raises(ModelError, match=message) as caught:
        resolve(model, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".safetensors"]


def test_a_missing_part_is_told_before_torch_is_imported(folder: Path, compose: Callable[..., Config]) -> None:
    (folder / "hparams.json").unlink()
    with pytest.raises(ModelError, match="no hparams.json in it"):
        check_inputs([compose("model=gpt2-medium", f"model.source={folder}", *OVERRIDES)])


def test_hparams_of_a_million_layers_take_no_time(folder: Path, compose: Callable[..., Config], tmp_path: Path) -> None:
    hparams = folder / "hparams.json"
    hparams.write_text(json.dumps(json.loads(hparams.read_text()) | {"n_layer": 10**9}))
    model = compose("model=gpt2-medium", f"model.source={folder}", *OVERRIDES, f"model.shape.n_layer={10**9}")
    with pytest.raises(ModelError, match="has 11 layers, and hparams.json beside it says n_layer=1000000000"):
        resolve(model.model, tmp_path / "cache")


def test_the_file_checkpoint_names_the_newest(
    model: ModelConfig, network: GPT2LMHeadModel, folder: Path, tmp_path: Path
) -> None:
    for name in NAMES:
        (folder / name).rename(folder / name.replace("model.ckpt", "model-200"))
    write_openai_files(folder, network, **{"model/ln_f/b": np.ones(8, "f4")})
    (folder / "checkpoint").write_text('model_checkpoint_path: "/somewhere/model-200"\n')
    directory = resolve(model, tmp_path / "cache")
    loaded = build_model(model, directory, load_tokenizer(model, directory), seed=0)
    assert torch.equal(loaded.transformer.ln_f.bias, network.transformer.ln_f.bias)
