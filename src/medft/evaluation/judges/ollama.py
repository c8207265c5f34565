"""`judge=ollama`: a model on an Ollama server scores answers, through the official client."""

from collections.abc import Sequence
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import PrivateAttr, ValidationError
from typing_extensions import override

from medft.config.section import Role
from medft.console import warn
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import JudgeItem, Name
from medft.evaluation.judges.language_model import (
    CHAT_TOKENS,
    Fault,
    LanguageModel,
    Reply,
    Score,
    classify_refusal,
    estimate_tokens,
    shorten_error,
)
from medft.secrets import hide_passwords

_CONTEXT_STEP = 1024  # judgings of about the same length ask for the same context, which keeps a model loaded
_CHECK_TIMEOUT = 5.0  # seconds: a server that is there answers at once


class Ollama(LanguageModel):
    """A model on an Ollama server, asked through `/api/chat`: the OpenAI-compatible one cannot set `num_ctx`."""

    name: Name = "ollama"
    host: Annotated[str, Role.PLACE]

    _thinks: bool = PrivateAttr(default=False)

    @property
    def where(self) -> str:
        """The address as it may be shown."""
        return hide_passwords(self.host)

    @override
    def prepare(self) -> Self | None:
        try:
            self._facts.update(self._look_up())
        except _list_errors() as error:
            raise JudgeUnavailable(f"no Ollama server answers on {self.where}: {shorten_error(error)}") from None
        return self

    @override
    def plan(self, items: Sequence[JudgeItem]) -> None:
        super().plan(items)
        # one context for the whole judging, as long as the longest prompt needs: with another one for each row the
        # server would load the model again and again
        longest = max((estimate_tokens(self.render(item)) for item in items), default=0)
        needed = longest + CHAT_TOKENS + self.reply_tokens
        rounded = -(-needed // _CONTEXT_STEP) * _CONTEXT_STEP
        self._context = min(rounded, self._context or rounded)

    @override
    def ask(self, prompt: str, seed: int, temperature: float, timeout: float) -> Reply:
        import ollama

        try:
            answer = self.client(timeout).chat(
                model=self.model,
                messages=[{"role": "user", "content": prompt}],
                format=self.reply_schema(),
                think=False,  # thinking aloud would use up the room for the reply
                options={
                    "seed": seed,
                    "temperature": temperature,
                    "num_ctx": self._context,
                    "num_predict": self.reply_tokens,
                },
            )
        except ollama.ResponseError as error:
            raise classify_refusal(self.where, shorten_error(error), error.status_code) from None
        except _list_errors() as error:
            raise Fault(f"{self.where} failed ({shorten_error(error)})") from None
        text = answer.message.content or answer.message.thinking or ""
        return Reply(text, answer.prompt_eval_count, answer.done_reason == "length")

    def _look_up(self) -> dict[str, str]:
        """Version of the server; digest and context length of the model.

        Raises:
            JudgeUnavailable: the server has no such model; says what to do.
        """
        client = self.client(_CHECK_TIMEOUT)
        digests = {str(each.model): str(each.digest) for each in client.list().models}
        name = next((name for name in (self.model, f"{self.model}:latest") if name in digests), None)
        if name is None:
            raise JudgeUnavailable(
                f"the Ollama server on {self.where} has no model {self.model!r} (ollama pull {self.model})"
            )
        about = client.show(name)
        self._thinks, shown = "thinking" in (about.capabilities or ()), about.modelinfo or {}
        lengths = [str(value) for key, value in shown.items() if key.endswith(".context_length")]
        context = {"context_length": lengths[0]} if lengths else {}
        # the official client has no method for it
        version = client._request_raw("GET", "/api/version").json().get("version", "unknown")
        return {"model": name, "digest": digests[name], "server_version": str(version), **context}

    @override
    def check_first(self, reply: Reply) -> None:
        if self._thinks and not _is_score(reply.text):
            warn(
                f"judge={self.name}: the Ollama server {self._facts['server_version']} does not keep {self.model} to "
                "the form of a reply where it is told not to think (ollama issues 14645 and 15260, mended in newer "
                "ones): many replies may fail; update the server, or take a model that does not think"
            )

    @override
    def connect(self, timeout: float) -> Any:
        import ollama

        address = urlsplit(self.host)  # the client leaves out who asks
        who = (unquote(address.username or ""), unquote(address.password or "")) if address.password else None
        return ollama.Client(host=self.host, timeout=timeout, auth=who)


def _is_score(text: str) -> bool:
    try:
        return bool(Score.model_validate_json(text))
    except ValidationError:
        return False


def _list_errors() -> tuple[type[Exception], ...]:
    """What the official client raises when a server is away, slow, broken, or something else than Ollama."""
    import httpx
    import ollama

    return (ConnectionError, httpx.HTTPError, ollama.ResponseError, ValueError)
