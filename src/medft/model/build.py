"""Builds a transformers model from its config and directory, and `finetune`: which of its weights are trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from medft.config.schema import FullConfig, LoraConfig, ModelConfig
from medft.data.tokenizer import Tokenizer, refuse_code
from medft.errors import ModelError, broken_model

_CONTEXT_LENGTHS = ("max_position_embeddings", "max_seq_len", "seq_length")  # as the families call it


def build_model(model: ModelConfig, directory: Path | None, tokenizer: Tokenizer, seed: int) -> PreTrainedModel:
    """Build a model in float32 on the CPU, from `directory` or from scratch with random weights (`seed`).

    Raises:
        ModelError: its weights or shape do not match the config.
    """
    config = _load_config(model, directory)
    names = _list_dropouts(config)
    if model.dropout and not names:
        raise ModelError(f"model.dropout={model.dropout}: {config.model_type} models have no dropout to set")
    for name in names:
        setattr(config, name, model.dropout)
    ends = {"eos_token_id": tokenizer.end_token_id, "pad_token_id": tokenizer.pad_token_id}
    config.update(ends)
    if directory is None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    else:
        network = _load(directory, config)
    # greedy decoding whatever the model's own file suggests: `generation` decides how answers are generated
    network.generation_config = GenerationConfig(**ends)
    return network


def check_shape(model: ModelConfig, actual: Mapping[str, Any]) -> None:
    """Check that weights have the shape that the preset names.

    Raises:
        ModelError: they have another.
    """
    for key, expected in model.shape.items():
        if actual.get(key) != expected:
            raise ModelError(
                f"model.source={model.source} has {key}={actual.get(key)}, but model={model.name} has {expected}: "
                f"choose the preset that fits, or model=auto, or say model.shape.{key}={actual.get(key)}"
            )


def get_context_length(network: PreTrainedModel) -> int:
    """Return the longest sequence, in tokens, that a model reads.

    Raises:
        ModelError: its config does not say.
    """
    config = network.config.get_text_config()
    lengths = (getattr(config, name, None) for name in _CONTEXT_LENGTHS)
    if (length := next((each for each in lengths if each), None)) is None:
        raise ModelError(f"{config.model_type} models: how long a text they read stands nowhere in their config.json")
    return int(length)


def count_parameters(network: torch.nn.Module) -> dict[str, int]:
    """Count all parameters (`total`) and those that training changes (`trainable`)."""
    parameters = list(network.parameters())
    return {
        "total": sum(each.numel() for each in parameters),
        "trainable": sum(each.numel() for each in parameters if each.requires_grad),
    }


def check_targets(network: PreTrainedModel, finetune: FullConfig | LoraConfig) -> None:
    """Check that LoRA finds the layers to adapt.

    Raises:
        ModelError: no layer has one of the names in `finetune.target_modules`.
    """
    if isinstance(finetune, FullConfig) or finetune.target_modules == "all-linear":
        return
    wanted = finetune.target_modules
    names = {name.rpartition(".")[2] for name, _ in network.named_modules()}
    if isinstance(wanted, list) and not names & set(wanted):
        raise ModelError(
            f"finetune.target_modules={wanted}: the model has no such layers; it has {sorted(names - {''})}"
        )


def prepare(network: PreTrainedModel, finetune: FullConfig | LoraConfig) -> Any:
    """Prepare the model to train: as it is, or with LoRA adapters around frozen weights.

    Raises:
        ModelError: `finetune.target_modules`, a pattern, matches no layer.
    """
    if isinstance(finetune, FullConfig):
        return network
    from peft import LoraConfig as PeftLora
    from peft import get_peft_model

    settings = PeftLora(
        task_type="CAUSAL_LM",
        r=finetune.rank,
        lora_alpha=finetune.alpha,
        lora_dropout=finetune.dropout,
        target_modules=finetune.target_modules,
        # GPT-2 keeps its weights transposed (Conv1D)
        fan_in_fan_out=network.config.model_type == "gpt2",
    )
    try:
        return get_peft_model(network, settings)
    except ValueError as error:
        raise ModelError(f"finetune.target_modules={finetune.target_modules}: {str(error).splitlines()[0]}") from None


def save_adapters(network: Any, source: str, folder: Path) -> None:
    """Save the adapters alone, as peft loads them, if the model has any.

    Args:
        source: the weights that they adapt, as `model.source` names them.
    """
    if not hasattr(network, "peft_config"):
        return
    for settings in network.peft_config.values():
        settings.base_model_name_or_path = source
    network.save_pretrained(folder, save_embedding_layers=False)


def merge_adapters(network: Any) -> PreTrainedModel:
    """Return the plain model after training, with adapters merged into its weights."""
    return network.merge_and_unload() if hasattr(network, "merge_and_unload") else network


def _list_dropouts(config: PreTrainedConfig) -> list[str]:
    """The keys of a model's dropouts, as its family calls them; all but those of heads that are not used here."""
    values = config.to_dict().items()
    numbers = [key for key, value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    others = ("classifier", "summary", "layerdrop")
    return [key for key in numbers if "drop" in key and not any(other in key for other in others)]


def _load_config(model: ModelConfig, directory: Path | None) -> PreTrainedConfig:
    if directory is None:
        try:
            return AutoConfig.for_model(model.type, **model.shape)
        except (ValueError, TypeError) as error:
            raise ModelError(f"model.type={model.type}: {str(error).splitlines()[0]}") from None
    with broken_model(f"{directory}: its config.json cannot be used"):
        refuse_code(directory / "config.json", "model_type", lambda name: name in CONFIG_MAPPING)
        config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    check_shape(model, {key: getattr(config, key, None) for key in model.shape})
    return config


def _load(directory: Path, config: PreTrainedConfig) -> Any:
    with broken_model(f"{directory}: cannot be loaded"):
        layers, tensors = int(config.get_text_config().num_hidden_layers), _count_tensors(directory)
        if layers > tensors:  # to build so many would take for ever
            raise ModelError(f"{directory}: config.json has {layers:,} layers, and the weights {tensors:,} tensors")
        network, info = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,  # they are told below, by their names
            output_loading_info=True,
        )
    for name, had, expected in info["mismatched_keys"]:
        shapes = [" x ".join(map(str, shape)) for shape in (had, expected)]
        raise ModelError(f"{directory}: the tensor {name} has the shape {shapes[0]}, by config.json it is {shapes[1]}")
    if info["missing_keys"]:
        raise ModelError(f"{directory}: weights are missing, among them {sorted(info['missing_keys'])[0]}")
    return network


def _count_tensors(directory: Path) -> int:
    count = 0
    for file in directory.glob("*.safetensors"):
        with safe_open(file, "pt") as weights:
            count += len(weights.keys())
    return count
