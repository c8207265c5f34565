"""Makes a model on a running Ollama server, from a GGUF file and its Modelfile, and takes it away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from medft.errors import InputError, MedftError
from medft.export.modelfile import Modelfile
from medft.files import file_digest

_SECONDS = 600.0


def create_model(host: str, name: str, file: Path, modelfile: Modelfile) -> None:
    """Create or replace the model `name`.

    Raises:
        InputError: no server is there.
        MedftError: the server refuses it.
    """
    digest = f"sha256:{file_digest(file)}"
    with _reach(host) as client:
        if client.head(f"/api/blobs/{digest}").status_code != httpx.codes.OK:
            with file.open("rb") as weights:
                _check(client.post(f"/api/blobs/{digest}", content=iter(lambda: weights.read(1 << 20), b"")))
        body = {
            "model": name, "name": name, "stream": False,
            "files": {file.name: digest}, "template": modelfile.template,
            "parameters": modelfile.parameters, "license": modelfile.license,
            "modelfile": modelfile.render(f"@{digest}"),  # servers before 0.5.5 read this alone
        }  # fmt: skip
        _check(client.post("/api/create", json=body))


def delete_model(host: str, name: str) -> None:
    """Take the model `name` away.

    Raises:
        MedftError: the server does not.
    """
    with _reach(host) as client:
        _check(client.request("DELETE", "/api/delete", json={"model": name, "name": name}))


@contextmanager
def _reach(host: str) -> Iterator[httpx.Client]:
    try:
        with httpx.Client(base_url=host, timeout=_SECONDS) as client:
            yield client
    except httpx.ConnectError:
        raise InputError(f"host={host}: no Ollama server answers; start one with `ollama serve`") from None
    except httpx.HTTPError as error:
        raise MedftError(f"Ollama on {host}: {type(error).__name__}: {error}") from None


def _check(response: httpx.Response) -> None:
    if response.is_error:
        raise MedftError(f"Ollama on {response.url.host} refuses the model: {response.text.strip()[:300]}")
    last = response.text.strip().splitlines()[-1:]
    if last and '"error"' in last[0]:
        raise MedftError(f"Ollama on {response.url.host} refuses the model: {last[0][:300]}")
