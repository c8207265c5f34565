"""`medft data preview|audit|export` and `medft fetch`: look at, or download, what a run needs; nothing is trained."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medft.cli.parser import Arguments
from medft.config.compose import compose_config
from medft.config.schema import Config
from medft.console import say, warn
from medft.errors import InputError
from medft.inputs import check_inputs, fetch_data

if TYPE_CHECKING:  # torch takes seconds to import, and help should come at once
    from medft.data.module import MedicalQA


def preview_rows(arguments: Arguments) -> int:
    """Print prompts with their answers; returns the exit code."""
    config = _compose(arguments.overrides)

    from medft.data.module import preview

    preview(_load_data(config), arguments.values["split"], arguments.values["rows"])
    return 0


def audit_rows(arguments: Arguments) -> int:
    """Print and write the audit, with `dataset.max_length=128,256` for several lengths; returns the exit code."""
    overrides: list[str] = []
    for override in arguments.overrides:  # the audit itself is at the last of several lengths
        lengths = re.fullmatch(r"dataset\.max_length=(\d+(?:,\d+)+)", override)
        last = override.rpartition(",")[2]
        overrides += [f"audit.max_lengths=[{lengths[1]}]", f"dataset.max_length={last}"] if lengths else [override]
    config = _compose(overrides)

    from medft.data.audit import audit
    from medft.report.audit_table import print_audit, print_lengths, warn_of_leaks, write_audit

    refuses = config.dataset.long_answers == "error"
    if refuses:  # whoever asks what is too long wants to see it
        config = config.model_copy(update={"dataset": config.dataset.model_copy(update={"long_answers": "truncate"})})
    data = _load_data(config)
    audited = audit(config, data)
    print_lengths(audited)
    print_audit(audited)
    files = write_audit(_folder(config), audited, data, audited.lengths)
    warn_of_leaks(audited, config.dataset.on_leak, config.dataset.dedup)
    if refuses and (too_long := audited.at_max_length.answers_cut):
        warn(f"dataset.long_answers=error: a training would end here, {too_long} rows are longer")
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
    config = _compose(arguments.overrides)

    from medft.data.splits import export
    from medft.runs.splits import read_splits

    count = export(read_splits(config, _folder(config)), target)
    columns = " ".join(f"dataset.reader.columns.{name}={name}" for name in ("id", "group", "document"))
    say(f"read it again: dataset=alpaca dataset.path={target} {columns}")
    say(f"results:       {target} ({count:,} rows)")
    return 0


def fetch(arguments: Arguments) -> int:
    """Get the model and the data of a config into the cache; returns the exit code."""
    config = _compose(arguments.overrides)

    from medft.data.rows import SKIPPED_ROWS, read_rows
    from medft.model.sources.resolve import resolve

    directory = resolve(config.model, config.paths.cache)
    rows, _ = read_rows(config.dataset, config.paths.cache, config.paths.output / SKIPPED_ROWS)
    say(f"model {config.model.name}: {directory or 'made from scratch, nothing to download'}")
    say(f"data {config.dataset.name}: {len(rows)} rows")
    return 0


def _compose(overrides: Sequence[str]) -> Config:
    config = compose_config(overrides)
    check_inputs([config])
    fetch_data([config])
    return config


def _folder(config: Config) -> Path:
    return Path(config.paths.output_dir or Path(config.paths.root_dir) / "outputs" / f"audit-{config.dataset.name}")


def _load_data(config: Config) -> "MedicalQA":
    from medft.data.module import MedicalQA
    from medft.data.tokenizer import load_tokenizer
    from medft.model.sources.resolve import resolve
    from medft.runs.splits import read_splits
    from medft.training.settling import settle_prompt

    model = config.model
    splits = read_splits(config, _folder(config))
    directory = resolve(model, config.paths.cache) if model.tokenizer == "own" else None
    tokenizer = load_tokenizer(model, directory)
    return MedicalQA(settle_prompt(config, tokenizer), splits, tokenizer)
