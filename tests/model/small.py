"""Small models with random weights, saved as transformers saves them, and a hub's cache with them."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from medft.data.tokenizer import Gpt2Tokenizer

# one of each architecture of conf/model
SHAPES = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 64},
    "llama": {"num_key_value_heads": 2},
    "gpt_neox": {},
    "qwen2": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 4},
}
_OTHERS = {"gemma2": {"num_key_value_heads": 2, "head_dim": 8}}  # which cannot read flattened batches
_COMMON = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": 16,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}


def shape_of(family: str, vocabulary: int) -> dict[str, int]:
    """The options of the config of a small model."""
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return {**({} if family == "gpt2" else _COMMON), **{**SHAPES, **_OTHERS}[family], "vocab_size": vocabulary, **ends}


def save_model(folder: Path, family: str = "gpt2", seed: int = 0, chat: str | None = None) -> Path:
    """A model with GPT-2's tokenizer, and with a chat template where one is given."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family, **shape_of(family, Gpt2Tokenizer.vocab_size))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    Gpt2Tokenizer().save(folder)
    if chat:
        (folder / "chat_template.jinja").write_text(chat)
    return folder


def fill_hub_cache(cache: Path, name: str, commits: dict[str, int], main: str, **kind: str) -> Path:
    """A cache as huggingface_hub leaves it after it has downloaded some commits of a model.

    Args:
        commits: with the seed of each.
        main: the commit of the branch.
        kind: `family` and `chat` of `save_model`.

    Returns:
        The folder of the model in it.
    """
    home = cache / f"models--{name.replace('/', '--')}"
    for commit, seed in commits.items():
        save_model(home / "snapshots" / commit, seed=seed, **kind)
    move_branch(home, main)
    return home


def move_branch(home: Path, commit: str) -> None:
    """What the branch main is from now on."""
    (home / "refs").mkdir(exist_ok=True)
    (home / "refs" / "main").write_text(commit)
