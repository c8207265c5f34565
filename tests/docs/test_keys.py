"""The page of config keys says something about every key, and what it says is what the YAML files say."""

import re
from pathlib import Path

import pytest
import yaml

from medft.config.compose import compose_config
from medft.config.paths import conf_dir
from medft.metrics.registry import METRICS
from tests.docs.pages import load_hooks

hooks = load_hooks()


def rows(page: str) -> dict[str, str]:
    """Each key with the text beside it."""
    found = re.findall(r'^\| <code id="([^"]+)">[^|]*\|[^|]*\|(.*)\|$', page, re.MULTILINE)
    assert len(found) == len(dict(found)), "a key is explained twice under the same anchor"
    return {name: text.strip() for name, text in found}


def leaves(mapping: dict[str, object], prefix: str = "") -> list[str]:
    names = []
    for key, value in mapping.items():
        is_section = isinstance(value, dict) and value
        names += leaves(value, f"{prefix}{key}.") if is_section else [f"{prefix}{key}"]
    return names


@pytest.mark.parametrize("choices", [[], ["finetune=lora", "model=smollm2-135m", "optimizer=sgd", "judge=ollama"]])
def test_every_key_of_a_composed_config_is_explained(choices: list[str]) -> None:
    explained = rows(hooks.keys_page(conf_dir()))
    keys = leaves(compose_config(choices).resolved)
    assert len(keys) > 80
    assert [key for key in keys if len(explained.get(key, "")) < 4] == []


def test_what_is_said_stands_above_or_behind_the_key() -> None:
    page = hooks.keys_page(conf_dir())
    said = rows(page)
    assert said["dataset.on_bad_row"].startswith("What to do with a row that cannot be used")
    assert said["dataset.continuation.mark"].startswith("text between the prompt and the continued answer")
    assert "| <code>gpt2</code> | Model type as transformers calls it" in page
    assert "`dataset.split.test=50`" in page.split("### `dataset=medquad`")[1].split("###")[0]


def test_comments_are_read_by_indentation(tmp_path: Path) -> None:
    text = (
        "# The file.\n\n# Of a section.\nouter:\n  # First,\n  # and second.\n  inner: 1  # behind\n  plain: [a, b]\n"
    )
    (tmp_path / "group").mkdir()
    (tmp_path / "group" / "file.yaml").write_text(text)
    [option] = hooks.read_conf(tmp_path)
    assert option.about == ["The file."]
    assert [(key.name, key.value, key.comment) for key in option.keys] == [
        ("group.outer", "", "Of a section."),
        ("group.outer.inner", "1", "First, and second. behind"),
        ("group.outer.plain", "[a, b]", ""),
    ]
    with pytest.raises(ValueError, match=r"conf/group/file.yaml: .* group\.outer\.plain"):
        hooks.keys_page(tmp_path)


def test_every_file_and_experiment_has_its_section() -> None:
    page = hooks.keys_page(conf_dir())
    for path in conf_dir().glob("*/**/*.yaml"):
        if path.parent.name != "local":
            group = path.parent.relative_to(conf_dir()).as_posix()
            assert f"### `{group}={path.stem}`" in page
    assert yaml.safe_load((conf_dir() / "experiment" / "leak.yaml").read_text())["sweep"]["question"] in " ".join(
        page.split()
    )


def test_links_that_hold_in_the_repository_hold_on_the_site() -> None:
    move = hooks.site_links
    assert move("[e](../experiments/README.md)", "docs/data.md") == "[e](experiments/README.md)"
    assert move("[e](../../experiments)", "docs/measurements/README.md") == "[e](../experiments/README.md)"
    assert move("[d](docs/metrics.md#error-bars)", "CONTRIBUTING.md") == "[d](metrics.md#error-bars)"
    assert move("[a](src/medft/experiment.py)", "CONTRIBUTING.md") == "a"
    assert move("[a](nowhere.md) [b](https://x.org)", "docs/data.md") == "[a](nowhere.md) [b](https://x.org)"


def test_the_table_of_metrics_is_that_of_the_registry() -> None:
    lines = hooks.metrics_table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(METRICS)
    assert lines[0].endswith("| from 0 | lower |")
    assert any(line.startswith("| `chrf` |") and line.endswith("| 0 to 100 | higher |") for line in lines)
