"""Which device a run takes, and in which number format it computes there."""

from medft.config.defaults import AUTO
from medft.config.schema import Config, TrainerConfig
from medft.errors import InputError

# torch is imported where the machine is asked: it takes seconds, and who only looks runs up does without

CHOICES = ("32-true", "bf16-mixed", "16-mixed")  # what `auto` becomes on one machine or another


def check_devices(config: TrainerConfig) -> None:
    """Check that the machine has the devices that a run asks for.

    Raises:
        InputError: it has not.
    """
    import torch

    device = choose_device(config)
    if device == "cuda" and torch.cuda.device_count() < config.devices:
        raise InputError(
            f"trainer.devices={config.devices}: this machine has {torch.cuda.device_count()} NVIDIA GPU(s); "
            "use trainer=auto"
        )
    if device == "mps" and not torch.backends.mps.is_available():
        raise InputError("trainer.accelerator=mps: this machine has no GPU of Apple's; use trainer.accelerator=auto")
    if config.precision == "16-mixed" and device != "cuda":
        raise InputError("trainer.precision=16-mixed: is for NVIDIA GPUs; use bf16-mixed or 32-true")


def choose_device(config: TrainerConfig) -> str:
    """Choose the device of a run, as torch names it: `cpu`, `cuda` or `mps`."""
    if config.accelerator != AUTO:
        return config.accelerator
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_precision(config: TrainerConfig) -> str:
    """Choose the number format of a run, as Lightning names it: 16 bits where the machine multiplies in them."""
    if config.precision != AUTO:
        return config.precision
    import torch

    from medft.model.hardware import has_bfloat16, has_float16, processor_has_bfloat16

    device = choose_device(config)
    if device == "cuda":
        gpu = torch.device("cuda")
        return "bf16-mixed" if has_bfloat16(gpu) else "16-mixed" if has_float16(gpu) else "32-true"
    return "bf16-mixed" if device == "cpu" and processor_has_bfloat16() else "32-true"


def settle_precision(config: Config) -> Config:
    """The config with the precision that `auto` stands for on this machine, which is a setting of the run.

    Raises:
        InputError: the machine has not the devices that the config asks for.
    """
    check_devices(config.trainer)
    return config if config.trainer.precision != AUTO else config.with_precision(choose_precision(config.trainer))
