"""Composes configs without running anything: to a checked `Config`, or to one line for each thing that is wrong."""

import difflib
import errno
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from medft.config.defaults import fill_in
from medft.config.environment import plain, show, variables_shown
from medft.config.options import BASE, list_file_readers, list_options, list_with_key
from medft.config.paths import conf_dir, register_resolvers
from medft.config.roles import flatten
from medft.config.schema import Config
from medft.errors import InputError

# the data set where none is chosen, and the one that is taken instead where `dataset.size` is more than it has
DEFAULT_DATA, LARGER_DATA = "auto", "medquad"
CHOSEN = "dataset.chosen"  # tag of a run whose data were taken so: why


def compose_raw(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    """Compose `conf/train.yaml` with overrides, unresolved.

    Raises:
        InputError: an override names no key or no option, or cannot be read.
    """
    for each in parse_overrides(overrides):
        _check_override(each)
    register_resolvers()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("train", overrides=list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(describe_error(error)) from None
    except (ValueError, AttributeError, AssertionError) as error:  # Hydra's, of an override that it has not thought of
        why = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InputError(f"{' '.join(overrides)[:200]}: cannot be composed ({why[:200]})") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        # Hydra looks for a group of each name among its files, and there are names too long for one
        raise InputError(f"{max(overrides, key=len)[:60]}...: there is no such key") from None


def compose_config(overrides: Sequence[str] = (), largest_size: int = 0) -> Config:
    """Compose and check one run's config, see `check_composed`."""
    return check_composed(compose_raw(overrides, with_hydra=True), overrides, largest_size)


def check_composed(composed: DictConfig, overrides: Sequence[str], largest_size: int = 0) -> Config:
    """Check the config of a run that is to be made. Where no data set was chosen, and the bundled sample has fewer rows
    than are asked for, it is the config with MedQuAD.

    Args:
        composed: of `compose_raw(overrides, with_hydra=True)`: Hydra knows what was chosen.
        largest_size: the largest `dataset.size` of the command, since all jobs of a sweep have the same data.

    Raises:
        InputError: one line per wrong key.
    """
    config = check_new(OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]))
    size, rows = max(config.dataset.size or 0, largest_size), config.dataset.reader.count()
    if composed.hydra.runtime.choices.get("dataset") != DEFAULT_DATA or rows is None or size <= rows:
        return config
    larger = compose_raw(choose_larger_data(overrides))
    with open_dict(larger.tracking.tags):
        larger.tracking.tags[CHOSEN] = f"dataset.size={size} is more than the {rows} rows of the bundled sample"
    return check_new(larger)


def choose_larger_data(overrides: Sequence[str]) -> list[str]:
    """The overrides of a run with the larger data set."""
    return [*(each for each in overrides if each != f"dataset={DEFAULT_DATA}"), f"dataset={LARGER_DATA}"]


def parse_overrides(overrides: Sequence[str]) -> list[Override]:
    """Read overrides as Hydra does.

    Raises:
        InputError: one cannot be read.
    """
    parser, parsed = OverridesParser.create(), []
    for each in overrides:
        try:
            parsed += parser.parse_overrides([each])
        except HydraException:
            raise InputError(_explain_unreadable(each)) from None
    return parsed


def check_new(raw: DictConfig) -> Config:
    """`check`, for the config of a run that is to be made: what it would log and not use is an error, too."""
    config = check(raw)
    path, reader = config.dataset.path, config.dataset.reader
    if path is not None and not any(str(path) in str(value) for value in vars(reader).values()):
        given = f"dataset.path={path}"
        if own := getattr(reader, "path", None):
            raise InputError(f"dataset.reader.path={own}: its place is dataset.path, which says {path}")
        first, *others = list_file_readers(path if isinstance(path, str) else "".join(path[:1]))
        raise InputError(
            f"{given}: dataset={config.dataset.name} has its own rows and reads no file; take {first} {given} "
            f"({', '.join(others)} read files, too)"
        )
    return config


def check(raw: DictConfig) -> Config:
    """Resolve and validate a composed config.

    Raises:
        InputError: one line per wrong key, such as `dataset.size: must be at least 1 (got -1)`.
    """
    resolved = _resolve(raw)
    with variables_shown():
        return validate(resolved, _resolve(raw))


def _resolve(raw: DictConfig) -> dict[str, Any]:
    try:
        resolved = OmegaConf.to_container(raw, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key, text = getattr(error, "full_key", None) or "config", str(error).splitlines()[0]
        is_missing = "Missing mandatory value" in text
        raise InputError(
            f"{key}: a value is required, for example {key}=..." if is_missing else f"{key}: {text}"
        ) from None
    if not isinstance(resolved, dict):
        raise InputError("the config is not a mapping")
    return fill_in({str(key): plain(value) for key, value in resolved.items()})


def validate(resolved: dict[str, Any], logged: dict[str, Any] | None = None) -> Config:
    """The same for a config that is resolved already.

    Args:
        logged: the same as it may be logged; passwords are left out here.
    """
    try:
        config = Config.model_validate(resolved)
    except ValidationError as error:
        raise InputError("\n".join(describe_errors(error, resolved))) from None
    config._resolved, config._logged = resolved, show(resolved if logged is None else logged)
    return config


def load_yaml(file: Path, where: str) -> DictConfig:
    """Read a YAML file of keys and values, unresolved.

    Args:
        where: how the user knows the file, for the error.

    Raises:
        InputError: it is something else.
    """
    try:
        loaded = OmegaConf.load(file)
    # OmegaConf asserts that it is no single value, and PyYAML's parser recurses
    except (YAMLError, OmegaConfBaseException, OSError, ValueError, AssertionError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{where}: not a mapping of keys to values ({reason})") from None
    if not isinstance(loaded, DictConfig):
        raise InputError(f"{where}: not a mapping of keys to values")
    return loaded


def describe_errors(error: ValidationError, given: Mapping[str, Any]) -> list[str]:
    """One line for each wrong key of what was given, in its order, alternatives of one key joined with 'or'."""
    messages: dict[str, dict[str, None]] = {}
    for item in error.errors(include_url=False):
        messages.setdefault(_key(item, given), {})[_message(item)] = None
    return [f"{key}: {' or '.join(texts)}" if key else " or ".join(texts) for key, texts in messages.items()]


def _key(item: Any, given: Any) -> str:
    """The key of an error. Where a key may hold one of several types, pydantic puts the one it tried into the path too
    (`dataset.path.list[str]`, `finetune.lora.rank`); what was given has nothing under that name.
    """
    parts = []
    for number, part in enumerate(item["loc"], 1):
        if (isinstance(given, dict) and part in given) or (isinstance(given, list) and isinstance(part, int)):
            given = given[part]
        elif item["type"] != "missing" or number < len(item["loc"]):
            continue
        parts.append(str(part))
    return ".".join(parts)


def _message(item: Any) -> str:
    kind, given = item["type"], item.get("input")
    if kind == "extra_forbidden":
        return "no such key"
    if kind == "missing":
        return "a value is required"
    text = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if kind == "value_error" or isinstance(given, dict | BaseException):
        return str(text)
    return f"{text} (got {given!r})"


def describe_error(error: Exception) -> str:
    """Hydra's error as one line that names the key and the nearest right one."""
    text = f"{error}\n{error.__cause__ or ''}"
    if match := re.search(r"Could not (?:override|append to config\.?[^']*) '([^']+)'", text):
        inner = re.search(r"Key '([^']+)' is not in struct", text)
        return _explain_unknown_key(match[1], inner[1] if inner else "")
    if match := re.search(r"Could not find '([^']+)'\s*Available options in '[^']+':", text):
        parts = match[1].split("/")
        depth = next(
            n for n in range(len(parts), 0, -1) if parts[n - 1] and (conf_dir() / "/".join(parts[:n])).is_dir()
        )
        return _explain_unknown_option("/".join(parts[:depth]), "/".join(parts[depth:]))
    return " ".join(re.sub(r"See https://hydra.cc\S*.*", "", text).split())


def _explain_unknown_key(key: str, inner: str) -> str:
    raw = compose_raw([])
    known = list(_keys(raw))
    if key in known and inner != key.rpartition(".")[2]:  # the key exists, what is put into it does not
        return f"{key}.{inner}: no such key; where new keys are allowed, +{key}.{inner}=VALUE adds one"
    if choices := list_with_key(key):
        return f"{key}: what is chosen has no such key; {', '.join(choices)} has"
    values = dict(flatten(OmegaConf.to_container(raw, resolve=False)))  # type: ignore[arg-type]
    same = [each for each in known if each.rpartition(".")[2] == key.rpartition(".")[2]]
    # optimizer.lr and dataset.prompt are meant, not what a model brings for them
    same.sort(key=lambda each: ("${" not in str(values.get(each)), each.startswith("model.")))
    near = same or difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return f"{key}: no such key" + (f" (did you mean {' or '.join(near)}?)" if near else "; --cfg job prints all")


def _explain_unknown_option(group: str, wrong: str) -> str:
    known = ", ".join(list_options(group))
    text = f"{group}={wrong}: no such option; there are {known}"
    if group == "model" and ("/" in wrong or wrong.endswith(".gguf")):
        return f"{text}; for weights from there: model=auto model.source={shlex.quote(wrong)}"
    if group == "dataset" and ("/" in wrong or "." in wrong):
        return f"{text}; for a file of yours: {list_file_readers(wrong)[0]} dataset.path={wrong}"
    return text


def _explain_unreadable(override: str) -> str:
    key, equals, value = override.partition("=")
    if not equals or not key.strip("+~ ") or key != key.strip():
        return f"{override!r}: settings are given as KEY=VALUE, without spaces around the equals sign"
    if value.endswith(","):
        return f"{override!r}: ends with a comma; values stand without spaces between them: {key}=A,B"
    is_list = value.startswith("[") and value.endswith("]")
    is_open = value.startswith(("[", "{")) and not is_list
    texts = [each.strip().strip("\"'") for each in (value[1:-1].split(",") if is_list else [value])]
    inner = ",".join('"{}"'.format(each.replace('"', '\\"')) for each in texts)
    quoted = f"{key}=[{inner}]" if is_list else f"{key}={inner}"
    with suppress(HydraException):
        if not is_open and OverridesParser.create().parse_overrides([quoted]):
            return f"{override!r}: a text with such characters needs quotes: {shlex.quote(quoted)}"
    return f"{override!r}: cannot be read; is a quote or a bracket not closed?"


def _check_override(override: Override) -> None:
    """Refuse what Hydra takes and does not do: an option that is none, a folder that is not there."""
    group, value = override.key_or_group, override.value()
    if value is None and not override.is_delete() and list_options(group):
        raise InputError(f"{group}=null: choose one of {', '.join(list_options(group))}")
    if value == BASE and (conf_dir() / group / f"{BASE}.yaml").is_file():
        raise InputError(_explain_unknown_option(group, BASE))
    if group == "hydra.searchpath":
        for each in value if isinstance(value, list) else []:
            folder = str(each).removeprefix("file://")
            if "://" not in folder and not Path(folder).is_dir():
                raise InputError(f"hydra.searchpath (--config-dir): {folder}: no such folder")


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        child = None if OmegaConf.is_missing(node, key) else node._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{key}.")
