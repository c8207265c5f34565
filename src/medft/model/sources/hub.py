"""`model.source=<owner>/<name>`: a model of the Hugging Face hub."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from medft.errors import ModelError, explain

# Weights as safetensors only: no pickles, and no code.
_FILES = ["config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*",
          "vocab*", "merges.txt", "added_tokens.json", "special_tokens_map.json", "chat_template*",
          "*.model"]  # fmt: skip


def fetch(name: str, revision: str | None = None, may_download: bool = True, with_tokenizer: bool = True) -> Path:
    """Download a hub model, unless it is in the hub's cache, and return its folder, which is called by its commit.

    Args:
        revision: commit, tag or branch; None = the branch main.
        with_tokenizer: whether its tokenizer is used.

    Raises:
        ModelError: there is no copy and no network, or it `may_download` nothing; or there is no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    at = f" model.revision={revision}" if revision else ""
    try:
        cached = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, local_files_only=True))
        if _is_whole(cached) and (not with_tokenizer or _has_tokenizer(cached)):
            return cached
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    if not may_download:
        raise ModelError(f"model.source={name}{at}: it is not in the hub's cache; medft fetch gets it")
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=_FILES, etag_timeout=10))
    except (HfHubHTTPError, HFValidationError) as error:
        raise ModelError(f"model.source={name}{at}: {str(error).splitlines()[0]}") from None
    except (LocalEntryNotFoundError, OSError, RuntimeError) as error:
        if explain(error) is not error:  # a full disk is no hub that is away
            raise
        if isinstance(error, PermissionError):
            raise ModelError(
                f"model.source={name}{at}: {error.filename} cannot be written ({error.strerror})"
            ) from None
        raise ModelError(
            f"model.source={name}{at}: the hub cannot be reached and the model is not in its cache "
            f"({type(error).__name__}); give a local directory with model.source=DIR, "
            "or use model=smollm2-135m, which a package index serves"
        ) from None
    # without a network the client takes what there is
    has_tokenizer = not with_tokenizer or _has_tokenizer(folder)
    if any(folder.glob("*.safetensors")) and not (_is_whole(folder) and has_tokenizer):
        lacks = "no tokenizer, or the hub itself has none" if _is_whole(folder) else "some of the model's files only"
        raise ModelError(
            f"model.source={name}{at}: the hub cannot be reached, and its cache has {lacks}: "
            "the same command goes on with its download once there is a network"
        )
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether the config and all weights are there: a download of several files may have been broken off."""
    index = folder / "model.safetensors.index.json"
    if not (folder / "config.json").is_file():
        return False
    if index.is_file():
        weights = _read_object(index).get("weight_map")
        return isinstance(weights, dict) and all((folder / str(name)).is_file() for name in weights.values())
    return any(folder.glob("*.safetensors"))


def _has_tokenizer(folder: Path) -> bool:
    return any(next(folder.glob(pattern), None) for pattern in ("tokenizer.json", "vocab.*", "*.model"))


def _read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none: others have written it."""
    with suppress(OSError, ValueError):
        content = json.loads(file.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def find_cached(name: str, revision: str | None = None) -> Path | None:
    """The folder of a hub model in the hub's cache, which is called by its commit; None where it is not there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        file = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(file).parent if isinstance(file, str) else None


def list_cached() -> dict[str, int]:
    """The causal language models in the hub's cache that medft can load, each with its bytes on the disk."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = [repo for repo in scan_cache_dir(constants.HF_HUB_CACHE).repos if repo.repo_type == "model"]
    except CacheNotFound:
        return {}
    folders = {repo.repo_id: [revision.snapshot_path for revision in repo.revisions] for repo in repos}
    return {
        repo.repo_id: repo.size_on_disk
        for repo in sorted(repos, key=lambda each: each.repo_id)
        if any(map(_is_causal_model, folders[repo.repo_id]))
    }


def _is_causal_model(folder: Path) -> bool:
    names = _read_object(folder / "config.json").get("architectures")
    is_causal = isinstance(names, list) and any(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in names)
    return is_causal and _is_whole(folder)
