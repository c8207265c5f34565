"""How pages are made: templates that escape every text."""

import functools
from typing import Any


@functools.cache
def make_environment() -> Any:
    """The jinja2 environment of `medft/report/templates`; a name that a template does not know is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("medft.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
