"""Builds a transformers model from its config and directory."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, PreTrainedConfig, PreTrainedModel

from medft.config.schema import ModelConfig
from medft.data.tokenizer import Tokenizer
from medft.errors import ModelError


def build_model(model: ModelConfig, directory: Path | None, tokenizer: Tokenizer, seed: int) -> PreTrainedModel:
    """Build a model in float32 on the CPU, from `directory` or from scratch with random weights (`seed`).

    Raises:
        ModelError: its weights or shape do not match the config.
    """
    config = _load_config(model, directory)
    names = [name for name in ("embd_pdrop", "resid_pdrop", "attn_pdrop", "attention_dropout") if hasattr(config, name)]
    if model.dropout and not names:
        raise ModelError(f"model.dropout={model.dropout}: {config.model_type} models have no dropout to set")
    for name in names:
        setattr(config, name, model.dropout)
    config.eos_token_id, config.pad_token_id = tokenizer.end_token_id, tokenizer.pad_token_id
    if directory is None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            network = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    else:
        network = _load(directory, config)
    # greedy decoding whatever the model's own file suggests: `generation` decides how answers are generated
    network.generation_config = GenerationConfig(
        eos_token_id=tokenizer.end_token_id, pad_token_id=tokenizer.pad_token_id
    )
    return network


def get_context_length(network: PreTrainedModel) -> int:
    """Return the longest sequence, in tokens, that a model reads."""
    return int(network.config.max_position_embeddings)


def count_parameters(network: torch.nn.Module) -> dict[str, int]:
    """Count all parameters (`total`) and those that training changes (`trainable`)."""
    parameters = list(network.parameters())
    return {
        "total": sum(each.numel() for each in parameters),
        "trainable": sum(each.numel() for each in parameters if each.requires_grad),
    }


def _load_config(model: ModelConfig, directory: Path | None) -> PreTrainedConfig:
    if directory is None:
        try:
            return AutoConfig.for_model(model.type, **model.shape)
        except (ValueError, TypeError) as error:
            raise ModelError(f"model.type={model.type}: {str(error).splitlines()[0]}") from None
    config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    for key, expected in model.shape.items():
        if (actual := getattr(config, key, None)) != expected:
            raise ModelError(
                f"model.source={model.source} has {key}={actual}, but model={model.name} has {expected}: "
                f"choose the preset that fits, or say model.shape.{key}={actual}"
            )
    return config


def _load(directory: Path, config: PreTrainedConfig) -> Any:
    try:
        network, info = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{directory}: cannot be loaded ({str(error).splitlines()[0]})") from None
    if info["missing_keys"]:
        raise ModelError(f"{directory}: weights are missing, among them {sorted(info['missing_keys'])[0]}")
    return network
