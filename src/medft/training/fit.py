"""Fits a model to its data: the trained model and its costs come out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger
from transformers import PreTrainedModel

from medft.config.paths import ADAPTERS
from medft.config.schema import Config
from medft.data.module import MedicalQA
from medft.model.build import merge_adapters, prepare, save_adapters
from medft.model.flops import count_training_flops, measure_peak_flops
from medft.model.head import keep_logits_out
from medft.model.loss import use_flat_attention
from medft.model.module import CausalLM
from medft.training.callbacks import Costs, PeakMemory, Progress, ValidationPoints
from medft.training.checkpoints import BEST, LAST, get_checkpoint_folder, require_checkpoint
from medft.training.compiling import compile_layers
from medft.training.distributed import join_processes
from medft.training.memory import MemoryPlan, keep_to_plan, plan_memory, release_memory
from medft.training.precision import choose_device, choose_precision
from medft.training.saving import BestWeights, Checkpoints, RandomState, WholeCheckpoints


@dataclass(frozen=True)
class TrainingCosts:
    """The costs of fitting; of a resumed run those of all its parts, without what an interruption lost."""

    train_tflop: float  # 10^12 floating-point operations of the training steps: the same on every machine
    train_seconds: float  # wall time, validation included
    train_tokens: float  # tokens trained on, without padding
    tokens_per_second: float  # these tokens over the time spent in training steps
    peak_memory: float  # in MiB, of the GPU if that trains, else of the process
    mfu: float | None  # model FLOPs utilization: work done over what the machine's products reach; None = not known


@dataclass(frozen=True)
class FitResult:
    """The result of training."""

    network: PreTrainedModel  # plain, with the weights that `evaluation.weights` asks for, in float32 on the CPU
    steps: int  # optimizer steps made
    best_step: int  # the step with the lowest validation loss
    plan: MemoryPlan
    costs: TrainingCosts | None  # None in all processes but the first of a distributed run


def fit(config: Config, network: PreTrainedModel, data: MedicalQA, logger: Logger | None) -> FitResult:
    """Fine-tune `network` in place.

    Raises:
        InputError: the accelerator or the checkpoint to resume from does not exist.
        KeyboardInterrupt: the run was interrupted, by Ctrl-C or SIGTERM.
        MedftError: another process of a distributed run died.
    """
    pl.seed_everything(config.seed, verbose=False)
    # otherwise deterministic runs fill every new tensor to uncover reads before writes, a tenth of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    tuned = prepare(network, config.finetune)
    module = CausalLM(tuned, config.optimizer, config.scheduler, data.collate, config.trainer.gradient_clip_val)
    folder = get_checkpoint_folder(config)
    best = BestWeights(folder / BEST)
    points = ValidationPoints(config.trainer.val_checks_per_epoch)
    device = choose_device(config.trainer)
    memory = PeakMemory(device)
    costs = Costs(memory)
    checkpoints = Checkpoints(folder / LAST, config.trainer.checkpoint_minutes, best)
    callbacks: list[Callback] = [points, best, costs, RandomState(), Progress(), checkpoints]
    with join_processes(config, device) as plugins, memory, ready_to_train(config, network, tuned, data) as plan:
        trainer = _make_trainer(config, logger, callbacks, plugins)
        with compile_layers(network) if config.trainer.compile else nullcontext():
            _run(trainer, module, data, config.trainer.resume_from)
    spent = costs.measure()
    if not trainer.is_global_zero:  # the first process does the rest
        return FitResult(network, trainer.global_step, best.step, plan, None)
    if config.evaluation.weights == "best":
        best.load(tuned)
    if config.saves_model:
        save_adapters(tuned, config.model.source or "", config.paths.output / ADAPTERS)
    peak = measure_peak_flops(device, choose_precision(config.trainer))
    speed = spent["tokens"] / max(spent["step_seconds"], 1e-9)
    flops = count_training_flops(tuned, data.samples["train"])  # of a token
    return FitResult(
        network=merge_adapters(tuned).float().to("cpu"),
        steps=trainer.global_step,
        best_step=best.step,
        plan=plan,
        costs=TrainingCosts(
            train_tflop=spent["tokens"] * trainer.world_size * flops / 1e12,
            train_seconds=spent["train_seconds"],
            train_tokens=spent["tokens"] * trainer.world_size,
            tokens_per_second=speed * trainer.world_size,
            peak_memory=spent["peak_memory"],
            mfu=speed * flops / peak if peak else None,
        ),
    )


@contextmanager
def ready_to_train(config: Config, network: PreTrainedModel, tuned: Any, data: MedicalQA) -> Iterator[MemoryPlan]:
    """Inside this context the model reads and learns as a training has it, by a plan of its memory.

    Args:
        network: still on the CPU.
        tuned: the same with its adapters, if there are any.
    """
    release_memory()
    data.rows_per_step = config.dataset.batch_size * config.trainer.accumulate_grad_batches
    data.keeps_micro_batches = config.trainer.tokens_per_forward == "auto"
    tuned.train()  # a loaded or evaluated model is in evaluation mode, which has no dropout
    with keep_logits_out(network), nullcontext() if config.dataset.collate == "pad" else use_flat_attention(network):
        plan = plan_memory(config, network, tuned, choose_device(config.trainer), data.collate)
        with keep_to_plan(plan, network, data.collate):
            yield plan


def _make_trainer(
    config: Config, logger: Logger | None, callbacks: list[Callback], plugins: Sequence[Any] = ()
) -> pl.Trainer:
    settings = config.trainer
    device = choose_device(settings)
    precision: Any = choose_precision(settings)
    return pl.Trainer(
        accelerator=device,
        devices=settings.devices,
        strategy=settings.strategy,
        precision=precision,
        max_epochs=settings.max_epochs,
        max_steps=settings.max_steps or -1,
        val_check_interval=1,  # ValidationPoints chooses among these
        log_every_n_steps=settings.log_every_n_steps,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,  # EpochOrder does that
        logger=logger or False,
        callbacks=callbacks,
        plugins=[WholeCheckpoints(), *plugins],
        default_root_dir=config.paths.output,
        enable_model_summary=False,
        deterministic=device == "cpu",
    )


def _run(trainer: pl.Trainer, module: CausalLM, data: MedicalQA, resume_from: str | None) -> None:
    if resume_from:
        require_checkpoint(resume_from)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
    except SystemExit:  # how Lightning ends after Ctrl-C
        raise KeyboardInterrupt from None
    if trainer.interrupted:
        raise KeyboardInterrupt
