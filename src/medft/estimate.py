"""What a run will take, before it is begun: memory, time and disk, from short probes of its own model on its own data.

A probe does a little of what the run does, and what it took is scaled up: some micro-batches and optimizer steps, some
tokens of some answers, one verdict. How long the answers will be is not known: before fine-tuning as long as they may,
after it as long as the expected ones.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from medft.config.schema import Config
from medft.data.encode import Encoded
from medft.data.module import MedicalQA
from medft.data.samples import Samples
from medft.errors import MedftError
from medft.evaluation.evaluate import compute_answer_losses
from medft.evaluation.generation import count_places, iterate_answers
from medft.evaluation.judges.base import JudgeItem, judge_of
from medft.evaluation.probes import load_probes
from medft.experiment import load_model, preflight
from medft.model.build import count_parameters, get_context_length, prepare
from medft.model.loss import supervised_loss
from medft.model.module import build_optimizer
from medft.runs.splits import read_splits
from medft.training.callbacks import PeakMemory
from medft.training.fit import ready_to_train
from medft.training.precision import choose_device, settle_precision
from medft.training.settling import settle_model
from medft.training.space import BYTES_PER_NUMBER, list_needs

_SECONDS = 5.0  # of each probe that repeats something
_TOKENS = (2, 8)  # answers of two lengths, whose difference is what a token takes
_QUESTIONS = 12
_AROUND = 10.0  # seconds that a command takes besides: imports before, report and delivery after


@dataclass(frozen=True)
class Estimate:
    """What a run will take: `memory` and `disk` in bytes at most at once, the others in seconds.

    Attributes:
        reading: data and model, and what begins and ends a command.
        training: with its validations.
        writing: answers, and the losses of the expected ones, before and after.
        group_sizes: questions of each test group, which decide how small a difference can be shown.
        judging: None = the judge cannot be asked, for the reason in `no_judge`.
    """

    memory: float
    disk: float
    reading: float
    training: float
    writing: float
    judging: float | None
    no_judge: str = ""
    group_sizes: tuple[int, ...] = ()

    @property
    def seconds(self) -> float:
        """All that is known."""
        return self.reading + self.training + self.writing + (self.judging or 0.0)


@dataclass(frozen=True)
class _Writing:
    """How answers are written, in seconds."""

    prompt: float  # a prompt that is read
    step: float  # a step, that writes a token of each row
    row: float  # a row in a step


def estimate(config: Config) -> Estimate:
    """Estimate what a run of this config will take on this machine.

    Raises:
        InputError: it could not be begun.
    """
    began = time.perf_counter()
    config = settle_precision(config)
    splits = read_splits(config)
    network, tokenizer = load_model(config)
    config = settle_model(config, network, tokenizer)
    data = MedicalQA(config, splits, tokenizer, get_context_length(network))
    preflight(config, network)
    reading = time.perf_counter() - began + _AROUND
    device = choose_device(config.trainer)
    encoded = list(data.tokens["test"])
    writing = _estimate_writing(config, network.to(device), encoded, data.measured_length)
    disk = sum(list_needs(config, network).values())
    memory, training = _estimate_training(config, network, data, device)
    judging, why = _estimate_judging(config, data)
    sizes = Counter(splits.test.column("group")).values()
    return Estimate(memory, disk, reading, training, writing, judging, why, tuple(sizes))


def _estimate_training(config: Config, network: Any, data: MedicalQA, device: str) -> tuple[float, float]:
    """(bytes, seconds) of fitting."""
    settings = config.trainer
    network.to("cpu")
    tuned = prepare(network, config.finetune)
    samples, validation, memory = data.samples["train"], data.samples["validation"], PeakMemory(device)
    low = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(settings.precision)
    with memory, ready_to_train(config, network, tuned, data) as plan:
        tuned.to(device)
        optimizer = build_optimizer(tuned.parameters(), config.optimizer)

        def read(some: Samples, rows: Iterable[int], learns: bool) -> int:
            tokens = 0
            for batch in data.collate([some[row] for row in rows]):
                with torch.autocast(device, low) if low else nullcontext(), torch.set_grad_enabled(learns):
                    loss = supervised_loss(tuned, batch.to(torch.device(device)))
                if learns:
                    loss.backward()  # type: ignore[no-untyped-call]
                tokens += batch.tokens
            return tokens

        # two micro-batches show what a step of many takes: the second is there beside the gradients of the first; of
        # samples so long that their activations are not kept the longest takes most
        by_length = sorted(range(len(samples)), key=lambda row: -int(samples.lengths[row]))
        above = plan.recompute_above or math.inf
        kept = [row for row in by_length if int(samples.lengths[row]) <= above] or by_length
        read(samples, by_length[:1], True)
        few = -(-2 * plan.tokens_per_forward // int(samples.lengths[kept[0]]))
        read(samples, kept[: min(data.rows_per_step, few)], True)
        optimizer.step()  # makes its states, which are memory
        step = _time(optimizer.step)
        optimizer.zero_grad()
        some = min(data.rows_per_step, -(-2 * plan.tokens_per_forward // int(samples.lengths.mean())))
        token = _time_token(lambda rows: read(samples, rows, True), len(samples), some, _SECONDS)
        batch = config.dataset.batch_size
        token_read = _time_token(lambda rows: read(validation, rows, False), len(validation), batch, _SECONDS / 5)
    steps = -(-len(samples) // data.rows_per_step)
    total = min(settings.max_steps or steps * settings.max_epochs, steps * settings.max_epochs)
    checked = float(validation.lengths.sum()) * settings.val_checks_per_epoch * total / steps
    learned = float(samples.lengths.sum()) * total / steps
    best = count_parameters(tuned)["trainable"] * BYTES_PER_NUMBER  # kept beside those that are trained
    return memory.mib * 2**20 + best, learned * token + checked * token_read + total * step


def _time_token(read: Callable[[range], int], rows: int, together: int, longest: float) -> float:
    """Seconds a token, of reading so many rows together, again and again until that took long enough."""
    seconds, tokens, first = 0.0, 0, 0
    while seconds < longest and first < rows:
        seen: list[int] = []
        some = range(first, min(first + together, rows))
        seconds += _time(lambda some=some, seen=seen: seen.append(read(some)))  # type: ignore[misc]
        tokens, first = tokens + seen[0], first + together
    return seconds / tokens


def _estimate_writing(config: Config, network: Any, encoded: Sequence[Encoded], longest: int) -> float:
    """Seconds of measuring before and after the training."""
    few = sorted(encoded, key=lambda row: len(row.prompt) + len(row.answer))[len(encoded) // 2 :][:2]
    loss = _time(lambda: compute_answer_losses(network, few, longest)) / sum(_length(row, longest) for row in few)
    losses = loss * sum(_length(row, longest) for row in encoded)
    if not config.generation.max_new_tokens:
        return losses * (2 if config.evaluation.baseline else 1)
    rates = _measure_writing(config, network, [row.prompt for row in encoded])
    most = config.generation.max_new_tokens
    probes = [most] * len(load_probes(config.evaluation.probes))
    asked = config.evaluation.batch_size
    places = count_places(network, max(len(row.prompt) for row in encoded) + most) if asked == "auto" else asked
    after = losses + _simulate(rates, [min(most, len(row.answer)) for row in encoded] + probes, places)
    before = losses + _simulate(rates, [most] * len(encoded) + probes, places) if config.evaluation.baseline else 0.0
    return before + after


def _measure_writing(config: Config, network: Any, prompts: Sequence[Sequence[int]]) -> _Writing:
    def write(questions: int, tokens: int) -> float:
        limited = config.generation.model_copy(update={"max_new_tokens": tokens})
        chosen = [prompts[place % len(prompts)] for place in range(questions)]
        return _time(lambda: list(iterate_answers(network, chosen, limited, questions, config.seed)))

    short, long = _TOKENS
    write(1, short)  # the first is slower than the others
    alone, many = ((write(each, long) - write(each, short)) / (long - short) for each in (1, _QUESTIONS))
    row = max(0.0, (many - alone) / (_QUESTIONS - 1))
    prompt = max(0.0, write(_QUESTIONS, short) - short * many) / _QUESTIONS
    return _Writing(prompt, max(0.0, alone - row), row)


def _simulate(rates: _Writing, lengths: Sequence[int], places: int) -> float:
    """Seconds of writing answers of these lengths, where the place of one that has ended goes to the next."""
    waiting, rows = list(lengths), list[int]()
    seconds = rates.prompt * len(lengths)
    while waiting or rows:
        while waiting and len(rows) < places:
            rows.append(waiting.pop())
        steps = min(rows)
        seconds += steps * (rates.step + rates.row * len(rows))
        rows = [left - steps for left in rows if left > steps]
    return seconds


def _estimate_judging(config: Config, data: MedicalQA) -> tuple[float | None, str]:
    """Seconds of judging; None and the reason where the judge cannot be asked."""
    try:
        judge = judge_of(config).prepare() if config.generation.max_new_tokens else None
        if judge is None:
            return 0.0, ""
        row = next(iter(data.splits.test))
        item = JudgeItem(row.instruction, row.input, row.output, row.output)
        judge.score(item)  # loads its model
        verdict = _time(lambda: judge.score(item, 1))
    except MedftError as error:
        return None, str(error)
    rows = min(len(data.splits.test), judge.limit or len(data.splits.test))
    verdicts = (rows * (1 + config.evaluation.baseline) + 4 * min(rows, judge.controls)) * judge.repeats
    return verdict * verdicts / judge.concurrency, ""


def _length(row: Encoded, longest: int) -> int:
    return min(longest, len(row.prompt) + len(row.answer))


def _time(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began
