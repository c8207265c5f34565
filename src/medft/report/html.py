"""How pages are made: templates that escape every text."""

from typing import Any


def render_page(template: str, **values: Any) -> str:
    """A page from a template of `medft/report/templates`; a name that the template does not know is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("medft.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(values)
