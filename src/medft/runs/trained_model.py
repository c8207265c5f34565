"""The model that a finished run has trained, ready to answer."""

from dataclasses import dataclass

from transformers import PreTrainedModel

from medft.config.schema import Config
from medft.console import warn
from medft.data.encode import decode_answer, encode_prompts
from medft.data.example import Example
from medft.data.tokenizer import Tokenizer, load_tokenizer
from medft.evaluation.evaluate import generate
from medft.model.build import build_model
from medft.runs.open import FinishedRun


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
        generation = self.config.generation
        if max_new_tokens is not None:
            generation = generation.model_copy(update={"max_new_tokens": max_new_tokens})
        example = Example("ask", "ask", question, input, "")
        prompts = encode_prompts([example], self.tokenizer, self.config.dataset.prompt)
        written = generate(self.network, prompts, generation, 1, self.config.seed)[0]
        if written.hit_limit:
            warn(f"the answer ran into generation.max_new_tokens={generation.max_new_tokens}")
        return decode_answer(written.token_ids, self.tokenizer)


def load_model(run: FinishedRun) -> TrainedModel:
    """Load what the run has saved.

    Raises:
        InputError: it has saved no model (tracking.save_model=none).
    """
    config, folder = run.config, run.stored.artifact("model")
    model = config.model
    tokenizer = load_tokenizer(model.tokenizer, folder, model.end_token_id, model.pad_token_id)
    return TrainedModel(build_model(model, folder, tokenizer, config.seed), tokenizer, config)
