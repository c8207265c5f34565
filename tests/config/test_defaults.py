"""What `auto` stands for: the learning rate follows from what is trained."""

import pytest

from medft.config.compose import compose_config, validate
from medft.config.defaults import describe_rate
from medft.config.options import list_options
from medft.errors import InputError
from medft.jobs.plan import plan


@pytest.mark.parametrize(
    ("overrides", "rate", "line"),
    [
        ([], 2e-3, "learning rate: 0.002, that of a model from scratch"),
        (["model=gpt2"], 5e-5, "learning rate: 5e-05, that of pretrained weights"),
        (["model.source=path/to/weights"], 5e-5, "learning rate: 5e-05, that of pretrained weights"),
        (["model=gpt2", "model.source=null"], 2e-3, "learning rate: 0.002, that of a model from scratch"),
        (["model=qwen3-0.6b"], 2e-5, "learning rate: 2e-05, that of pretrained weights"),
        (
            ["model=gpt2", "finetune=lora"],
            5e-4,
            "learning rate: 0.0005, 10 times the 5e-05 of pretrained weights, as for adapters",
        ),
        (["model=gpt2", "finetune=lora", "finetune.lr_factor=4"], 2e-4, "0.0002, 4 times the 5e-05"),
        (["model=gpt2", "finetune=lora", "model.lr=3e-5"], 3e-4, "0.0003, 10 times the 3e-05"),
        (["model=gpt2", "finetune=lora", "optimizer.lr=1e-3"], 1e-3,
         "learning rate: 0.001, as optimizer.lr says; the default is 0.0005, 10 times the 5e-05 of pretrained"),
        (["model.source=path/to/weights", "optimizer.lr=2e-3"], 2e-3, "0.002, as optimizer.lr says; the default is 5"),
        (["experiment=notebook"], 5e-5, "learning rate: 5e-05, that of pretrained weights"),
    ],
)  # fmt: skip
def test_the_rate_follows_from_what_is_trained_and_is_said(overrides: list[str], rate: float, line: str) -> None:
    config = compose_config(overrides)
    assert config.optimizer.lr == config.resolved["optimizer"]["lr"] == config.logged["optimizer"]["lr"] == rate
    assert line in describe_rate(config)


def test_the_rate_of_sgd_has_nothing_to_do_with_the_models() -> None:
    for overrides in ([], ["model=gpt2", "finetune=lora"]):
        said = describe_rate(compose_config(["optimizer=sgd", *overrides]))
        assert said == "learning rate: 0.05, as optimizer.lr says"


def test_full_and_lora_in_one_sweep_have_each_its_own() -> None:
    full, lora = plan(["model=gpt2", "finetune=full,lora"], True).configs
    assert (full.optimizer.lr, lora.optimizer.lr) == (5e-5, 5e-4)


def test_a_wrong_rate_is_an_error_of_its_own_key() -> None:
    for wrong in ("model.lr=fast", "model.lr=-1", "optimizer.lr=0", "optimizer.lr=automatic"):
        with pytest.raises(InputError, match=f"^{wrong.partition('=')[0]}: must be"):
            compose_config([wrong])
    with pytest.raises(InputError, match=r"^optimizer.lr: must be a valid number \(got 'auto'\)$"):
        compose_config(["optimizer=sgd", "optimizer.lr=auto"])
    with pytest.raises(InputError, match=r"^finetune.lr_factor: must be a valid number \(got 'x'\)$"):
        compose_config(["model=gpt2", "finetune=lora", "finetune.lr_factor=x"])


def test_the_config_of_an_older_run_is_opened_as_it_was() -> None:
    logged = compose_config(["model=gpt2", "finetune=lora", "optimizer.lr=5e-5"]).logged
    older = {**logged, "model": {k: v for k, v in logged["model"].items() if k != "revision"}}
    older["finetune"] = {k: v for k, v in logged["finetune"].items() if k != "lr_factor"}
    config = validate(older)
    assert (config.optimizer.lr, config.model.revision, config.finetune.method) == (5e-5, None, "lora")
    assert describe_rate(config) == "learning rate: 5e-05, that of pretrained weights"


@pytest.mark.parametrize(
    ("source", "name"),
    [("Qwen/Qwen3-0.6B", "Qwen3-0.6B"), ("a/b/c/", "c"), ("x/y.gguf", "y"), ("pypi:llm-x==1.2", "pypi:llm-x")],
)  # fmt: skip
def test_any_model_is_called_by_its_source(source: str, name: str) -> None:
    overrides = ["model=auto", f"model.source='{source}'", f"model.sha256={'0' * 64}"]
    config = compose_config(overrides)
    assert config.model.name == config.logged["model"]["name"] == name
    assert compose_config([*overrides, "model.name=mine"]).model.name == "mine"


@pytest.mark.parametrize("name", [name for name in list_options("model") if name != "auto"])
def test_every_preset_composes(name: str) -> None:
    assert compose_config([f"model={name}"]).model.name == name
