"""The probes: questions that each model is asked besides, before and after."""

from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from medft.config.paths import conf_dir
from medft.data.example import Example
from medft.errors import DataError


class _Probe(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1)]
    instruction: Annotated[str, Field(min_length=1)]
    input: str = ""


def load_probes(path: str | None) -> list[Example]:
    """The probes of a YAML file; a bare name is looked up beside `conf/train.yaml`, None has none.

    Raises:
        DataError: the file is missing or not a list of probes.
    """
    if path is None:
        return []
    bundled = conf_dir() / path
    file = bundled if bundled.is_file() else Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"evaluation.probes={path}: no such file")
    try:
        probes = TypeAdapter(list[_Probe]).validate_python(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"{file}: not a list of probes (id, instruction, input): {str(error).splitlines()[0]}"
        ) from None
    return [Example(probe.id, "probe", probe.instruction, probe.input, "") for probe in probes]
