"""The model that a finished run has trained, ready to answer, and the one that it started from."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from transformers import PreTrainedModel

from medft.config.schema import Config, GenerationConfig, ModelConfig
from medft.console import warn
from medft.data.encode import decode_answer, encode_prompts
from medft.data.example import Example
from medft.data.tokenizer import Tokenizer, load_tokenizer
from medft.errors import InputError, ModelError
from medft.evaluation.generation import generate
from medft.evaluation.streaming import Written, stream_answer
from medft.model.build import build_model, get_context_length
from medft.model.sources.resolve import NOT_PINNED, digest_local, resolve
from medft.runs.open import FinishedRun
from medft.runs.state import COMMAND, COMMIT, FINISHED, PARENT, WEIGHTS


@dataclass(frozen=True)
class AnswerSettings:
    """How a run has had its test answers written.

    Attributes:
        prompt: `dataset.prompt`.
        seed: of what is sampled.
    """

    prompt: str
    generation: GenerationConfig
    seed: int


@dataclass(frozen=True)
class TrainedModel:
    """A network with its tokenizer, and the config that says how they are asked."""

    network: PreTrainedModel
    tokenizer: Tokenizer
    config: Config

    @property
    def is_chat(self) -> bool:
        """Whether its prompt is a chat template, which has a place for what was said before."""
        return self.config.dataset.prompt == "chat"

    def answer(self, question: str, input: str = "", max_new_tokens: int | None = None) -> str:
        """Write an answer as the run's test answers were written: the same prompt, settings and seed.

        Args:
            question: the instruction of the prompt.
            input: what the question is about, where the prompt has a place for it.
            max_new_tokens: instead of the config's `generation.max_new_tokens`; running into it is warned of.
        """
        settings = AnswerSettings(self.config.dataset.prompt, self.config.generation, self.config.seed)
        return write_answer(self.network, self.tokenizer, settings, question, input, max_new_tokens)

    def stream(
        self, question: str, input: str, generation: GenerationConfig, earlier: Sequence[str] = (), number: int = 0
    ) -> Generator[Written, None, None]:
        """The same answer while it is written; to close the iterator stops the writing.

        Args:
            earlier: question, answer, question, answer and so on, what was said before; only where `is_chat`.
            number: of the question, by which sampled answers to one question differ.
        """
        check_length(generation)
        prompt = self.tokenizer.encode_conversation([*earlier, question]) if earlier else self._encode(question, input)
        return stream_answer(self.network, self.tokenizer, prompt, generation, self.config.seed, number)

    def fit_earlier(self, question: str, generation: GenerationConfig, earlier: Sequence[str]) -> Sequence[str]:
        """What of the turns before a question leaves room for its answer in the context; the oldest go first."""
        room = get_context_length(self.network) - generation.max_new_tokens
        while earlier and len(self.tokenizer.encode_conversation([*earlier, question])) > room:
            earlier = earlier[2:]
        return earlier

    def _encode(self, question: str, input: str) -> list[int]:
        return _encode_question(self.tokenizer, self.config.dataset.prompt, question, input)


def write_answer(
    network: PreTrainedModel,
    tokenizer: Tokenizer,
    settings: AnswerSettings,
    question: str,
    input: str = "",
    max_new_tokens: int | None = None,
) -> str:
    """As `TrainedModel.answer`.

    Raises:
        InputError: nothing says how long the answer may be.
    """
    given = {} if max_new_tokens is None else {"max_new_tokens": max_new_tokens}
    generation = settings.generation.model_copy(update=given)
    check_length(generation)
    prompt = _encode_question(tokenizer, settings.prompt, question, input)
    written = generate(network, [prompt], generation, 1, settings.seed)[0]
    if written.hit_limit:
        warn(f"the answer ran into generation.max_new_tokens={generation.max_new_tokens}")
    return decode_answer(written.token_ids, tokenizer)


def load_model(run: FinishedRun) -> TrainedModel:
    """Load what the run has saved.

    Raises:
        InputError: it has saved no model (tracking.save_model=none).
    """
    try:
        folder = run.stored.artifact("model")
    except InputError:
        raise InputError(f"run={run.stored.run_id}: {_explain_missing(run)}") from None
    config, model = run.config, run.config.model
    tokenizer = load_tokenizer(model, folder)
    return TrainedModel(build_model(model, folder, tokenizer, config.seed), tokenizer, config)


def load_untrained(run: FinishedRun) -> TrainedModel:
    """Load what the run started from, without a download.

    Raises:
        ModelError: it is not on this machine, or no longer what it was.
    """
    config, model = run.config, run.config.model
    known = run.stored.state.tags.get(WEIGHTS)
    if known and digest_local(model) != known:
        raise ModelError(f"model.source={model.source}: other weights lie there now than the run started from")
    directory = resolve(pin_model(run), config.paths.cache, may_download=False)
    tokenizer = load_tokenizer(model, directory)
    return TrainedModel(build_model(model, directory, tokenizer, config.seed), tokenizer, config)


def pin_model(run: FinishedRun) -> ModelConfig:
    """The model that a run started from: of the hub the commit that it had, since its branch may have moved on."""
    model, commit = run.config.model, run.stored.state.tags.get(COMMIT, NOT_PINNED)
    return model if commit == NOT_PINNED else model.model_copy(update={"revision": commit})


def check_length(generation: GenerationConfig) -> None:
    """Check that an answer may have any length.

    Raises:
        InputError: it may not, as of a run that has measured losses only.
    """
    if not generation.max_new_tokens:
        raise InputError("the run has written no answers: say how long one may be, generation.max_new_tokens=256")


def change_settings(generation: GenerationConfig, changes: Mapping[str, Any]) -> GenerationConfig:
    """The settings of answers with some of them changed.

    Raises:
        InputError: there is no such setting, or a value is out of its range; names it.
    """
    try:
        changed = GenerationConfig.model_validate({**generation.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known = f"; there are {', '.join(GenerationConfig.model_fields)}" if key not in generation.model_dump() else ""
        raise InputError(f"{key}={changes.get(key)}: {first['msg']}{known}") from None
    if not changed.max_new_tokens:
        raise InputError("max_new_tokens=0: an answer needs 1 or more")
    return changed


def _encode_question(tokenizer: Tokenizer, prompt: str, question: str, input: str) -> list[int]:
    return encode_prompts([Example("ask", "ask", question, input, "")], tokenizer, prompt)[0]


def _explain_missing(run: FinishedRun) -> str:
    """Why a run has no model, and what to do."""
    tags = run.stored.state.tags
    if run.stored.state.status != FINISHED:
        return f"it is {run.stored.state.status} and has kept no model yet"
    if PARENT not in tags:
        return "it kept no model (tracking.save_model=none); train it with tracking.save_model=best"
    alone = f"; alone it keeps one: {command}" if (command := tags.get(COMMAND)) else ""
    return f"it kept no model: jobs of a sweep or a search do with tracking.save_model=best only{alone}"
