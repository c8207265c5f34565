"""What `auto` comes to with a model at hand, and that runs are known by it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medft.config.schema import Config
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import ModelError
from medft.runs.provenance import make_identity_tags
from medft.runs.state import RunState
from medft.runs.status import is_same_job
from medft.training.settling import list_possible, settle_model, settle_prompt
from tests.data.test_template import make_tokenizer
from tests.model.test_loss import make_windowed


@pytest.mark.parametrize(("family", "collate"), [("mistral", "flatten"), ("gemma2", "pad")])
def test_batches_are_flattened_where_that_is_exact(
    tiny: Callable[..., Config], family: str, collate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network, config = make_windowed(family), tiny("evaluation.max_length=32")
    settled = settle_model(config, network, Gpt2Tokenizer())
    for each in (settled.resolved, settled.logged):
        assert each["dataset"]["collate"] == settled.dataset.collate == collate
    told = "dataset.collate=pad: this model cannot read flattened batches (its attention has soft caps)\n"
    assert capsys.readouterr().out == (told if collate == "pad" else "")
    assert is_same_job(config, RunState("r", tags=make_identity_tags(settled.resolved)))
    asked = tiny("evaluation.max_length=32", f"dataset.collate={collate}")
    assert make_identity_tags(asked.resolved) == make_identity_tags(settled.resolved), "it is the same run"


def test_who_asks_for_flatten_gets_it_or_an_error(tiny: Callable[..., Config]) -> None:
    with pytest.raises(ModelError, match="soft caps.*set dataset.collate=pad"):
        settle_model(tiny("dataset.collate=flatten"), make_windowed("gemma2"), Gpt2Tokenizer())
    padded = tiny("dataset.collate=pad")
    assert settle_model(padded, make_windowed("gemma2"), Gpt2Tokenizer()) is padded


def test_a_chat_template_is_used_where_there_is_one(
    compose: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = compose("model=auto", "model.source=org/any")
    plain = settle_prompt(config, Gpt2Tokenizer())
    chat = settle_prompt(config, make_tokenizer(tmp_path, "U: {{ messages[0].content }} A:"))
    assert [each.logged["dataset"]["prompt"] for each in (plain, chat)] == ["alpaca", "chat"]
    out = capsys.readouterr().out
    assert "dataset.prompt=alpaca: the model has no chat template" in out
    assert "dataset.prompt=chat: the model has a chat template" in out
    asked = compose("model=auto", "model.source=org/any", "dataset.prompt=chat")
    assert settle_prompt(asked, Gpt2Tokenizer()) is asked


def test_all_that_may_come_of_auto_is_known(compose: Callable[..., Config]) -> None:
    config = compose("model=auto", "model.source=org/any")
    possible = list_possible(config)
    settings = {(each.dataset.prompt, each.dataset.collate, each.trainer.precision) for each in possible}
    assert ("chat", "pad", "bf16-mixed") in settings
    assert len(settings) == len(possible) == 3 * 3 * 4
    assert possible[-1] is config
