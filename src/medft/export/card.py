"""The model card: what was trained on what, how good it is, what it must not be used for."""

import json
from collections.abc import Mapping
from pathlib import Path

from medft.config.options import find_licence, list_presets
from medft.export.verify import Verification
from medft.report.table import BEFORE_AFTER, Table, format_before_after
from medft.runs.record import RunRecord
from medft.runs.state import WEIGHTS

_RANDOM = "random weights"
_WARNING = (
    "**Not medical advice.** A small language model that was fine-tuned on questions and answers writes texts that "
    "sound right and may be wrong. Nobody's health may depend on what it says."
)


def write_card(record: RunRecord, checks: Mapping[str, str], exported: str, how: str, library: str = "") -> str:
    """The text of README.md, with the head that model hubs read.

    Args:
        checks: rows of the table of checks, see `describe_checks`; empty = it was not verified.
        exported: what the export is.
        how: how to ask the model, in Markdown.
        library: the Python package that loads the folder, if one does.
    """
    params, (source, licence) = record.params, describe_base(record)
    head = {
        **({"library_name": library} if library else {}),
        "pipeline_tag": "text-generation", "tags": ["medft", "medical"],
        **({"base_model": source} if source.count("/") == 1 else {}),
        **({"license": licence.lower()} if licence else {}),
    }  # fmt: skip
    facts = {**_list_facts(record, source), "exported": exported}
    unknown = "none, it began with random weights" if source == _RANDOM else "look it up"
    licences = {
        "the base model": f"{source}: {licence or unknown}",
        "the data": f"{params.get('dataset.name')}: {_find_licence(record, 'dataset') or 'as yours'}",
    }
    leak = ["**Its test questions were trained on: these figures say nothing about new questions.**"]
    rows = [(name, *format_before_after(result)) for name, result in record.results.items()]
    written = "sampled" if params.get("generation.do_sample", "").lower() == "true" else "written greedily"
    parts = [
        "---\n" + "\n".join(f"{key}: {json.dumps(value)}" for key, value in head.items()) + "\n---",
        f"# {record.name}",
        _WARNING,
        Table("", ("", ""), list(facts.items())).to_markdown(),
        "## How to ask it",
        how,
        "## How good it is",
        f"On {len(record.predictions)} test questions, before and after fine-tuning, with 95% intervals:",
        *(leak if record.is_leaking else []),
        Table("", BEFORE_AFTER, rows).to_markdown(),
        "## Whether it was exported whole",
        Table("", ("check", "result"), list(checks.items())).to_markdown() if checks else
        "**Not verified**: nobody has compared its answers with those of the training (verify=false).",
        "## Limits",
        "The figures are of questions like the test questions, in their language. Answers are limited to "
        f"{params.get('generation.max_new_tokens')} tokens there, and {written}. What the data do not say, the model "
        "makes up.",
        "## Licences",
        "What holds for these holds for the weights that were made of them:",
        Table("", ("of", "licence"), list(licences.items())).to_markdown(),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def describe_base(record: RunRecord) -> tuple[str, str]:
    """What the training began with, and its licence; empty where that is not known."""
    named = record.params.get("model.source") or "None"
    if named == "None":
        return _RANDOM, ""
    is_hub = WEIGHTS not in record.tags and named.count("/") == 1 and not named.startswith((".", "~", "/"))
    # a path says more about somebody's machine than about the weights
    return named if is_hub or named.startswith("pypi:") else Path(named).name, _find_licence(record, "model")


def _list_facts(record: RunRecord, source: str) -> dict[str, str]:
    params = record.params
    return {
        "base model": f"{params.get('model.name')} ({source})",
        "trained": f"{params.get('finetune.method')} fine-tuning, optimizer.lr={params.get('optimizer.lr')}, "
        f"trainer.max_epochs={params.get('trainer.max_epochs')}, seed {record.seed}",
        "data": f"{params.get('dataset.name')}, {params.get('dataset.size_used')} rows with validation and test, split "
        f"by group (document or disease), dataset.split.seed={params.get('dataset.split.seed')}",
        "prompt": f"{params.get('dataset.prompt')}, answers end with the model's end-of-text token",
        "run": f"{record.name}, {record.run_id}, config {record.tags.get('config_hash', '?')}",
    }


def _find_licence(record: RunRecord, group: str) -> str:
    """Of a preset of conf/ that was taken as it is."""
    name, source = (record.params.get(f"{group}.{key}", "") for key in ("name", "source"))
    changed = group == "model" and source not in {each.source for each in list_presets() if each.name == name}
    return "" if changed else find_licence(group, name)


def describe_checks(found: Verification) -> dict[str, str]:
    """The rows of the table of checks."""
    own, exported = found.bits_per_byte
    ties = f", {found.near_ties} differ first at a near-tie (logits {found.largest_gap:.3f} apart)"
    ended = f", {found.ended} of which end by themselves" if found.equal else ""
    cut = f" ({found.cut} as far as it goes: it gives up where an answer repeats a token for long)"
    return {
        f"prompts read by {found.reader}": f"the same token ids in {found.questions} of {found.questions}",
        f"answers written by {found.reader}": f"the same text in {found.equal} of {found.questions}"
        f"{ended}{cut if found.cut else ''}{ties if found.near_ties else ''}",
        "bits per byte of the expected answers": f"{own:.4f} trained, {exported:.4f} exported "
        f"({found.loss_difference:+.3%})",
    }
