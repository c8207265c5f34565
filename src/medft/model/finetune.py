"""`finetune`: which weights are trained."""

from typing import Any

from transformers import PreTrainedModel

from medft.config.schema import FullConfig, LoraConfig
from medft.errors import ModelError


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


def merge_adapters(network: Any) -> PreTrainedModel:
    """Return the plain model after training, with adapters merged into its weights."""
    return network.merge_and_unload() if hasattr(network, "merge_and_unload") else network
