"""What a language model's server may answer: a reply, or one of several errors."""

import re
from dataclasses import dataclass

from medft.errors import JudgeUnavailable, MedftError


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
    """A server's reply.

    Attributes:
        text: as it came.
        prompt_tokens: how many tokens of the prompt the server says it read; None = it does not say.
        cut: the reply ended because it was out of room.
    """

    text: str
    prompt_tokens: int | None
    cut: bool


@dataclass(frozen=True)
class Sampling:
    """How one reply is drawn."""

    seed: int
    temperature: float


def shorten_error(error: Exception) -> str:
    """The first sentence of an error, in the server's own words where there are any, else its type."""
    body = getattr(error, "body", None)
    text = (body.get("message") if isinstance(body, dict) else None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].split(". ")[0][:200]


def classify_refusal(where: str, why: str, status: int) -> Exception:
    """The exception for an HTTP error status: too long a prompt, access denied for good, a prompt that the server will
    not answer (a content filter), or a transient failure.
    """
    is_too_long = re.search(r"context (size|length|window)|(prompt|input) .*too long", why.lower())
    if status in (400, 413, 422, 500) and is_too_long:
        return PromptTooLong(why)
    if status in (401, 403, 404):
        return JudgeUnavailable(f"{where} refused ({why})")
    if 400 <= status < 500 and status not in (408, 409, 429):
        return Refused(f"{where} refused ({why})")
    return Fault(f"{where} failed ({why})")
