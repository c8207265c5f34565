"""What MkDocs cannot know by itself: the page of all config keys, the table of metrics, and pages outside `docs/`.

The keys and their descriptions come from `conf/**/*.yaml` each time the pages are built, so that they cannot go stale.
"""

import html
import math
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

# groups in the order of the page; what is not here comes last
GROUPS = (
    *("dataset", "audit", "model", "finetune", "optimizer", "scheduler", "trainer", "evaluation", "generation"),
    *("judge", "judge/prompt", "tracking", "sweep", "launcher", "hydra", "search", "paths"),
    "experiment",
)

# pages that lie outside docs/, and where they are on the site
OUTSIDE = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


@dataclass(frozen=True)
class Key:
    """A key of one YAML file: its dotted name, its value as written there, and its comment (may be empty)."""

    name: str
    value: str
    comment: str


@dataclass(frozen=True)
class OptionFile:
    """One file of a config group: what its first comment says, the files it starts from, its keys."""

    group: str
    name: str
    text: str
    about: list[str]
    bases: list[str] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)


def read_conf(conf: Path) -> list[OptionFile]:
    """All files of a config tree but those of `conf/local` and lists (the probes)."""
    paths = [path for path in sorted(conf.rglob("*.yaml")) if path.parent.name != "local"]
    files = [read_option(path, conf) for path in paths if isinstance(yaml.safe_load(path.read_text("utf-8")), dict)]
    order = {group: number for number, group in enumerate(("", *GROUPS))}
    # within a group the file that the others start from comes first
    based_on = {(file.group, base) for file in files for base in file.bases}
    return sorted(files, key=lambda file: (order.get(file.group, len(order)), (file.group, file.name) not in based_on))


def read_option(path: Path, conf: Path) -> OptionFile:
    """One file with the comments of its keys."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    about = [line.removeprefix("#").removeprefix(" ") for line in lines[:end] if not line.startswith("# @package")]
    group = path.parent.relative_to(conf).as_posix().removeprefix(".")
    bases = [each for each in yaml.safe_load(text).get("defaults", []) if isinstance(each, str) and each != "_self_"]
    prefix = "" if group in ("", "experiment") else f"{group.replace('/', '.')}."
    return OptionFile(group, path.stem, text, about, bases, list(_keys(yaml.compose(text), lines, prefix)))


def _keys(mapping: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Key]:
    for key, value in mapping.value:
        if prefix + key.value == "defaults" or (key.value == "defaults" and key.start_mark.column == 0):
            continue
        name = prefix + key.value
        is_section = isinstance(value, yaml.MappingNode) and not value.flow_style
        yield Key(name, "" if is_section else _written(value), _comment(key, value, lines))
        if is_section:
            yield from _keys(value, lines, f"{name}.")


def _written(value: yaml.Node) -> str:
    """A value as one would type it; a text of several lines is left to the file."""
    if isinstance(value, yaml.ScalarNode):
        if value.style in ("|", ">") or "\n" in value.value or len(value.value) > 100:
            return "(a text)"
        return f'"{value.value}"' if value.style == '"' else value.value
    if isinstance(value, yaml.SequenceNode):
        return f"[{', '.join(map(_written, value.value))}]"
    return "{" + ", ".join(f"{key.value}: {_written(inner)}" for key, inner in value.value) + "}"


def _comment(key: yaml.Node, value: yaml.Node, lines: list[str]) -> str:
    """The lines above a key that have its indentation, and what follows its value on the same line."""
    row, indent = key.start_mark.line, " " * key.start_mark.column + "#"
    first = row
    while first and lines[first - 1].startswith(indent):
        first -= 1
    # a comment that begins in the first line is about the file
    above = [lines[number].strip().lstrip("#").strip() for number in range(first, row)] if first else []
    behind = ""
    if value.end_mark.line == row:
        behind = lines[row][value.end_mark.column :].partition("#")[2].strip()
    return " ".join([*above, behind]).strip()


def described(files: list[OptionFile]) -> dict[str, str]:
    """Each key with its comment; where several files of a group have one, the first, which is that of the base."""
    comments: dict[str, str] = {}
    for file in files:
        if file.group != "experiment":
            for key in file.keys:
                if key.comment:
                    comments.setdefault(key.name, key.comment)
    return comments


def keys_page(conf: Path) -> str:
    """The page of all keys: a chapter for each config group, a section for each file.

    Raises:
        ValueError: a key has no comment in any file of its group.
    """
    files = read_conf(conf)
    comments = described(files)
    page: list[str] = []
    anchored: set[str] = set()
    chapter = None
    for file in files:
        if file.group != chapter:
            chapter = file.group
            page += [f"## {chapter or 'The run'}", ""]
        page += _section(file, comments, anchored)
    return "\n".join(page)


def _section(file: OptionFile, comments: dict[str, str], anchored: set[str]) -> list[str]:
    page = [f"### `{file.group}={file.name}`" if file.group else "### `train.yaml`", "", *_about(file.about), ""]
    if file.group == "experiment":
        body = file.text.splitlines()
        start = next(number for number, line in enumerate(body) if not line.startswith("#"))
        return [*page, "```yaml", *body[start:], "```", ""]
    # what is searched are keys of other groups, explained there
    own = [key for key in file.keys if key.value and not key.name.startswith("search.ranges.")]
    unknown = [key.name for key in own if key.name not in comments]
    if unknown:
        raise ValueError(
            f"conf/{file.group}/{file.name}.yaml: no comment says what these keys are: {', '.join(unknown)}"
        )
    explained = [key for key in file.keys if key.comment]
    changed = [f"`{key.name}={key.value}`" for key in file.keys if not key.comment and key.value]
    if changed:
        page += [f"Sets {', '.join(changed)}.", ""]
    if explained:
        page += ["| key | default | what it does |", "|---|---|---|"]
        page += [_row(key, is_first=key.name not in anchored) for key in explained]
        anchored.update(key.name for key in explained)
    return [*page, ""]


def _row(key: Key, is_first: bool) -> str:
    anchor = f' id="{key.name}"' if is_first else ""  # links lead to the first file that explains a key
    value = f"<code>{_cell(key.value)}</code>" if key.value else ""
    return f"| <code{anchor}>{key.name}</code> | {value} | {_cell(key.comment)} |"


def _cell(text: str) -> str:
    return re.sub(r"([|*_\[\]`\\$])", lambda match: f"&#{ord(match[1])};", html.escape(text, quote=False))


def _about(lines: list[str]) -> Iterator[str]:
    """A file's first comment: text, and indented lines as a block of code."""
    is_code = False
    for line in lines:
        if line.startswith("  ") != is_code:
            is_code = not is_code
            yield "\n```sh" if is_code else "```\n"
        yield line.strip() if is_code else html.escape(line, quote=False)
    if is_code:
        yield "```"


def metrics_table() -> str:
    """What is measured, as the registry has it."""
    from medft.metrics.registry import METRICS

    rows = [
        f"| `{metric.name}` | {_cell(metric.meaning)} | {_range(metric.bounds)} | {metric.better or ''} |"
        for metric in METRICS.values()
    ]
    return "\n".join(["| metric | meaning | range | better |", "|---|---|---|---|", *rows])


def _range(bounds: tuple[float, float]) -> str:
    low, high = bounds
    return f"from {low:g}" if high == math.inf else f"{low:g} to {high:g}"


def site_path(repository_path: str) -> str | None:
    """Where a file of the repository is on the site; None = it is not there."""
    if repository_path in OUTSIDE:
        return OUTSIDE[repository_path]
    if repository_path.startswith("experiments/"):
        return repository_path
    return repository_path.removeprefix("docs/") if repository_path.startswith("docs/") else None


def site_links(markdown: str, repository_path: str) -> str:
    """Make the links of a page, which hold in the repository, hold on the site; those to source files become text."""
    here = posixpath.dirname(site_path(repository_path) or "")

    def moved(match: re.Match[str]) -> str:
        text, link, anchor = match[1], match[2], match[3] or ""
        target = posixpath.normpath(posixpath.join(posixpath.dirname(repository_path), link))
        if ":" in link or not (ROOT / target).exists():
            return match[0]
        if (ROOT / target / "README.md").is_file():
            target += "/README.md"
        place = site_path(target)
        return f"{text}({posixpath.relpath(place, here or '.')}{anchor})" if place else text.strip("![]")

    return re.sub(r"(!?\[[^\]]*\])\(([^)#\s]+)(#[^)\s]*)?\)", moved, markdown)


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the pages that lie outside `docs/`."""
    from mkdocs.structure.files import File

    outside = [*OUTSIDE, *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("experiments/**/*.*")))]
    for path in outside:
        files.append(File.generated(config, site_path(path) or path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: "Page", **_: Any) -> str:
    """Fill in what is generated, and mend links."""
    sources = {site: path for path, site in OUTSIDE.items()}
    uri = page.file.src_uri
    path = sources.get(uri) or (uri if uri.startswith("experiments/") else f"docs/{uri}")
    markdown = site_links(markdown, path)
    if "<!-- config keys -->" in markdown:
        markdown = markdown.replace("<!-- config keys -->", keys_page(ROOT / "conf"))
    if "<!-- metrics -->" in markdown:
        markdown = markdown.replace("<!-- metrics -->", metrics_table())
    return markdown
