"""How jobs are launched: the options of conf/hydra/launcher/medft.yaml."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medft.config.check import error_lines
from medft.errors import InputError


class LauncherConfig(BaseModel):
    """The options of our launcher."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    n_jobs: Annotated[int, Field(ge=1)] = 1
    time_limit: Annotated[float, Field(gt=0)] | None = None
    grace: Annotated[float, Field(ge=0)] = 30.0

    @classmethod
    def checked(cls, options: Mapping[str, object]) -> Self:
        """From plain options.

        Raises:
            InputError: one line for each that is wrong.
        """
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            raise InputError("\n".join(f"hydra.launcher.{line}" for line in error_lines(error))) from None
