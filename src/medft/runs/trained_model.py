"""The model that a finished run has trained, ready to answer."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from medft.config.schema import Config, GenerationConfig
from medft.console import warn
from medft.data.encode import decode_answer, encode_prompts
from medft.data.example import Example
from medft.data.tokenizer import Tokenizer, load_tokenizer
from medft.errors import InputError
from medft.evaluation.generation import generate
from medft.model.build import build_model
from medft.runs.open import FinishedRun
from medft.runs.state import FINISHED, PARENT


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

    def answer(self, question: str, input: str = "", max_new_tokens: int | None = None) -> str:
        """Write an answer as the run's test answers were written: the same prompt, settings and seed.

        Args:
            question: the instruction of the prompt.
            input: what the question is about, where the prompt has a place for it.
            max_new_tokens: instead of the config's `generation.max_new_tokens`; running into it is warned of.
        """
        settings = AnswerSettings(self.config.dataset.prompt, self.config.generation, self.config.seed)
        return write_answer(self.network, self.tokenizer, settings, question, input, max_new_tokens)


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
    generation = settings.generation
    if max_new_tokens is not None:
        generation = generation.model_copy(update={"max_new_tokens": max_new_tokens})
    if not generation.max_new_tokens:
        raise InputError("the run has written no answers: say how long one may be, generation.max_new_tokens=256")
    prompts = encode_prompts([Example("ask", "ask", question, input, "")], tokenizer, settings.prompt)
    written = generate(network, prompts, generation, 1, settings.seed)[0]
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


def _explain_missing(run: FinishedRun) -> str:
    """Why a run has no model, and what to do."""
    tags = run.stored.state.tags
    if run.stored.state.status != FINISHED:
        return f"it is {run.stored.state.status} and has kept no model yet"
    if PARENT not in tags:
        return "it kept no model (tracking.save_model=none); train it with tracking.save_model=best"
    alone = f"; alone it keeps one: {command}" if (command := tags.get("command")) else ""
    return f"it kept no model: jobs of a sweep or a search do with tracking.save_model=best only{alone}"
