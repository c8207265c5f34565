"""What `auto` comes to once the machine or the model is at hand, which makes it a setting of the run.

`trainer.precision` follows from the machine, `dataset.prompt` and `dataset.collate` from the model.
"""

from itertools import product
from typing import TYPE_CHECKING

from medft.config.defaults import AUTO
from medft.config.schema import Config
from medft.console import say
from medft.data.tokenizer import Tokenizer
from medft.errors import ModelError
from medft.training.precision import CHOICES

if TYPE_CHECKING:  # it takes seconds, and who only looks runs up does without
    from transformers import PreTrainedModel


def settle_model(config: Config, network: "PreTrainedModel", tokenizer: Tokenizer) -> Config:
    """The config with the prompt and the layout of batches that `auto` stands for with this model, which is said.

    Raises:
        ModelError: `dataset.collate=flatten` was asked for, and the model computes something else from such batches.
    """
    from medft.model.build import get_context_length
    from medft.model.loss import check_flat_attention

    config = settle_prompt(config, tokenizer)
    if config.dataset.collate == "pad":
        return config
    longest = max(config.dataset.max_length, min(config.evaluation.max_length, get_context_length(network)))
    try:
        check_flat_attention(network, longest)
    except ModelError as error:
        if config.dataset.collate == "flatten":
            raise
        say(f"dataset.collate=pad: {' '.join(str(error).rpartition(': set ')[0].split())}")
        return config.with_dataset(collate="pad")
    return config.with_dataset(collate="flatten")


def settle_prompt(config: Config, tokenizer: Tokenizer) -> Config:
    """The config with the prompt format that `auto` stands for with this tokenizer, which is said."""
    if config.dataset.prompt != AUTO:
        return config
    prompt = "chat" if tokenizer.has_chat else "alpaca"
    why = "a" if tokenizer.has_chat else "no"
    say(f"dataset.prompt={prompt}: the model has {why} chat template")
    return config.with_dataset(prompt=prompt)


def list_possible(config: Config) -> list[Config]:
    """Where the config says `auto`, as each machine and model may have settled it; the config as it is, last."""
    data, precision = config.dataset, config.trainer.precision
    prompts = ("alpaca", "chat", AUTO) if data.prompt == AUTO else (data.prompt,)
    collates = ("flatten", "pad", AUTO) if data.collate == AUTO else (data.collate,)
    precisions = (*CHOICES, AUTO) if precision == AUTO else (precision,)
    *settled, _ = product(prompts, collates, precisions)
    possible = [config.with_dataset(prompt=one, collate=two).with_precision(three) for one, two, three in settled]
    return [*possible, config]
