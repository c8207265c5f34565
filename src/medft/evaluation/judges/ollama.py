"""`judge=ollama`: a model on an Ollama server scores answers, through the official client."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import Judge, Question, Verdict

PROMPT_VERSION = "score-1"
_PROMPT = (
    "You grade answers to medical questions.\n\n"
    "Question:\n{question}\n\nCorrect answer:\n{expected}\n\nAnswer to grade:\n{answer}\n\n"
    "How good is the answer to grade, measured against the correct answer? "
    'Reply with JSON only: {{"score": N}}, N a whole number from 0 (useless or wrong) to 100 (as good as the '
    "correct answer)."
)
_REPLY_TOKENS = 32  # a score as JSON takes about 8


class _Score(BaseModel):
    """The reply asked for; validated on arrival too, since not every server enforces the schema."""

    score: Annotated[int, Field(ge=0, le=100, strict=True)]


class Ollama(Judge):
    """Asks for a whole number from 0 to 100 under a JSON schema; the reply is checked again on arrival."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")] = "ollama"
    model: str
    host: str
    timeout: Annotated[float, Field(gt=0)]
    load_timeout: Annotated[float, Field(gt=0)]
    attempts: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0)]
    seed: int
    max_context: Annotated[int, Field(ge=256)]

    _facts: dict[str, str] = PrivateAttr(default_factory=dict)

    def prepare(self) -> Self | None:
        """Check server and model, then load the model with one call, with the options of all later ones."""
        self._facts.update(self._check())
        self._ask(_PROMPT.format(question="?", expected="-", answer="-"), self.load_timeout)
        return self

    def describe(self) -> dict[str, str]:
        """Model, digest and context length, prompt version."""
        return {**self._facts, "prompt_version": PROMPT_VERSION}

    def score(self, item: Question) -> Verdict:
        """Score one answer; a reply that is no score is asked for again with another seed, and
        a little warmth, since at temperature 0 the seed changes nothing."""
        prompt = _PROMPT.format(question=item.question, expected=item.expected, answer=item.answer)
        verdict = Verdict(None, failure="not asked")
        for attempt in range(self.attempts):
            reply = self._ask(prompt, self.timeout, attempt)
            if (reply.prompt_eval_count or 0) >= self._context - _REPLY_TOKENS:
                # the server cut the prompt without a word: question and expected answer were lost first
                return Verdict(None, failure=f"longer than judge.max_context ({self._context} tokens)")
            verdict = _read(reply.message.content or "")
            if verdict.score is not None:
                break
        return verdict

    @property
    def _context(self) -> int:
        return min(self.max_context, int(self._facts.get("context_length", self.max_context)))

    def _ask(self, prompt: str, timeout: float, attempt: int = 0) -> Any:
        """One chat call, tried again on faults that pass.

        Raises:
            JudgeUnavailable: the server stayed away for all attempts.
        """
        import ollama
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential(multiplier=0.5, max=10),
            retry=retry_if_exception_type(_faults()),
            reraise=True,
        )
        try:
            return retrying(
                ollama.Client(host=self.host, timeout=timeout).chat,
                model=self.model,
                messages=[{"role": "user", "content": prompt}],
                format=_Score.model_json_schema(),
                options={
                    "seed": self.seed + attempt,
                    "temperature": max(self.temperature, 0.3) if attempt else self.temperature,
                    "num_ctx": self._context,  # the same for every call: another one would load the model again
                    "num_predict": _REPLY_TOKENS,
                },
            )
        except _faults() as error:
            raise JudgeUnavailable(f"judge={self.name}: {self.host} failed ({_short(error)})") from None

    def _check(self) -> dict[str, str]:
        """Make sure that server and model are there.

        Raises:
            JudgeUnavailable: one is not; says what to do.
        """
        import ollama

        client = ollama.Client(host=self.host, timeout=5.0)
        try:
            digests = {str(each.model): str(each.digest) for each in client.list().models}
            found = next((name for name in (self.model, f"{self.model}:latest") if name in digests), None)
            shown = client.show(found).modelinfo if found else None
        except _faults() as error:
            raise JudgeUnavailable(f"no Ollama server answers on {self.host}: {_short(error)}") from None
        if found is None:
            raise JudgeUnavailable(
                f"the Ollama server on {self.host} has no model {self.model!r} (ollama pull {self.model})"
            )
        lengths = [str(value) for key, value in (shown or {}).items() if key.endswith(".context_length")]
        context = {"context_length": lengths[0]} if lengths else {}
        return {"model": found, "digest": digests[found], **context}


def _read(text: str) -> Verdict:
    try:
        return Verdict(_Score.model_validate_json(text).score, reply=text)
    except ValidationError as error:
        return Verdict(None, failure=f"not a score: {error.errors()[0]['msg']}", reply=text)


def _faults() -> tuple[type[Exception], ...]:
    """What the official client raises when a server is away, slow, broken, or something else than Ollama."""
    import httpx
    import ollama

    return (ConnectionError, httpx.HTTPError, ollama.ResponseError, ValueError)


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].split(". ")[0][:200]
