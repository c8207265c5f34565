"""What a config takes from environment variables: used by the run, and logged as `${oc.env:NAME}`."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from medft.errors import InputError
from medft.secrets import fill_passwords, hide_passwords, keep_secret, map_texts

SECRETS = "MEDFT_SECRETS"  # by which a job's process gets what its frozen config does not say
# medft's own defaults: addresses, which are logged without their passwords
ADDRESSES = ("MLFLOW_TRACKING_URI", "OLLAMA_HOST", "OPENAI_BASE_URL")
_OPEN, _CLOSE = "\ue000", "\ue001"  # for ${ and } where they are not to be resolved


@contextmanager
def variables_shown() -> Iterator[None]:
    """Inside this context a variable resolves to its own name, see `plain`."""
    try:
        OmegaConf.register_new_resolver("oc.env", _show_variable, replace=True)
        OmegaConf.register_new_resolver("oc.decode", _show_decoded, replace=True)
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        OmegaConf.register_new_resolver("oc.decode", oc.decode, replace=True)


def _show_variable(key: str, *default: Any) -> Any:
    if key in ADDRESSES or key not in os.environ:
        return oc.env(key, *default)
    keep_secret(os.environ[key], f"${{oc.env:{key}}}")
    return f"{_OPEN}oc.env:{key}{_CLOSE}"


def _show_decoded(text: Any, _parent_: Any, _node_: Any) -> Any:
    if not isinstance(text, str) or _OPEN not in text:
        return oc.decode(text, _parent_, _node_)
    taken = re.sub(f"{_OPEN}oc.env:(.*?){_CLOSE}", lambda match: os.environ[match[1]], text)
    value = oc.decode(taken, _parent_, _node_)  # a number or a switch tells nobody anything
    return value if isinstance(value, int | float | None) else f"{_OPEN}oc.decode:{text}{_CLOSE}"


def guard(logged: Any) -> Any:
    """A logged config in which nothing is resolved: it may come from somebody who would like to know our variables."""
    return map_texts(lambda text: text.replace("${", _OPEN), logged)


def plain(resolved: Any) -> Any:
    """A resolved config with `${` where it was shown or guarded."""
    return map_texts(lambda text: text.replace(_OPEN, "${").replace(_CLOSE, "}"), resolved)


def collect_secrets(logged: Any, resolved: Any) -> dict[str, Any]:
    """What a logged config does not say: by each text that is shown, as JSON, the value that it stands for."""
    if isinstance(logged, dict):
        return {text: value for key in logged for text, value in collect_secrets(logged[key], resolved[key]).items()}
    return {} if logged == resolved else {json.dumps(logged): resolved}


def list_addresses(*others: str | None) -> list[str]:
    """The addresses that the environment says, with their passwords, and others that are known."""
    return [*(os.environ[name] for name in ADDRESSES if name in os.environ), *filter(None, others)]


def reveal(logged: Any, addresses: Sequence[str], secrets: Mapping[str, Any] | None = None, strict: bool = True) -> Any:
    """A logged config as it was: of a run of one's own only.

    Args:
        addresses: of `list_addresses`: those whose passwords are filled in.
        secrets: of `collect_secrets`. What is not in it comes from the environment.
        strict: whether a variable that is not set any more is an error; else its name stays.

    Raises:
        InputError: a variable is not set.
    """
    if isinstance(logged, dict):
        return {key: reveal(value, addresses, secrets, strict) for key, value in logged.items()}
    if (text := json.dumps(logged)) in (secrets or {}):
        return (secrets or {})[text]
    if isinstance(logged, list):
        return [reveal(each, addresses, secrets, strict) for each in logged]
    if not isinstance(logged, str):
        return logged
    if "${oc.env:" in logged:
        try:
            return OmegaConf.to_container(OmegaConf.create({"value": logged}), resolve=True)["value"]  # type: ignore[call-overload, index]
        except OmegaConfBaseException as error:
            if not strict:
                return logged
            why = str(error).splitlines()[0].split(": ", 1)[-1].strip('"')
            raise InputError(f"{logged}: {why}, from which the run took a value: set it") from None
    return fill_passwords(logged, addresses)


def show(resolved: Any) -> Any:
    """What may be logged of a config whose variables are shown already."""
    return map_texts(hide_passwords, resolved)
