"""The LightningModule: the loss of a step and what it reports, with its `optimizer` and `scheduler`."""

import math
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import torch
from pytorch_lightning import LightningModule
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import override

from medft.config.schema import AdamWConfig, SchedulerConfig, SgdConfig
from medft.console import warn
from medft.data.batches import Batch, MicroBatches
from medft.data.samples import Sample
from medft.errors import InputError
from medft.model.loss import supervised_loss

Number = TypeVar("Number", int, torch.Tensor)


class CausalLM(LightningModule):
    """A causal language model in training.

    Every optimizer step minimises the mean loss over all supervised tokens of its samples, in however many
    micro-batches they are read. Validation reports `val/loss` in nats per token, a mean over tokens, not over batches.

    Attributes:
        tokens_seen: tokens that this process has trained on, without padding.
    """

    def __init__(
        self,
        network: Any,
        optimizer: AdamWConfig | SgdConfig,
        scheduler: SchedulerConfig,
        collate: MicroBatches,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__()
        # each step has as many forward passes as its samples take, which Lightning's own loop cannot have
        self.automatic_optimization = False
        self.network = network
        self._optimizer_config, self._scheduler_config = optimizer, scheduler
        self._collate, self._clip_norm = collate, clip_norm
        self.tokens_seen = 0
        self._loss = torch.zeros(())  # of the step: the mean over the tokens of all processes
        self._unread: tuple[int, dict[str, Any]] | None = None  # what the last logged step reports, on the GPU
        self._validation: list[tuple[torch.Tensor, int]] = []  # the loss of each batch, and its tokens

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._report()
        checkpoint["precision"] = self.trainer.precision

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if (before := checkpoint.get("precision")) != (now := self.trainer.precision):
            raise InputError(f"trainer.precision={now}: the training began with {before}, and goes on with that only")

    @override
    def training_step(self, samples: Sequence[Sample], batch_idx: int) -> None:
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        while True:
            try:
                self._loss = self._backward(self._collate(samples))
                break
            except torch.OutOfMemoryError:  # of a GPU
                optimizer.zero_grad()
                if self.trainer.world_size > 1 or not self._collate.halve():
                    raise
                torch.cuda.empty_cache()
                warn(f"out of memory: trainer.tokens_per_forward={self._collate.tokens_per_forward} from here on")
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        self.tokens_seen += sum(len(sample.input_ids) - 1 for sample in samples)
        self.log("loss", self._loss, prog_bar=True, logger=False)

    def _backward(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Compute the gradients of the mean loss over the tokens of all processes; returns that loss."""
        learned = self._sum_over_processes(sum(batch.learned for batch in batches))
        losses = []
        for number, batch in enumerate(batches, 1):
            # processes wait for one another once a step, in its last backward pass
            is_alone = self.trainer.world_size == 1 or number == len(batches)
            with nullcontext() if is_alone else self.trainer.strategy.block_backward_sync():  # type: ignore[attr-defined]
                loss = supervised_loss(self.network, batch.to(self.device))
                losses.append(loss.detach())
                with torch.autocast(self.device.type, enabled=False):  # a backward pass has the types of its forward
                    # processes average their gradients, which should be summed
                    self.manual_backward(loss * (self.trainer.world_size / learned))
        return self._sum_over_processes(torch.stack(losses).sum()) / learned

    @override
    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters])
        if self._clip_norm:
            torch.nn.utils.clip_grads_with_norm_(parameters, self._clip_norm, norm)
        self._report()
        step = self.global_step + 1
        if self.logger and (step % self.trainer.log_every_n_steps == 0 or step == 1):  # type: ignore[attr-defined]
            rate = optimizer.param_groups[0]["lr"]
            self._unread = step, {"train/loss": self._loss, "train/lr": rate, "train/grad_norm": norm}

    def _report(self) -> None:
        """Log what is unread. A step later a GPU has it ready; at once, it would have nothing to do meanwhile."""
        if self._unread and self.logger:
            step, values = self._unread
            self.logger.log_metrics({name: float(value) for name, value in values.items()}, step=step)
        self._unread = None

    @override
    def on_validation_start(self) -> None:
        self._report()

    @override
    def on_train_end(self) -> None:
        self._report()

    @override
    def validation_step(self, samples: Sequence[Sample], batch_idx: int) -> None:
        for batch in self._collate(samples) if samples else ():
            self._validation.append((supervised_loss(self.network, batch.to(self.device)), batch.learned))

    @override
    def on_validation_epoch_end(self) -> None:
        zero = torch.zeros((), device=self.device)  # of a process that has no rows
        losses = torch.stack([zero, *(loss for loss, _ in self._validation)]).sum()
        tokens = sum(tokens for _, tokens in self._validation)
        self._validation = []
        loss = self._sum_over_processes(losses) / self._sum_over_processes(tokens)
        self.log("val/loss", loss, prog_bar=True, logger=False)
        if self.logger and not self.trainer.sanity_checking:
            self.logger.log_metrics({"val/loss": float(loss)}, step=self.global_step)

    @override
    def configure_optimizers(self) -> Any:
        # a fused step divides by the loss scale itself, which is too late for the norm
        is_scaled = getattr(self.trainer.precision_plugin, "scaler", None) is not None
        optimizer = build_optimizer(self.network.parameters(), self._optimizer_config, fused=not is_scaled)
        total = int(self.trainer.estimated_stepping_batches)
        return [optimizer], [build_scheduler(optimizer, self._scheduler_config, total)]

    def _sum_over_processes(self, value: Number) -> Number:
        """The sum of what each process has; of one process its own, which a GPU need not be waited for."""
        if self.trainer.world_size == 1:
            return value
        gathered = self.all_gather(torch.as_tensor(value, device=self.device))
        assert isinstance(gathered, torch.Tensor)
        return gathered.sum(0)  # type: ignore[return-value]


def build_optimizer(
    parameters: Iterable[Parameter], config: AdamWConfig | SgdConfig, fused: bool = True
) -> torch.optim.Optimizer:
    """Build the optimizer of trainable parameters; vectors (biases, norms) are not decayed unless `decay_all`."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if config.decay_all or p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if not config.decay_all and p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(config, AdamWConfig):
        betas = (config.betas[0], config.betas[1])
        return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=fused)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, fused=fused)


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
