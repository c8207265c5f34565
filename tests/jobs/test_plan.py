"""Which jobs a command line stands for, what a job is called, and the command that repeats it."""

import shlex
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from hydra import compose as hydra_compose

from medft.comparison.labels import shorten_keys
from medft.config.compose import validate
from medft.config.launchers import JobInfo
from medft.config.schema import Config
from medft.errors import InputError
from medft.jobs.plan import folder_name, freeze, job_command, job_label, load_frozen, make_job, plan, swept_values
from medft.runs.provenance import config_hash

KEYS = ["seed=1,2", "dataset.max_length=128,256"]


def test_every_combination_is_a_job() -> None:
    planned = plan([*KEYS, "model=gpt2"], multirun=True)
    assert planned.is_sweep
    assert planned.jobs == [
        [f"seed={seed}", f"dataset.max_length={length}", "model=gpt2"] for seed in (1, 2) for length in (128, 256)
    ]
    assert planned.keys == ["seed", "dataset.max_length"]
    assert planned.fixed == ["model=gpt2"]


def test_one_run_is_no_sweep(tmp_path: Path) -> None:
    planned = plan(["seed=1"], multirun=False)
    assert (planned.is_sweep, planned.jobs) == (False, [["seed=1"]])
    (config,) = planned.configs
    assert (config.seed, config.job.parent, config.job.command) == (1, None, "medft train seed=1")
    assert config.paths.output.parents[1] == tmp_path / "root" / "outputs"
    assert not config.paths.output.exists()
    assert plan(["paths.output_dir=here"], False).configs[0].paths.output_dir == "here"
    resumed = plan(["trainer.resume_from=there/checkpoints/last.ckpt"], False).configs[0]
    assert resumed.paths.output == tmp_path / "there"


def test_a_run_composes_its_config_once_and_a_sweep_once_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = Mock(side_effect=hydra_compose)
    monkeypatch.setattr("medft.config.compose.compose", composed)
    plan(["seed=1"], multirun=False)
    assert composed.call_count == 1
    plan(KEYS, multirun=True)
    assert composed.call_count == 1 + 1 + 4  # one to know that it is a sweep
    plan(["dataset.size=100,400"], multirun=True)
    assert composed.call_count == 1 + 1 + 4 + 1 + 2 * 2  # one more for a job that turns out to need larger data


def test_several_values_without_m_are_refused() -> None:
    with pytest.raises(InputError, match="seed=1,2.*add --multirun"):
        plan(["seed=1,2"], multirun=False)


def test_jobs_have_a_folder_of_their_own_and_a_command_that_repeats_them_alone(tmp_path: Path) -> None:
    jobs = plan([*KEYS, "launcher.n_jobs=2"], multirun=True).make_jobs("0a1b", tmp_path)
    assert [job.number for job in jobs] == [0, 1, 2, 3]
    first = jobs[0].config
    assert first.paths.output == tmp_path / "max_length=128,seed=1"
    assert first.job.model_dump() == {
        "parent": "0a1b",
        "label": "max_length=128, seed=1",
        "values": {"max_length": "128", "seed": "1"},
        "command": "medft train seed=1 dataset.max_length=128",
    }


def test_a_job_of_an_experiment_that_is_a_sweep_is_repeated_as_a_run(tmp_path: Path) -> None:
    planned = plan(["experiment=loss_on_response", "model=gpt2", "dataset=sample"], multirun=False)
    jobs = planned.make_jobs("0a1b", tmp_path)
    assert {job.config.job.command.endswith(" hydra.mode=RUN") for job in jobs} == {True}
    again = plan(shlex.split(jobs[0].config.job.command)[2:], multirun=False)
    assert (again.is_sweep, len(again.jobs)) == (False, 1)
    assert config_hash(again.configs[0].resolved) == config_hash(jobs[0].config.resolved)


def test_the_launcher_is_no_part_of_what_a_run_is() -> None:
    one, two = (plan([each], False).configs[0] for each in ("launcher=local", "launcher=ray"))
    assert one.launcher.name != two.launcher.name
    assert config_hash(one.resolved) == config_hash(two.resolved)


def test_a_database_file_is_for_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = ["seed=1,2", "launcher=slurm"]
    assert len(plan([*slurm, "tracking.uri=http://host:5000"], multirun=True).jobs) == 2
    assert len(plan([*slurm, "launcher.cluster=local"], multirun=True).jobs) == 2
    assert len(plan(["seed=1,2", "launcher=ray"], multirun=True).jobs) == 2
    monkeypatch.setenv("RAY_ADDRESS", "host:6379")
    with pytest.raises(InputError, match="launcher=ray: jobs on other machines need a server"):
        plan(["seed=1,2", "launcher=ray"], multirun=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert len(plan(slurm, multirun=True).jobs) == 2


def test_a_launcher_that_is_not_installed_says_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medft.jobs.plan.find_spec", lambda name: None)
    for name, module in (("slurm", "submitit"), ("ray", "ray")):
        with pytest.raises(InputError) as caught:
            plan([f"launcher={name}", "seed=1,2"], multirun=True)
        assert str(caught.value) == f"launcher={name}: {module} is not installed; pip install 'medft[{name}]'"


def test_an_experiment_can_be_a_sweep_without_m_and_the_command_line_wins() -> None:
    planned = plan(["experiment=loss_on_response", "seed=7"], multirun=False)
    assert planned.is_sweep
    assert planned.keys == ["dataset.loss_on"]
    assert [job[:2] for job in planned.jobs] == [[f"dataset.loss_on={each}", "seed=7"] for each in ("response", "all")]
    assert "experiment=loss_on_response" in planned.fixed


def test_more_values_are_the_same_sweep_and_other_settings_are_not() -> None:
    one = ["seed=choice(1)", "dataset.max_length=choice(128)"]
    first = plan(one, multirun=True).identity
    assert plan(["dataset.max_length=128,256", "seed=choice(2)"], multirun=True).identity == first
    assert plan([*one, "launcher.n_jobs=4", "launcher=ray", "sweep.fresh=true"], multirun=True).identity == first
    for other in ("dataset.size=100", "judge=none", "tracking.experiment_name=x", "trainer.max_epochs=1,2"):
        assert plan([*one, other], multirun=True).identity != first


def test_the_largest_size_chooses_the_data_of_all_jobs(tmp_path: Path) -> None:
    planned = plan(["dataset.size=100,400", "model=gpt2"], multirun=True)
    assert [(each.dataset.name, each.dataset.size) for each in planned.configs] == [("medquad", 100), ("medquad", 400)]
    assert len({str(each.tracking.tags) for each in planned.configs}) == 1
    commands = [job.config.job.command for job in planned.make_jobs("0a1b", tmp_path)]
    assert commands[0] == "medft train dataset.size=100 model=gpt2 dataset=medquad", "alone, it would be the sample"
    named = plan(["dataset.size=100,200,400", "model=gpt2", "dataset=medquad"], multirun=True)
    assert named.identity == planned.identity
    within = plan(["dataset.size=100,200", "model=gpt2"], multirun=True)
    assert {each.dataset.name for each in within.configs} == {"sample"}
    assert within.identity != planned.identity
    some = plan(["dataset=sample,auto", "dataset.size=400,100"], multirun=True)
    assert [each.dataset.name for each in some.configs] == ["sample", "sample", "medquad", "medquad"]
    assert "dataset=medquad" not in some.fixed


def test_the_size_of_an_experiment_counts_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    for name, size in (("small", 100), ("large", 400)):
        text = f"# @package _global_\ndataset: {{size: {size}}}\n"
        (tmp_path / "experiment" / f"{name}.yaml").write_text(text)
    planned = plan([f"hydra.searchpath=[file://{tmp_path}]", "experiment=small,large"], multirun=True)
    assert [(each.dataset.name, each.dataset.size) for each in planned.configs] == [("medquad", 100), ("medquad", 400)]


REFUSED = {
    "dataset.max_length=256,512,9999": r"job 2 \(max_length=9999\): dataset.max_length=9999",
    "dataset.max_length=interval(1,2)": "dataset.max_length: a sweep takes values, such as 1,2,3; ranges are for "
    "medft search, under search.ranges: 'search.ranges={dataset.max_length: {low: 1, high: 2}}'",
    "tracking.experiment_name=a,b": "tracking.experiment_name: cannot be swept",
    "launcher.n_jobs=0": "launcher.n_jobs: must be greater than or equal to 1",
    "launcher.time_limit=-1": "launcher.time_limit: must be greater than 0",
    "launcher.n_jops=1": "launcher.n_jops: no such key",
    "launcher=local,ray": "launcher: cannot be swept",
    "launcher=cloud": "launcher=cloud: no such option; there are local, ray, slurm",
    "hydra/launcher=basic,basic": "hydra/launcher: cannot be swept",
    "hydra.launcher.n_jobs=2": "hydra.launcher.n_jobs: no such key",
    "seed=1,2 launcher=slurm": "launcher=slurm: jobs on other machines need a server",
    "seed=1,2 launcher=ray launcher.address=host:6379": "launcher=ray: jobs on other machines need a server",
    "trainer.resume_from=x.ckpt": "trainer.resume_from cannot be used in a sweep",
    "dataset.sise=1,2": "dataset.sise: no such key",
    "seed=range(3,1)": "seed: a sweep over no value; say some, such as seed=1,2,3",
    "dataset=glob(*)": r"dataset=glob\(\*\): a sweep takes names, not patterns: dataset=A,B",
    "judge=null": "judge=null: choose one of auto, none, notebook, ollama, openai",
    "hydra.sweeper.params={seed:3}": "cannot be composed",
}


@pytest.mark.parametrize(("override", "message"), REFUSED.items())
def test_what_cannot_be_swept_is_one_line(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        plan(override.split(), multirun=True)
    assert "\n" not in str(caught.value)


def test_names_are_short_unless_two_end_alike() -> None:
    assert shorten_keys(["dataset.max_length", "seed", "judge/prompt"]) == {
        "dataset.max_length": "max_length", "seed": "seed", "judge/prompt": "prompt",
    }  # fmt: skip
    assert shorten_keys(["dataset.seed", "seed"]) == {"dataset.seed": "dataset.seed", "seed": "seed"}
    keys = ["dataset.split.seed", "seed"]
    assert shorten_keys(keys) == {"dataset.split.seed": "split.seed", "seed": "seed"}


def test_a_label_does_not_follow_the_order_of_the_command_line() -> None:
    overrides = ["seed=1", "dataset.max_length=512", "model=gpt2", "+tracking.tags.who=me"]
    for keys in (["seed", "dataset.max_length"], ["dataset.max_length", "seed"]):
        assert job_label(swept_values(overrides, keys)) == "max_length=512, seed=1"
    assert job_label({}) == "the only job"


def test_the_command_of_a_job_leaves_out_what_is_the_sweeps() -> None:
    overrides = ["seed=1", "dataset.path=my data.csv", "sweep.fresh=true", "launcher=slurm", "launcher.n_jobs=2"]
    assert shlex.split(job_command(overrides)) == ["medft", "train", "seed=1", "dataset.path=my data.csv"]


@pytest.mark.parametrize("label", ["max_length=512, seed=1", "path=/a/b", "path=/a_b", "x=..", "é=1", "a" * 500])
def test_a_label_is_a_safe_name_of_a_folder(label: str) -> None:
    name = folder_name(label)
    assert "/" not in name
    assert name not in ("", ".", "..")
    assert len(name) < 140
    assert name == folder_name(label)


def test_other_labels_have_other_folders() -> None:
    labels = ["path=/a/b", "path=_a_b", "path=/a_b", "a" * 200, "a" * 201, "b=1, c=2", "b=1,c=2"]
    assert len({folder_name(label) for label in labels}) >= len(labels) - 1  # the last two are the same words


@pytest.mark.parametrize("name", ["a b", "it's", "jürgen", "(v2) [1] {b}", "a=b,c#d&e", "a\\b", "$x:y", "${z}", "1e-3"])
def test_a_frozen_job_is_read_back_as_it_was(tmp_path: Path, compose: Callable[..., Config], name: str) -> None:
    info = JobInfo(parent="0a1b", label=f"tag={name}", values={"tag": name, "lr": "1e-3"}, command=f"medft {name}")
    given = compose("optimizer.lr=1.0000000000000002e-05")
    resolved = given.resolved
    resolved["tracking"]["tags"] = {"who": name}  # whatever signs are in it, they mean nothing any more
    job = make_job(3, validate(resolved), info, tmp_path / name)
    freeze(job)
    config = load_frozen(job.folder)
    assert repr(config) == repr(job.config)
    assert (config.job, config.resolved, config.paths.output) == (info, job.config.resolved, job.folder)
    assert (config.tracking.tags, config.optimizer.lr) == ({"who": name}, 1.0000000000000002e-05)


def test_only_runs_of_their_own_keep_their_weights_unless_told_otherwise(compose: Callable[..., Config]) -> None:
    info = JobInfo(parent="0a1b", label="seed=1")
    for setting, alone, in_sweep in (("auto", True, False), ("best", True, True), ("none", False, False)):
        config = compose(f"tracking.save_model={setting}")
        assert (config.saves_model, config.as_job(info, Path("x")).saves_model) == (alone, in_sweep)
