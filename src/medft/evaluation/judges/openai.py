"""`judge=openai`: a model on any server that speaks OpenAI's chat API (vLLM, llama.cpp, LM Studio)."""

import os
from typing import Annotated, Any, Self

from pydantic import Field
from typing_extensions import override

from medft.config.section import Role
from medft.errors import InputError, JudgeUnavailable
from medft.evaluation.judges.base import Name
from medft.evaluation.judges.language_model import Fault, LanguageModel, Reply, classify_refusal, shorten_error
from medft.secrets import hide_passwords

_CHECK_TIMEOUT = 10.0  # seconds


class OpenAI(LanguageModel):
    """Asked through `/v1/chat/completions`. Such a server names no digest of its weights: change `judge.name` or set
    `judge.cache=false` when other weights stand behind the same name.
    """

    name: Name = "openai"
    base_url: Annotated[str, Role.PLACE]
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$"), Role.PLACE]

    @property
    def where(self) -> str:
        """The address as it may be shown."""
        return hide_passwords(self.base_url)

    @override
    def prepare(self) -> Self:
        openai = _import_openai()
        try:
            models = {each.id: each for each in self.client(_CHECK_TIMEOUT).models.list().data}
        except openai.OpenAIError as error:
            raise JudgeUnavailable(
                f"no OpenAI-compatible server answers on {self.where}: {shorten_error(error)}"
            ) from None
        if self.model not in models:
            has = ", ".join(sorted(models)[:5]) or "none"
            raise JudgeUnavailable(f"the server on {self.where} has no model {self.model!r}; it has {has}")
        # the context length, where a server says it: vLLM as max_model_len, llama.cpp under meta
        extra = models[self.model].model_extra or {}
        length = extra.get("max_model_len") or (extra.get("meta") or {}).get("n_ctx")
        self._facts.update({"model": self.model, "base_url": self.where})
        if length:
            self._facts["context_length"] = str(length)
        return self

    @override
    def ask(self, prompt: str, seed: int, temperature: float, timeout: float) -> Reply:
        openai = _import_openai()
        schema = {"name": "score", "schema": self.reply_schema(), "strict": True}
        try:
            completion = self.client(timeout).chat.completions.create(
                model=self.model,
                messages=[{"role": "user", "content": prompt}],
                response_format={"type": "json_schema", "json_schema": schema},
                seed=seed,
                temperature=temperature,
                max_tokens=self.reply_tokens,
            )
            choice, usage = completion.choices[0], completion.usage
            tokens = usage.prompt_tokens if usage else None
            return Reply(choice.message.content or "", tokens, choice.finish_reason == "length")
        except openai.APIStatusError as error:
            raise classify_refusal(self.where, shorten_error(error), error.status_code) from None
        except (openai.OpenAIError, ValueError, AttributeError, TypeError, IndexError) as error:
            # all but the first: an answer that is not what such a server says
            raise Fault(f"{self.where} failed ({shorten_error(error)})") from None

    @override
    def connect(self, timeout: float) -> Any:
        # without the client's own retries: `attempts` bounds them all
        key = os.environ.get(self.api_key_env) or "none"
        return _import_openai().OpenAI(base_url=self.base_url, api_key=key, timeout=timeout, max_retries=0)


def _import_openai() -> Any:
    try:
        import openai
    except ImportError:
        raise InputError("judge=openai needs the client: pip install 'medft[openai]'") from None
    return openai
