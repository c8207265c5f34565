"""`medft data preview|audit|export`: look at the data of a run without training."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medft.cli.parser import Arguments
from medft.config.compose import compose_config
from medft.config.schema import Config
from medft.console import say, warn
from medft.errors import InputError

if TYPE_CHECKING:  # torch takes seconds to import, and help should come at once
    from medft.data.module import MedicalQA
    from medft.data.splits import Splits


def preview_rows(arguments: Arguments) -> int:
    """Print prompts with their answers; returns the exit code."""
    config = compose_config(arguments.overrides)

    from medft.data.preview import preview

    preview(_prepare(config), arguments.values["split"], arguments.values["rows"])
    return 0


def audit_rows(arguments: Arguments) -> int:
    """Print and write the audit; returns the exit code."""
    config = compose_config(_lengths(arguments.overrides))

    from medft.data.audit.audit import audit
    from medft.report.audit_table import print_audit, print_lengths, warn_of_leaks, write_audit

    refuses = config.dataset.long_answers == "error"
    if refuses:  # whoever asks what is too long wants to see it
        config = config.model_copy(update={"dataset": config.dataset.model_copy(update={"long_answers": "truncate"})})
    prepared = _prepare(config)
    found = audit(config, prepared)
    print_lengths(found)
    print_audit(found)
    folder = _folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    files = write_audit(folder, found, prepared, found.lengths)
    warn_of_leaks(found, config.dataset.on_leak)
    if refuses and found.at_max_length.answers_cut:
        warn(
            f"dataset.long_answers=error: a training would end here, {found.at_max_length.answers_cut} rows are longer"
        )
    say(f"results:       {' '.join(map(str, files))}")
    return 0


def export_rows(arguments: Arguments) -> int:
    """Write the rows to a file; returns the exit code."""
    to = arguments.values["to"]
    if not to.endswith(".jsonl"):
        raise InputError(f"to={to}: name a .jsonl file to write (medft data export to=prepared.jsonl)")
    target = Path(to).expanduser()
    if target.exists():
        raise InputError(f"to={to}: exists already; remove it or name another")
    config = compose_config(arguments.overrides)

    from medft.data.export import export

    count = export(_splits(config), target)
    columns = " ".join(f"dataset.reader.columns.{name}={name}" for name in ("id", "group", "document"))
    say(f"read it again: dataset=alpaca dataset.path={target} {columns}")
    say(f"results:       {target} ({count:,} rows)")
    return 0


def _lengths(arguments: Sequence[str]) -> list[str]:
    """`dataset.max_length=128,256` stands for several lengths to try; the audit itself is at the last of them."""
    overrides: list[str] = []
    for each in arguments:
        several = re.fullmatch(r"dataset\.max_length=(\d+(?:,\d+)+)", each)
        if several:
            last = several[1].split(",")[-1]
            overrides += [f"audit.max_lengths=[{several[1]}]", f"dataset.max_length={last}"]
        else:
            overrides.append(each)
    return overrides


def _folder(config: Config) -> Path:
    return Path(config.paths.output_dir or Path(config.paths.root_dir) / "outputs" / f"audit-{config.dataset.name}")


def _splits(config: Config) -> "Splits":
    from medft.runs.splits import read_splits

    return read_splits(config, _folder(config))


def _prepare(config: Config) -> "MedicalQA":
    from medft.data.module import MedicalQA
    from medft.data.tokenizer import load_tokenizer
    from medft.model.sources.resolve import resolve

    model = config.model
    splits = _splits(config)
    directory = resolve(model, config.paths.cache) if model.tokenizer == "own" else None
    tokenizer = load_tokenizer(model.tokenizer, directory, model.end_token_id, model.pad_token_id)
    return MedicalQA(config.dataset, splits, tokenizer, config.seed, config.paths.cache)
