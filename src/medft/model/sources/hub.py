"""`model.source=<owner>/<name>`: a model of the Hugging Face hub."""

from pathlib import Path

from medft.errors import ModelError

# Weights as safetensors only: no pickles, and no code.
_FILES = ["config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*",
          "vocab*", "merges.txt", "special_tokens_map.json", "chat_template*"]  # fmt: skip


def fetch(name: str, may_download: bool = True) -> Path:
    """Download a hub model, unless it is in the hub's cache, and return its folder.

    Raises:
        ModelError: there is no copy and no network, or it `may_download` nothing; or there is no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
        if any(cached.glob("*.safetensors")):
            return cached
    except (LocalEntryNotFoundError, HFValidationError):
        pass
    if not may_download:
        raise ModelError(f"model.source={name}: it is not in the hub's cache; medft fetch gets it")
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, etag_timeout=10))
    except (HfHubHTTPError, HFValidationError) as error:
        raise ModelError(f"model.source={name}: {str(error).splitlines()[0]}") from None
    except (LocalEntryNotFoundError, OSError, RuntimeError) as error:
        raise ModelError(
            f"model.source={name}: the hub cannot be reached and the model is not in its cache "
            f"({type(error).__name__}); give a local directory with model.source=DIR, "
            "or use model=smollm2-135m, which a package index serves"
        ) from None
