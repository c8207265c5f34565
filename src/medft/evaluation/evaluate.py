"""The evaluation stage: one model, the test questions, everything that is measured of it.

Nothing here reads a training setting, so that runs which differ only in those can be compared. What is measured before
fine-tuning is cached: the jobs of a sweep share it.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from medft.config.paths import PACKAGE
from medft.config.schema import Config
from medft.console import say, say_stage, track, warn
from medft.data.batches import pad
from medft.data.encode import Encoded, decode_answer, encode_prompts
from medft.data.example import Example
from medft.data.samples import Sample
from medft.data.tokenizer import Tokenizer
from medft.data.words import split_words
from medft.errors import DamagedFile
from medft.evaluation.generation import NEAR_TIE, Generated, generate
from medft.evaluation.probes import load_probes
from medft.files import exclusive_lock, file_digest, json_digest, read_json, write_json
from medft.metrics.metric import AnswerScores
from medft.metrics.registry import list_missing_metrics, measure_answers
from medft.model.build import get_context_length
from medft.model.loss import supervised_loss

_MEASURING = ("evaluation", "metrics", "data", "model")  # the rooms whose code a measurement depends on


@dataclass(frozen=True)
class Measurement:
    """All that was measured of one model: its answers, and what it said to the probes, by probe id."""

    answers: list[AnswerScores]
    probes: dict[str, str]


def evaluate(
    network: Any,
    tokenizer: Tokenizer,
    test: Sequence[Example],
    encoded: Sequence[Encoded],
    config: Config,
    on_answer: Callable[[int, str], None] | None = None,
) -> Measurement:
    """Measure a model on the test questions, `encoded` in token ids, and ask it the probes. It stays as it is.

    Args:
        on_answer: is told each answer as soon as it is written, with its place: in `test`, and then in the probes.
    """
    network.eval()
    say_stage("losses of the expected answers")
    losses = compute_answer_losses(network, encoded, min(config.evaluation.max_length, get_context_length(network)))
    probes = load_probes(config.evaluation.probes)
    prompts = [row.prompt for row in encoded] + encode_prompts(probes, tokenizer, config.dataset.prompt)
    writes = config.generation.max_new_tokens > 0
    say_stage(f"writing {len(prompts)} answers" if writes else "no answers are written (generation.max_new_tokens=0)")
    together = None if config.evaluation.batch_size == "auto" else config.evaluation.batch_size
    texts = [""] * len(prompts)

    def keep(number: int, answer: Generated) -> None:
        texts[number] = decode_answer(answer.token_ids, tokenizer)
        if on_answer:
            on_answer(number, texts[number])

    generated = generate(network, prompts, config.generation, together, config.seed, keep)
    if ties := sum(answer.near_tie for answer in generated):
        say(f"{ties} of {len(prompts)} answers have a token whose logit was best by less than {NEAR_TIE:g}: written in "
            "batches of another size they may go on differently from there")  # fmt: skip
    say_stage("scoring")
    values = measure_answers([row.output for row in test], texts[: len(test)]) if writes else [{} for _ in test]
    answers = []
    for place, (row, loss, text) in enumerate(zip(test, losses, texts, strict=False)):  # the probes come after
        scores = AnswerScores(
            answer=text, hit_limit=writes and generated[place].hit_limit,
            nats=loss.nats, tokens=loss.tokens, cut=loss.cut,
            bytes=count_bytes_read(row.output, encoded[place], loss, tokenizer),
            words=len(split_words(text)), expected_words=len(split_words(row.output)),
            values=values[place],
        )  # fmt: skip
        answers.append(scores)
    return Measurement(answers, {probe.id: text for probe, text in zip(probes, texts[len(test) :], strict=True)})


@dataclass(frozen=True)
class AnswerLoss:
    """The loss of one expected answer; what the fields mean says `AnswerScores`."""

    nats: float
    tokens: int
    cut: int


@torch.inference_mode()
def compute_answer_losses(network: Any, rows: Sequence[Encoded], max_length: int) -> list[AnswerLoss]:
    """The loss of each row's answer, the prompt being context only.

    One row at a time, so that no row's loss depends on which others are in its batch. A row whose prompt alone
    fills `max_length` has no tokens to score.
    """
    losses = []
    for row in track(rows, "Loss of the expected answers"):
        ids = (row.prompt + row.answer)[:max_length]
        sample = Sample(ids, len(row.prompt))
        cut = len(row.prompt) + len(row.answer) - len(ids)
        if sample.supervised < 1:
            losses.append(AnswerLoss(0.0, 0, min(cut, len(row.answer))))
            continue
        nats = supervised_loss(network, pad([sample], pad_token_id=0).to(network.device))
        losses.append(AnswerLoss(float(nats), sample.supervised, cut))
    return losses


def count_bytes_read(expected: str, row: Encoded, loss: AnswerLoss, tokenizer: Tokenizer) -> int:
    """The UTF-8 bytes of an expected answer that its loss has read; end-of-text has a loss, but no bytes."""
    return len((tokenizer.decode(row.answer[: loss.tokens]) if loss.cut else expected).encode())


def compute_unigram_losses(
    training: Iterable[Sequence[int]], test: Iterable[Sequence[int]], vocab_size: int, additive: float = 0.1
) -> list[float]:
    """The loss, answer by answer, of a model that knows only how often tokens occur in the training answers.

    A fine-tuned model that is not clearly below it has learned nothing of order or content. Additive smoothing over
    the whole vocabulary.

    Args:
        training, test: token ids of answers; of the test those that `compute_answer_losses` reads.

    Returns:
        Nats of each test answer, summed over its tokens.
    """
    counts: Counter[int] = Counter()
    for ids in training:
        counts.update(ids)
    total = math.log(counts.total() + additive * vocab_size)
    return [sum(total - math.log(counts[token] + additive) for token in ids) for ids in test]


def compute_baseline_key(
    config: Config, network: Any, tokenizer: Tokenizer, test: Sequence[Example], encoded: Sequence[Encoded], device: str
) -> str:
    """A hash of all that a baseline depends on: the model, the tokenized test rows, the settings of evaluation and
    generation, and the code and libraries.
    """
    probes = load_probes(config.evaluation.probes)
    shape = {key: value for key, value in network.config.to_dict().items() if "drop" not in key and key[0] != "_"}
    parts: list[Any] = [
        digest_weights(network),
        shape,
        [row.fingerprint() for row in (*test, *probes)],
        [(row.prompt, row.answer) for row in encoded],
        encode_prompts(probes, tokenizer, config.dataset.prompt),
        config.generation.model_dump(),
        config.seed if config.generation.do_sample else None,
        config.evaluation.max_length,
        device,
        {name: version(name) for name in ("torch", "transformers", "rouge-score", "sacrebleu")},
        [metric.name for metric in list_missing_metrics()],
        [file_digest(file) for room in _MEASURING for file in sorted((PACKAGE / room).glob("*.py"))],
    ]
    return json_digest(parts, 32)


def digest_weights(network: torch.nn.Module) -> str:
    """SHA-256 (hex) over names and values of all weights."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def load_or_compute(key: str, cache: Path, compute: Callable[[], Measurement]) -> Measurement:
    """The measurement of this key from the cache, computed first if it is not there."""
    file = cache / "baselines" / f"{key}.json"
    with exclusive_lock(file.with_suffix(".json.lock")):
        try:
            known = read_json(file)
        except FileNotFoundError:
            pass
        except DamagedFile as error:
            warn(f"{error}: the baseline is measured anew")
        else:
            say(f"baseline: taken from {file}")
            return Measurement([AnswerScores(**row) for row in known["answers"]], known["probes"])
        measured = compute()
        write_json(file, asdict(measured))
    return measured
