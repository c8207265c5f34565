"""`medft data preview|audit|export`: look at the data of a run without training."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medft.config.compose import compose_config
from medft.config.schema import Config
from medft.console import say, warn
from medft.errors import InputError

if TYPE_CHECKING:  # torch takes seconds to import, and help should come at once
    from medft.data.module import MedicalQA
    from medft.data.splits import Splits

_USAGE = """\
medft data preview [split=train] [rows=3] [KEY=VALUE ...]   prompts as the model reads them, learned tokens marked
medft data audit [KEY=VALUE ...]                            lengths, cuts, duplicates, leaks; audit.json, audit.png
medft data export to=FILE.jsonl [KEY=VALUE ...]             the prepared rows with split, id, group, fingerprint

KEY=VALUE as for medft train: dataset=medquad dataset.path=FILE.zip dataset.max_length=128,256,512,1024 (audit)"""


def data(argv: list[str]) -> int:
    """Run one of the three; returns the exit code."""
    command, arguments = (argv[0], argv[1:]) if argv else ("", [])
    if command in ("", "help") or {"--help", "-h"} & set(argv):
        print(_USAGE)
        return 0
    commands = {"preview": _preview, "audit": _audit, "export": _export}
    if command not in commands:
        raise InputError(f"no command data {command!r}; there are preview, audit and export")
    commands[command](arguments)
    return 0


def _preview(arguments: list[str]) -> None:
    own, overrides = _own(arguments, split="train", rows="3")
    if own["split"] not in ("train", "validation"):
        raise InputError(f"split={own['split']}: samples are made of train and validation rows")
    if not own["rows"].isdecimal() or int(own["rows"]) < 1:
        raise InputError(f"rows={own['rows']}: must be a number from 1")
    from medft.data.preview import preview

    preview(_prepare(compose_config(overrides)), own["split"], int(own["rows"]))


def _audit(arguments: list[str]) -> None:
    config = compose_config(_lengths(arguments))

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


def _export(arguments: list[str]) -> None:
    own, overrides = _own(arguments, to="")
    if not own["to"].endswith(".jsonl"):
        raise InputError(f"to={own['to']}: name a .jsonl file to write (medft data export to=prepared.jsonl)")
    target = Path(own["to"]).expanduser()
    if target.exists():
        raise InputError(f"to={own['to']}: exists already; remove it or name another")
    from medft.data.export import export

    count = export(_splits(compose_config(overrides)), target)
    columns = " ".join(f"dataset.reader.columns.{name}={name}" for name in ("id", "group", "document"))
    say(f"read it again: dataset=alpaca dataset.path={target} {columns}")
    say(f"results:       {target} ({count:,} rows)")


def _own(arguments: Sequence[str], **defaults: str) -> tuple[dict[str, str], list[str]]:
    """The command's own arguments, and the overrides."""
    given = dict(each.split("=", 1) for each in arguments if each.split("=", 1)[0] in defaults and "=" in each)
    return defaults | given, [each for each in arguments if "=" not in each or each.split("=", 1)[0] not in defaults]


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
