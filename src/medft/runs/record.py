"""What a run leaves: results are logged here, and read back typed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from medft.config.paths import ADAPTERS
from medft.config.roles import SEEDS, TRAIN_SEED
from medft.config.schema import Config
from medft.console import track, warn
from medft.data.tokenizer import Tokenizer
from medft.errors import InputError
from medft.evaluation.judges.base import Judge
from medft.evaluation.judging.human import (
    MARKS,
    HumanResults,
    Mark,
    read_marks,
    replace_mark,
    summarize_marks,
    write_marks,
)
from medft.evaluation.judging.metrics import JudgeResults, compare_judges, summarize_judge
from medft.evaluation.predictions import Prediction, list_judges, read_jsonl, write_jsonl, write_notebook_json
from medft.files import apply_umask
from medft.metrics.registry import BeforeAfter
from medft.metrics.statistics import Estimate
from medft.runs.local_run import LocalRun
from medft.runs.metric_names import (
    LOSS_CURVES,
    UNIGRAM_LOSS,
    flatten_human,
    flatten_judge,
    read_costs,
    read_estimate,
    read_results,
)
from medft.runs.pyfunc import describe_model
from medft.runs.query import RunStore
from medft.runs.remote_run import StoredRun
from medft.runs.state import FINISHED, LEAKING, Curve

IDENTITY = "identity"  # the tag judge.<name>.identity tells two judges of one name apart
_RELIABLE = {True: "reliable", False: "unreliable", None: "unknown"}


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        metrics: the last value of each, under its MLflow name.
        params: the settings, by dotted key.
        curves: `train/loss` and `val/loss`, as (optimizer step, value).
        questions: that it was tested on; a comparison may have only some of their predictions.
        config: as it was logged, as YAML.
        audit: what audit.json says.
        marks: by people.
    """

    run_id: str
    name: str
    started: datetime
    metrics: dict[str, float]
    tags: dict[str, str]
    params: dict[str, str]
    curves: dict[str, Curve]
    predictions: Sequence[Prediction]
    questions: int
    config: str
    audit: dict[str, Any] | None
    marks: Sequence[Mark] = ()

    @cached_property
    def results(self) -> dict[str, BeforeAfter]:
        """The metrics of the answers, as they were logged."""
        return read_results(self.metrics)

    @cached_property
    def judges(self) -> list[JudgeResults]:
        """What the verdicts in its predictions come to, judges in alphabetical order."""
        return [summarize_judge(name, self.predictions) for name in list_judges(self.predictions)]

    @cached_property
    def human(self) -> HumanResults | None:
        """What the marks by people come to; None if there are none."""
        return summarize_marks(self.marks, self.predictions)

    @property
    def unigram_loss(self) -> Estimate | None:
        """The loss of knowing word frequencies only."""
        return read_estimate(self.metrics, UNIGRAM_LOSS)

    @property
    def costs(self) -> dict[str, float]:
        """By the names of `TrainingCosts`."""
        return read_costs(self.metrics)

    @property
    def is_leaking(self) -> bool:
        """Whether it was trained on its test questions."""
        return self.tags.get(LEAKING) == "true"

    @property
    def seed(self) -> str:
        """As a parameter has it, with `dataset.train_seed` where that is another; `?` where there is none."""
        seed, drawn = (self.params.get(key) for key in SEEDS)
        return f"{seed or '?'}" if drawn in (None, "None", seed) else f"{seed or '?'}, {TRAIN_SEED}={drawn}"


def read_predictions(run: StoredRun) -> list[Prediction]:
    """The test questions with their answers and verdicts, as the run has logged them.

    Raises:
        InputError: it has logged none.
    """
    return read_jsonl(run.artifact("predictions.jsonl"))


def read_human_marks(run: StoredRun) -> list[Mark]:
    """The marks by people that the run has."""
    try:
        return read_marks(run.artifact(MARKS))
    except InputError:
        return []


def read_record(run: StoredRun, predictions: Sequence[Prediction] | None = None) -> RunRecord:
    """Read what the run has logged.

    Args:
        predictions: where they are at hand already.

    Raises:
        InputError: it has logged no predictions or no config.
    """
    try:
        audit = json.loads(run.artifact("audit.json").read_text(encoding="utf-8"))
    except InputError:
        audit = None
    state = run.state
    rows = read_predictions(run) if predictions is None else predictions
    return RunRecord(
        run_id=run.run_id,
        name=state.name,
        started=state.started_at,
        metrics=dict(state.metrics),
        tags=dict(state.tags),
        params=dict(state.params),
        curves={name: run.history(name) for name in LOSS_CURVES},
        predictions=rows,
        questions=len(rows),
        config=run.artifact("config.yaml").read_text(encoding="utf-8"),
        audit=audit,
        marks=read_human_marks(run),
    )


@dataclass(frozen=True)
class RunQuery:
    """Which runs are meant: exactly one of the three is given."""

    ids: Sequence[str] = ()
    parent: str = ""
    filter: str = ""


def load_runs(store: RunStore, query: RunQuery) -> tuple[list[RunRecord], dict[str, str]]:
    """Read all that the runs have logged; warns of runs that are left out.

    Returns:
        The runs; and the ids of those that are left out, each with the reason.

    Raises:
        InputError: there is no run to compare, or one that was named cannot be.
    """
    if query.parent:
        runs = store.find_children(query.parent)
    else:
        runs = store.search_runs(query.filter) if query.filter else store.find_runs(query.ids)
    left_out = {run.run_id: f"it is {run.state.status}" for run in runs if run.state.status != FINISHED}
    runs = [run for run in runs if run.run_id not in left_out]
    records = []
    for run in track(runs, "reading runs", len(runs)):
        try:
            record = read_record(run)
            if not record.predictions:
                raise InputError(f"run={record.run_id}: its predictions.jsonl has no rows")
            records.append(record)
        except InputError as error:
            if query.ids:
                raise
            left_out[run.run_id] = str(error).split(": ", 1)[-1]
    for run_id, why in left_out.items():
        warn(f"run {run_id} is left out: {why}")
    if not records:
        where = f"parent={query.parent}" if query.parent else f"filter={query.filter}"
        raise InputError(f"{where}: no finished run in {store.uri}")
    return records, left_out


def log_results(
    run: LocalRun, metrics: Mapping[str, float], predictions: Sequence[Prediction], probes: dict[str, dict[str, str]]
) -> None:
    """Log final metrics, predictions, and the answers to the probes, before and after."""
    run.log_metrics(metrics)
    cuts = [row.test.cut for row in predictions]
    lost = {"cuts.test.answers_cut": sum(cut > 0 for cut in cuts), "cuts.test.answer_tokens_lost": sum(cuts)}
    run.set_tags({key: str(number) for key, number in lost.items()})
    run.log_text("probes.json", json.dumps(probes, indent=2, ensure_ascii=False))
    _log_predictions(run, predictions)


def log_verdicts(
    run: LocalRun, judge: Judge, predictions: Sequence[Prediction], results: JudgeResults
) -> dict[str, float]:
    """Log the description of a judge, its scores, and the predictions with its verdicts; returns the metrics: the
    judge's, and those of its agreement with others that have judged the run.
    """
    facts = {**judge.describe(), IDENTITY: judge.identity()}
    facts["controls"] = f"{_RELIABLE[results.reliability.reliable]}: {results.reliability.why}"
    run.set_tags({f"judge.{judge.name}.{key}": value for key, value in facts.items()})
    metrics = flatten_judge(results, [each for each in compare_judges(predictions) if judge.name in each.judges])
    run.log_metrics(metrics)
    _log_predictions(run, predictions)
    log_human_metrics(run, read_human_marks(run), predictions)  # people may agree with this judge, too
    return metrics


def log_mark(run: LocalRun, mark: Mark, predictions: Sequence[Prediction]) -> list[Mark]:
    """Log one more mark, and what all of them come to now; returns them. One process at a time may do so."""
    marks = replace_mark(read_human_marks(run), mark)
    with run.write_file(MARKS) as partial:
        write_marks(marks, partial)
    log_human_metrics(run, marks, predictions)
    return marks


def log_human_metrics(run: LocalRun, marks: Sequence[Mark], predictions: Sequence[Prediction]) -> None:
    """Log what marks by people come to, if there are any."""
    if results := summarize_marks(marks, predictions):
        run.log_metrics(flatten_human(results))


def log_model(run: LocalRun, network: Any, tokenizer: Tokenizer, config: Config) -> None:
    """Log the tuned model and its tokenizer as a directory that transformers loads, and that MLflow can serve."""
    folder = run.folder / "model"
    network.to("cpu").save_pretrained(folder)
    tokenizer.save(folder)
    describe_model(folder, config)
    apply_umask(folder)
    run.log_file(folder, "model")
    if (adapters := run.folder / ADAPTERS).is_dir():
        apply_umask(adapters)
        run.log_file(adapters, ADAPTERS)


def _log_predictions(run: LocalRun, predictions: Sequence[Prediction]) -> None:
    """Log predictions.jsonl and, in the notebook's format, predictions.json."""
    for name, write in (("predictions.jsonl", write_jsonl), ("predictions.json", write_notebook_json)):
        with run.write_file(name) as partial:
            write(predictions, partial)
