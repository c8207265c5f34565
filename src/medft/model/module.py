"""The LightningModule: the loss of a step and what it reports, with its `optimizer` and `scheduler`."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override

from medft.config.schema import AdamWConfig, SchedulerConfig, SgdConfig
from medft.data.batches import Batch
from medft.model.loss import supervised_loss


class CausalLM(LightningModule):
    """A causal language model in training.

    Every optimizer step minimises the mean loss over all supervised tokens of its micro-batches, however many of them
    `accumulate_grad_batches` joins and however unequal they are: gradients of sums are added up and divided once.
    Validation reports `val/loss` in nats per token, a mean over tokens and not over batches.

    Attributes:
        tokens_seen: tokens that this process has trained on, without padding.
    """

    def __init__(self, network: Any, optimizer: AdamWConfig | SgdConfig, scheduler: SchedulerConfig) -> None:
        super().__init__()
        self.network = network
        self._optimizer_config, self._scheduler_config = optimizer, scheduler
        self.tokens_seen = 0
        self._window: dict[str, torch.Tensor | float] = {"loss": 0.0, "tokens": 0.0}
        self._validation: dict[str, torch.Tensor | float] = {"loss": 0.0, "tokens": 0.0}

    @override
    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss, tokens = supervised_loss(self.network, batch)
        self._window["loss"] += loss.detach()
        self._window["tokens"] += tokens
        mask = batch.get("attention_mask")
        self.tokens_seen += batch["input_ids"].numel() if mask is None else int(mask.sum())
        self.log("loss", loss.detach() / tokens.clamp(min=1), prog_bar=True, logger=False)
        # a sum, whatever Lightning divides it by (it weighs all batches alike): the mean is taken before the step
        return loss * self.trainer.accumulate_grad_batches

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # divides the summed gradients by the supervised tokens of the whole step
        loss, tokens = self._sum_over_processes(self._window)
        self._window = {"loss": 0.0, "tokens": 0.0}
        scale = self.trainer.world_size / tokens.clamp(min=1)  # several processes average what should be summed
        gradients = [parameter.grad for parameter in self.network.parameters() if parameter.grad is not None]
        for gradient in gradients:
            gradient.mul_(scale)
        step = self.global_step + 1
        if self.logger and (step % self.trainer.log_every_n_steps == 0 or step == 1):  # type: ignore[attr-defined]
            norm = torch.nn.utils.get_total_norm(gradients)
            rate = optimizer.param_groups[0]["lr"]
            values = {"train/loss": float(loss / tokens), "train/lr": rate, "train/grad_norm": float(norm)}
            self.logger.log_metrics(values, step=step)

    @override
    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        loss, tokens = supervised_loss(self.network, batch)
        self._validation["loss"] += loss
        self._validation["tokens"] += tokens

    @override
    def on_validation_epoch_end(self) -> None:
        loss, tokens = self._sum_over_processes(self._validation)
        self._validation = {"loss": 0.0, "tokens": 0.0}
        self.log("val/loss", loss / tokens, prog_bar=True, logger=False)
        if self.logger and not self.trainer.sanity_checking:
            self.logger.log_metrics({"val/loss": float(loss / tokens)}, step=self.global_step)

    @override
    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.network.parameters(), self._optimizer_config)
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = build_scheduler(optimizer, self._scheduler_config, total)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _sum_over_processes(self, sums: dict[str, torch.Tensor | float]) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum loss and tokens over all processes."""
        pair = torch.stack([torch.as_tensor(sums[key], device=self.device).float() for key in ("loss", "tokens")])
        if self.trainer.world_size > 1:
            gathered = self.all_gather(pair)
            assert isinstance(gathered, torch.Tensor)
            pair = gathered.sum(0)
        return pair[0], pair[1]


def build_optimizer(parameters: Iterable[Parameter], config: AdamWConfig | SgdConfig) -> torch.optim.Optimizer:
    """Build the optimizer of trainable parameters; vectors (biases, norms) are not decayed unless `decay_all`."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if config.decay_all or p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if not config.decay_all and p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(config, AdamWConfig):
        return torch.optim.AdamW(groups, lr=config.lr, betas=(config.betas[0], config.betas[1]), eps=config.eps)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)


def build_scheduler(optimizer: torch.optim.Optimizer, config: SchedulerConfig, total_steps: int) -> LambdaLR:
    """Build the schedule of the learning rate over `total_steps` optimizer steps."""
    return LambdaLR(optimizer, lambda step: compute_lr_factor(step, total_steps, config))


def compute_lr_factor(step: int, total_steps: int, config: SchedulerConfig) -> float:
    """Compute the rate of a step (from 0) as a share of the peak: linear warm-up, then cosine, linear or constant."""
    warmup = math.ceil(config.warmup_ratio * total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.name == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    left = 0.5 * (1 + math.cos(math.pi * done)) if config.name == "cosine" else 1 - done
    return config.min_lr_ratio + (1 - config.min_lr_ratio) * left
