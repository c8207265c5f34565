"""Every file of conf/ composes, is checked, and builds what it describes; wrong input gives one line."""

import itertools
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM

from medft.config.compose import check, compose_config, compose_raw, validate
from medft.config.paths import conf_dir
from medft.config.section import JudgeOptions, ReaderOptions
from medft.data.readers.base import Reader, reader_of
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import InputError
from medft.evaluation.judges.base import Judge, judge_of
from medft.evaluation.probes import load_probes
from medft.model.build import build_model, count_parameters, prepare
from medft.model.module import build_optimizer, build_scheduler
from medft.training.fit import _make_trainer
from tests.composed import TINY

# What a choice cannot do without; `common` files are the base of their group, not a choice.
NEEDS = {"dataset=diseases": ["dataset.path=x.csv"], "dataset=alpaca": ["dataset.path=x.jsonl"]}
NEEDS |= {"finetune=lora": ["model=gpt2"], "judge=openai": ["judge.model=m"], "model=auto": ["model.source=a/b"]}

# one's own, and what medft search reads, which is no part of a run's config (tests/search knows it)
NOT_CHOICES = ("local", "search")


def choices() -> list[str]:
    files = sorted(path for path in conf_dir().glob("*/*.yaml") if path.stem != "common")
    prompts = [f"judge/prompt={path.stem}" for path in sorted((conf_dir() / "judge" / "prompt").glob("*.yaml"))]
    return [f"{path.parent.name}={path.stem}" for path in files if path.parent.name not in NOT_CHOICES] + prompts


@pytest.mark.parametrize("choice", choices())
def test_every_choice_composes_and_instantiates(choice: str) -> None:
    config = compose_config([choice, *NEEDS.get(choice, [])])
    assert isinstance(config.dataset.reader, Reader)
    assert isinstance(config.judge, Judge)


@pytest.mark.parametrize("path", sorted(conf_dir().rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_says_first_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert yaml.safe_load(text) is not None
    first = next(line for line in text.splitlines() if line != "# @package _global_")
    assert re.match(r"# \S+( \S+){2}", first), f"a sentence was expected: {first!r}"


# what needs no word: names of files, and what Hydra or transformers explain
PLAIN = {"name", "job.name", "run.dir", "accelerator", "_target_"}
PLAIN |= {f"shape.{key}" for key in ("n_layer", "n_head", "n_embd", "vocab_size")}


def leaves(node: yaml.MappingNode, prefix: str = "") -> Iterator[tuple[str, int]]:
    """(key, line) of each value of a YAML mapping."""
    for key, value in node.value:
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from leaves(value, f"{prefix}{key.value}.")
        else:
            yield f"{prefix}{key.value}", key.start_mark.line


def is_explained(lines: list[str], number: int) -> bool:
    """Whether a comment stands on the line or above it, with no blank line in between."""
    above = itertools.takewhile(str.strip, reversed(lines[:number]))
    return " #" in lines[number] or any(line.lstrip().startswith("#") for line in above)


GROUPS = {path.parent for path in conf_dir().rglob("*.yaml")} - {conf_dir() / "experiment", conf_dir() / "local"}


@pytest.mark.parametrize("group", sorted(GROUPS), ids=lambda group: group.name)
def test_every_key_is_explained_in_a_file_of_its_group(group: Path) -> None:
    explained: dict[str, bool] = {}
    for path in sorted(group.glob("*.yaml")):
        text, root = path.read_text(), yaml.compose(path.read_text())
        for key, line in leaves(root) if isinstance(root, yaml.MappingNode) else ():
            explained[key] = explained.get(key, False) or is_explained(text.splitlines(), line)
    assert [key for key, said in explained.items() if not said and key not in PLAIN] == []


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("scheduler", ["cosine", "linear", "constant"])
def test_optimizer_and_scheduler_files_build(optimizer: str, scheduler: str) -> None:
    config = compose_config([f"optimizer={optimizer}", f"scheduler={scheduler}", "model.shape.n_layer=1"])
    network = build_model(config.model, None, Gpt2Tokenizer(), 0)
    built = build_optimizer(network.parameters(), config.optimizer)
    build_scheduler(built, config.scheduler, 10)
    assert sum(len(group["params"]) for group in built.param_groups) == len(list(network.parameters()))


SIZES = {
    "distilgpt2": 81.9,
    "gpt2-nano": 10.1,
    "gpt2": 124.4,
    "gpt2-medium": 354.8,
    "gpt2-large": 774.0,
    "gpt2-xl": 1557.6,
}


@pytest.mark.parametrize(("name", "millions"), SIZES.items())
def test_gpt2_presets_have_the_published_sizes(name: str, millions: float) -> None:
    model = compose_config([f"model={name}", "generation.max_new_tokens=8"]).model
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(AutoConfig.for_model(model.type, **model.shape))
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("trainer", ["auto", "cpu"])
def test_trainer_files_build(trainer: str, tmp_path: Path) -> None:
    config = compose_config([f"trainer={trainer}", f"paths.output_dir={tmp_path}"])
    assert _make_trainer(config, None, []).max_epochs == config.trainer.max_epochs


def test_gpu_trainers_say_what_they_need() -> None:
    assert compose_config(["trainer=gpu"]).trainer.accelerator == "cuda"
    ddp = compose_config(["trainer=ddp", "trainer.devices=4"]).trainer
    assert (ddp.strategy, ddp.devices) == ("ddp", 4)


def test_lora_file_builds() -> None:
    config = compose_config(["finetune=lora", "model=gpt2", "model.shape.n_layer=1"])
    network = build_model(config.model.model_copy(update={"source": None}), None, Gpt2Tokenizer(), 0)
    assert 0 < count_parameters(prepare(network, config.finetune))["trainable"] < 1e6


@pytest.mark.parametrize(("name", "temperature"), [("greedy", 1.0), ("sample", 0.7)])
def test_generation_files_are_read(name: str, temperature: float) -> None:
    config = compose_config([*TINY, f"generation={name}"]).generation
    assert (config.do_sample, config.temperature) == (name == "sample", temperature)


def test_the_wheel_carries_the_whole_tree_but_ones_own_settings() -> None:
    project = tomllib.loads((conf_dir().parent / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["only-include"] == ["src/medft", "conf"]
    assert (wheel["sources"], wheel["exclude"]) == ({"conf": "medft/conf"}, ["conf/local"])


def test_probes_file_is_read() -> None:
    assert "Le chef cuisine le repas tous les jours." in [probe.input for probe in load_probes("probes.yaml")]


def test_model_brings_its_learning_rate() -> None:
    assert compose_config(["model=gpt2-nano"]).optimizer.lr == 2e-3
    assert compose_config(["model=gpt2-medium"]).optimizer.lr == 5e-5
    assert compose_config(["model=gpt2-medium", "optimizer.lr=1e-4"]).optimizer.lr == 1e-4


def test_notebook_experiment_is_the_notebooks() -> None:
    config = compose_config(["experiment=notebook"])
    assert (config.dataset.size, config.dataset.max_length, config.trainer.max_epochs) == (1100, 512, 2)
    assert (config.dataset.loss_on, config.dataset.split.train_on_all) == ("all", True)
    assert (config.optimizer.lr, config.optimizer.weight_decay, config.dataset.batch_size) == (5e-5, 0.1, 8)
    honest = compose_config(["experiment=honest"])
    assert (honest.dataset.loss_on, honest.dataset.split.train_on_all) == ("response", False)
    assert honest.optimizer == config.optimizer


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("dataset.max_lenght=3", "dataset.max_lenght: no such key (did you mean dataset.max_length?)"),
        ("++dataset.nonsense=1", "dataset.nonsense: no such key"),
        ("+dataset.split.nonsense=1", "dataset.split.nonsense: no such key"),
        ("++dataset.reader.nonsense=1", "dataset.reader.nonsense: no such key"),
        (
            "tracking.tags={who: me}",
            "tracking.tags.who: no such key; where new keys are allowed, +tracking.tags.who=VALUE",
        ),
        ("++nonsense=1", "nonsense: no such key"),
        ("dataset.size=abc", "dataset.size: must be a valid integer (got 'abc')"),
        ("dataset.size=1.5", "dataset.size: must be a valid integer (got 1.5)"),
        ("dataset.size=true", "dataset.size: must be a valid integer (got True)"),
        ("dataset.size=-1", "dataset.size: must be greater than or equal to 1 (got -1)"),
        ("dataset.size=0", "dataset.size: must be greater than or equal to 1 (got 0)"),
        ("dataset.loss_on=answer", "dataset.loss_on: must be 'response' or 'all' (got 'answer')"),
        ("dataset.split.test=1.5", "dataset.split.test: "),
        ("dataset=diseases", "dataset.path: a value is required"),
        ("model=auto", "model.source: a value is required, for example model.source=..."),
        ("model.revision=v1", "model: revision=v1 is of a model on the hub, which source=None is not"),
        ("model=gpt9", "model=gpt9: no such option; there are auto, distilgpt2, gpt2"),
        (
            "finetune=lora",
            "finetune=lora adapts a pretrained model, but model=gpt2-nano is made from scratch "
            "(model.source=null); take model=distilgpt2, model=gpt2, ",
        ),
        ("dataset.max_length=4096", "dataset.max_length=4096: model=gpt2-nano reads 1024 tokens at most"),
        ("dataset.prompt=chat", "dataset.prompt=chat needs a model with a chat template"),
        ("trainer.devices=2", "trainer: devices=2 needs strategy=ddp"),
        ("generation.max_new_tokens=1024", "generation.max_new_tokens=1024 leaves no room"),
        ("dataset.path=3", "dataset.path: must be a valid string (got 3) or must be a valid list (got 3)"),
        ("trainer.max_steps=abc", "trainer.max_steps: must be a valid integer (got 'abc')"),
        ("optimizer.betas=[0.9,2]", "optimizer.betas.1: must be less than 1 (got 2)"),
        ("optimizer.betas=[0.9]", "optimizer.betas: "),
        ("~optimizer.eps", "optimizer.eps: a value is required"),
        ("~finetune.method", "finetune: "),
        ("++optimizer.rank=1", "optimizer.rank: no such key"),
        ("dataset.size=[1", "'dataset.size=[1': cannot be read; is a quote or a bracket not closed?"),
        ("dataset.size", "'dataset.size': settings are given as KEY=VALUE, without spaces"),
        ("dataset.size =3", "'dataset.size =3': settings are given as KEY=VALUE, without spaces"),
        ("dataset.max_length=128,", "'dataset.max_length=128,': ends with a comma"),
        (
            "tracking.run_name=fièvre",
            """'tracking.run_name=fièvre': a text with such characters needs quotes: 'tracking.""",
        ),
        (
            "dataset.path=a=b.csv",
            """'dataset.path=a=b.csv': a text with such characters needs quotes: 'dataset.path="a=b""",
        ),
        (
            "dataset.path=[é.csv,b]",
            """'dataset.path=[é.csv,b]': a text with such characters needs quotes: """
            """'dataset.path=["é.csv","b"]'""",
        ),
        ("lr=1e-4", "lr: no such key (did you mean optimizer.lr or model.lr?)"),
        ("optimizer.momentum=0.9", "optimizer.momentum: what is chosen has no such key; optimizer=sgd has"),
        (
            "model=org/Name-1.5B",
            "model=org/Name-1.5B: no such option; there are auto, distilgpt2, gpt2, gpt2-large, gpt2-medium, "
            "gpt2-nano, gpt2-xl, pythia-160m, pythia-410m, pythia-70m, qwen2.5-0.5b, qwen3-0.6b, smollm2-135m, "
            "smollm2-360m; for weights from there: model=auto model.source=org/Name-1.5B",
        ),
        (
            "dataset=/x/my.csv",
            "dataset=/x/my.csv: no such option; there are alpaca, auto, diseases, medquad, sample; for a file of "
            "yours: dataset=alpaca dataset.path=/x/my.csv",
        ),
        ("judge/prompt=nice", "judge/prompt=nice: no such option; there are notebook, plain, rubric"),
        ("dataset=common", "dataset=common: no such option; there are alpaca"),
        ("+experiment=common", "experiment=common: no such option; there are dataset_size"),
        (
            "dataset.reader._target_=os.system",
            "dataset.reader: os.system is not known: it is not in medft.data.readers",
        ),
        (
            "dataset.reader._target_=medft.data.readers.base.Path",
            "dataset.reader: medft.data.readers.base.Path is not a",
        ),
        (
            "dataset.reader._target_=medft.data.readers.base.Reader",
            "dataset.reader: medft.data.readers.base.Reader is abs",
        ),
        ("judge._target_=medft.data.readers.sample.Sample", "judge: medft.data.readers.sample.Sample is not known"),
        (
            "judge._target_=medft.evaluation.judges.nothing.Judge",
            "judge: cannot import medft.evaluation.judges.nothing",
        ),
    ],
)
def test_wrong_input_is_one_line_with_the_key(override: str, line: str) -> None:
    with pytest.raises(InputError) as caught:
        compose_config([override])
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_logged_config_opens_though_its_path_was_not_read() -> None:
    config = compose_config()
    old = {**config.resolved, "dataset": {**config.resolved["dataset"], "path": "mine.csv"}}
    assert validate(old).dataset.path == "mine.csv"


def test_a_class_comes_from_an_entry_point_and_nothing_else_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evilmod.py").write_text(f"open({str(tmp_path / 'was_here')!r}, 'w')\nclass X: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="evilmod.X is not known"):
        compose_config(["dataset.reader._target_=evilmod.X"])
    assert not (tmp_path / "was_here").exists()
    target = "dataset.reader._target_=tests.jobs.faulty.Faulty"
    with pytest.raises(InputError, match="no installed package has it as an entry point medft.readers"):
        compose_config([target])
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "installed")
    assert type(compose_config([target]).dataset.reader).__name__ == "Faulty"
    with pytest.raises(InputError, match="cannot import tests.not_there.Broken"):
        compose_config(["dataset.reader._target_=tests.not_there.Broken"])


def test_several_wrong_keys_are_all_named() -> None:
    with pytest.raises(InputError) as caught:
        compose_config(["dataset.size=-1", "trainer.max_epochs=0"])
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == ["dataset.size", "trainer.max_epochs"]


def test_only_readers_read_and_only_judges_judge() -> None:
    config = compose_config()
    assert (reader_of(config.dataset), judge_of(config)) == (config.dataset.reader, config.judge)
    nobody = config.model_copy(update={"judge": JudgeOptions()})
    nothing = config.dataset.model_copy(update={"reader": ReaderOptions()})
    with pytest.raises(InputError, match="judge: JudgeOptions is not a Judge"):
        judge_of(nobody)
    with pytest.raises(InputError, match=r"dataset.reader: ReaderOptions is not a Reader"):
        reader_of(nothing)


def test_missing_values_are_named() -> None:
    with pytest.raises(InputError, match="dataset.name: a value is required"):
        check(compose_raw(["dataset.name=???"]))
