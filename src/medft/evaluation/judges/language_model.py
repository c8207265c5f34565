"""What all judges that are language models share: the prompt, bounded retries, reading the reply.

Each server's way of being asked is in its own file: `ollama.py`, `openai.py`.
"""

import re
import threading
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from typing_extensions import override

from medft.config.section import Role
from medft.errors import JudgeUnavailable, MedftError
from medft.evaluation.judges.base import Judge, JudgeItem, Verdict
from medft.evaluation.judges.prompt import JudgePrompt

CHAT_TOKENS = 64  # what a chat template adds around the prompt, at most
_LONGEST_PAUSE = 30.0  # seconds
_ONLY_LOGGED = ("server_version", "context_length", "num_ctx")

T = TypeVar("T")


class Fault(Exception):
    """The server failed in a way that may pass: it is asked again."""


class InvalidReply(Exception):
    """The server answered, but with no score: it is asked again."""

    def __init__(self, why: str, reply: str) -> None:
        super().__init__(why)
        self.reply = reply


class PromptTooLong(Exception):
    """The server cannot read the whole prompt."""


class Refused(MedftError):
    """The server will not answer this request; it may answer others."""


@dataclass(frozen=True)
class Reply:
    """A server's reply; `prompt_tokens` = how many it says it read (None = it does not say), `cut` = out of room."""

    text: str
    prompt_tokens: int | None
    cut: bool


def shorten_error(error: Exception) -> str:
    """The first sentence of an error, in the server's own words where there are any, else its type."""
    body = getattr(error, "body", None)
    text = (body.get("message") if isinstance(body, dict) else None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].split(". ")[0][:200]


def classify_refusal(where: str, why: str, status: int) -> Exception:
    """The exception for an HTTP error status; a prompt may be too long, or one that a content filter keeps out."""
    is_too_long = re.search(r"context (size|length|window)|(prompt|input) .*too long", why.lower())
    if status in (400, 413, 422, 500) and is_too_long:
        return PromptTooLong(why)
    if status in (401, 403, 404):
        return JudgeUnavailable(f"{where} refused ({why})")
    if 400 <= status < 500 and status not in (408, 409, 429):
        return Refused(f"{where} refused ({why})")
    return Fault(f"{where} failed ({why})")


class Score(BaseModel):
    """The reply asked for; validated on arrival too, since not every server enforces the schema."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # The lengths are asked for, not enforced: a judge that gives no reason has skipped the reasoning that comes before
    # the score, and one that rambles runs out of reply_tokens before it has come to the score.
    reason: Annotated[str, Field(json_schema_extra={"minLength": 10, "maxLength": 400})]
    score: Annotated[int, Field(ge=0, le=100)]


class LanguageModel(Judge):
    """Asks for `{"reason": ..., "score": 0..100}` under a JSON schema; the reply is checked again on arrival."""

    prompt: JudgePrompt
    model: Annotated[str, Field(min_length=1)]
    timeout: Annotated[float, Field(gt=0), Role.PLACE]
    load_timeout: Annotated[float, Field(gt=0), Role.PLACE]
    attempts: Annotated[int, Field(ge=1), Role.PLACE]
    backoff: Annotated[float, Field(ge=0), Role.PLACE]
    temperature: Annotated[float, Field(ge=0)]
    seed: int
    reply_tokens: Annotated[int, Field(ge=8)]
    max_context: Annotated[int, Field(ge=256)] | None

    asks_again: ClassVar[bool] = True  # whether a reply that is no score is worth another request

    _facts: dict[str, str] = PrivateAttr(default_factory=dict)
    _context: int | None = PrivateAttr(default=None)
    _clients: dict[float, Any] = PrivateAttr(default_factory=dict)
    _stopped: threading.Event = PrivateAttr(default_factory=threading.Event)

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.max_context is not None and self.reply_tokens >= self.max_context:
            raise ValueError(f"reply_tokens={self.reply_tokens} leaves no room in max_context={self.max_context}")
        return self

    @abstractmethod
    def connect(self, timeout: float) -> Any:
        """A client of the server that waits that many seconds for an answer."""

    @abstractmethod
    def ask(self, prompt: str, seed: int, temperature: float, timeout: float) -> Reply:
        """One request, no retry.

        Raises:
            Fault: it may go better next time.
            PromptTooLong: the server says so.
            Refused: not this one.
            JudgeUnavailable: it will not go better next time, for no prompt.
        """

    @property
    @override
    def context(self) -> int | None:
        return self._context

    @property
    @override
    def patience(self) -> int:
        return self.attempts

    def render(self, item: JudgeItem) -> str:
        """The prompt for one item."""
        return self.prompt.render(item.text, item)

    @override
    def plan(self, items: Sequence[JudgeItem]) -> None:
        model = self._facts.get("context_length")
        limits = [limit for limit in (self.max_context, model and int(model)) if limit]
        self._context = min(limits, default=None)

    @override
    def load(self) -> None:
        # one call with the options of all later ones and a long timeout: loading a model takes its time
        prompt = self.render(JudgeItem("?", "", "-", "-"))
        try:
            self.check_first(self._retry(lambda _: self.ask(prompt, self.seed, self.temperature, self.load_timeout)))
        except (Fault, PromptTooLong, Refused) as error:
            raise JudgeUnavailable(f"judge={self.name}: {self.model} does not answer ({error})") from None

    def check_first(self, reply: Reply) -> None:
        """Look at the reply that came while the model was loaded, and warn of what it tells of the server."""

    @override
    def score(self, item: JudgeItem, repeat: int = 0) -> Verdict:
        try:
            prompt = self.render(item)
            return self._retry(lambda invalid: self._ask_once(prompt, repeat, invalid))
        except InvalidReply as error:
            return Verdict("failed", failure=str(error), reply=error.reply)
        except PromptTooLong as error:
            return Verdict("too_long", failure=str(error))
        except Fault as error:
            raise JudgeUnavailable(f"judge={self.name}: {error}") from None

    @override
    def interrupt(self) -> None:
        self._stopped.set()

    @override
    def describe(self) -> dict[str, str]:
        options = {"temperature": self.temperature, "seed": self.seed, "reply_tokens": self.reply_tokens}
        return {
            **self._facts,
            "options": ", ".join(f"{key}={value}" for key, value in options.items()),
            "prompt_version": self.prompt.label,
            "prompt_sha256": self.prompt.digest,
            **({"num_ctx": str(self._context)} if self._context else {}),
        }

    def depends_on(self) -> dict[str, object]:
        """Digest of the model, options that change a reply, prompt, schema. Not the context: whatever was scored was
        read whole. Not the server's version: the digest names the weights.
        """
        known = {key: value for key, value in self.describe().items() if key not in _ONLY_LOGGED}
        return {**known, "schema": self.reply_schema()}

    def _retry(self, request: Callable[[int], T]) -> T:
        """A request, again after a fault (with a growing pause) and after a reply that was no score.

        The request is given how many replies were no score so far.
        """
        invalid = 0
        for attempt in range(1, self.attempts + 1):
            try:
                return request(invalid)
            except (Fault, InvalidReply) as error:
                is_fault = isinstance(error, Fault)
                if attempt == self.attempts or self._stopped.is_set() or not (is_fault or self.asks_again):
                    raise
                invalid += not is_fault
                if is_fault:
                    self._stopped.wait(min(self.backoff * 2 ** (attempt - 1), _LONGEST_PAUSE))
                    if self._stopped.is_set():
                        raise
        raise AssertionError("the last attempt returns or raises")

    def _ask_once(self, prompt: str, repeat: int, invalid: int) -> Verdict:
        # after a reply that was no score: another seed, and some temperature, since at 0 the seed changes nothing
        temperature = max(self.temperature, 0.3) if invalid else self.temperature
        reply = self.ask(prompt, self.seed + 1000 * repeat + invalid, temperature, self.timeout)
        self._check_not_truncated(prompt, reply)
        if reply.cut:
            raise InvalidReply(f"the reply was cut at judge.reply_tokens={self.reply_tokens}", reply.text)
        return self.read(reply.text)

    def _check_not_truncated(self, prompt: str, reply: Reply) -> None:
        """Given too long a prompt, a server may truncate it silently, question and expected answer first."""
        if self._context is None:
            return  # not known here; the server refuses what it cannot read
        room = self._context - self.reply_tokens
        if reply.prompt_tokens is None:
            if estimate_tokens(prompt) + CHAT_TOKENS > room:
                raise PromptTooLong("perhaps cut: the server does not say how many tokens it read")
        elif reply.prompt_tokens >= room:
            raise PromptTooLong(f"prompt and reply need more than {self._context} tokens")

    def read(self, text: str) -> Verdict:
        """The score in a reply.

        Raises:
            InvalidReply: there is none, or it is not a whole number from 0 to 100.
        """
        try:
            reply = Score.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise InvalidReply(f"not a score: {place + ': ' if place else ''}{first['msg']}", text) from None
        return Verdict("scored", reply.score, reply.reason, reply=text)

    def reply_schema(self) -> dict[str, Any] | None:
        """The JSON schema that the server is to enforce; None = free text."""
        schema = Score.model_json_schema()
        return {key: value for key, value in schema.items() if key not in ("title", "description")}

    def client(self, timeout: float) -> Any:
        """The client for a timeout, connected once."""
        if timeout not in self._clients:
            self._clients[timeout] = self.connect(timeout)
        return self._clients[timeout]


def estimate_tokens(text: str) -> int:
    """An upper estimate of a text's tokens: one for every two lower-case ASCII letters or spaces, one for every other
    byte (digits, capitals and signs are often tokens of their own, other scripts several).
    """
    return len(text.encode()) - len(re.findall(r"[a-z ]", text)) // 2
