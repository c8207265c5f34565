"""`medft plan`: what a run, or each job of a sweep, will take on this machine."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medft.config.roles import SEEDS, SETTINGS, settings_with
from medft.config.schema import Config
from medft.console import format_roughly, format_size, print_table, quieten, quieten_loggers, say, say_stage
from medft.files import json_digest
from medft.inputs import check_inputs, check_machine, fetch_data
from medft.jobs.plan import job_label, plan, swept_values

if TYPE_CHECKING:
    from medft.estimate import Estimate

_USAGE = """\
medft plan [-m] [KEY=VALUE ...]

Probes of a few seconds with the config's own model and data say how much memory, time and disk a run will take here, or
with -m each job of a sweep, and what share training, writing answers and judging have. Nothing is trained or logged.

  medft plan model=smollm2-135m dataset=medquad dataset.path=medquad.zip
  medft plan -m experiment=max_length dataset.path=medquad.zip launcher.n_jobs=2"""


def plan_runs(argv: list[str]) -> int:
    """Print the estimates; returns the exit code.

    Raises:
        InputError: a run of this config could not be begun.
    """
    if {"--help", "-h"} & set(argv):
        print(_USAGE)
        return 0
    overrides = [each for each in argv if each not in ("-m", "--multirun")]
    planned = plan(overrides, len(overrides) < len(argv))
    check_inputs(planned.configs)
    check_machine(planned.configs)
    fetch_data(planned.configs)
    quieten()
    from medft.estimate import estimate

    quieten_loggers()
    labels = [job_label(swept_values(job, planned.keys)) if planned.is_sweep else "this run" for job in planned.jobs]
    found: dict[str, Estimate] = {}
    known: dict[str, Estimate] = {}  # by settings: a seed changes nothing of what is estimated
    for label, config in zip(labels, planned.configs, strict=True):
        settings = settings_with(config.resolved, SETTINGS)
        key = json_digest({name: value for name, value in settings.items() if name not in SEEDS})
        if key not in known:
            say_stage(f"probing {label}")
            known[key] = estimate(config)
        found[label] = known[key]
    _show(found, planned.configs)
    return 0


def _show(found: dict[str, "Estimate"], configs: Sequence[Config]) -> None:
    config = configs[0]
    rows = [[label, *_format(each)] for label, each in found.items()]
    print_table("what it will take", ["", "memory", "disk", "time", "training", "writing", "judging"], rows)
    for why in dict.fromkeys(each.no_judge for each in found.values() if each.no_judge):
        say(f"judging is not in it: {why}")
    if len(found) > 1:
        time = format_roughly(sum(each.seconds for each in found.values()))
        say(f"all {len(found)} jobs, one after the other: {time}, less the baselines that they share")
        if (config.launcher.n_jobs or len(found)) > 1:
            say("at once they take less where each has a GPU or a machine of its own; on one CPU they share its cores")
    _say_power(next(iter(found.values())).group_sizes, configs)
    say("answers are taken to be as long as they may be before fine-tuning, and as the expected ones after it")


def _format(each: "Estimate") -> Sequence[str]:
    parts = (each.training, each.writing, each.judging)
    shares = ["?" if part is None else f"{part / each.seconds:.0%}" for part in parts]
    return [format_size(each.memory), format_size(each.disk), format_roughly(each.seconds), *shares]


def _say_power(group_sizes: Sequence[int], configs: Sequence[Config]) -> None:
    """How small a difference between settings these questions and seeds could show."""
    from medft.comparison.settings import GROUP_SPREAD, SEED_SPREAD, foretell_spread
    from medft.comparison.significance import LEVEL

    seeds = len({(config.seed, config.dataset.train_seed) for config in configs})
    variants = max(2, len(configs) // seeds)
    groups = len(group_sizes)
    if seeds < 2 or groups < 2:
        counted = f"{groups} test groups, one seed" if groups > 1 else f"one test group, {seeds} seeds"
        remedy = "seed=1,2,3 or more can" if groups > 1 else "a larger dataset.split.test can"
        say(f"{counted}: differences between settings cannot be shown; {remedy}")
        return
    spread = foretell_spread(group_sizes, seeds, variants)
    as_it_is, by_seeds, by_questions = map(float, spread.list_detectable(LEVEL / (variants - 1)))
    named = f"{as_it_is:.2g}, with twice the seeds {by_seeds:.2g}, with twice the questions {by_questions:.2g}"
    say(
        f"{groups} test groups, {seeds} seeds: a difference of {named} bits per byte between two of {variants} "
        f"settings would be found four times in five, if seeds lie {SEED_SPREAD} apart and groups {GROUP_SPREAD}, as "
        "in experiments/max_length"
    )
