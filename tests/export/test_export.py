"""`medft export` on a run that was really made."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

import medft
from medft.cli.export import choose_name, read_address
from medft.cli.main import main
from medft.config.schema import Config
from medft.errors import InputError, ModelError
from medft.export import export as exporting
from medft.export.card import write_card
from medft.export.hf_folder import write_folder, write_prompt
from medft.export.modelfile import Modelfile, make_modelfile
from medft.export.readers import TransformersReader
from medft.export.verify import Limits, Verification, verify
from medft.runs.open import open_run
from medft.runs.record import read_record
from medft.runs.state import LEAKING, WEIGHTS
from tests.comparison.helpers import row
from tests.composed import TINY
from tests.export.small import END, make_model
from tests.finished import Finished

WIDE = ("model.shape.n_embd=32", "dataset.split.test=12")


@pytest.fixture
def run(finished: Callable[..., Finished], tmp_path: Path) -> Finished:
    return finished(*WIDE).copied_to(tmp_path)


def test_a_folder_and_its_card(run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["export", f"run={run.run_id}", "to=hf", f"folder={folder}", "questions=5"]) == 0
    told = capsys.readouterr().out
    assert "verified:      prompts read by transformers: the same token ids in 5 of 5\n" in told
    assert told.endswith(f"read:          {folder}/README.md\nresults:       {folder}\n")
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"} < {
        each.name for each in folder.iterdir()
    }
    card = (folder / "README.md").read_text()
    assert card.startswith("---\n") and "Not medical advice" in card and run.run_id in card
    assert "| bits_per_byte |" in card and "the same text in 5 of 5, 0 of which end by themselves" in card
    assert 'library_name: "transformers"' in card
    assert "| the base model | random weights: none, it began with random weights |" in card
    assert "| the data | sample: Apache-2.0 |" in card and "license" not in card.split("---")[1]
    # again in its place, without verification
    assert main(["export", f"run={run.run_id}", "to=hf", f"folder={folder}", "verify=false"]) == 0
    assert "not verified" in capsys.readouterr().err
    assert "**Not verified**" in (folder / "README.md").read_text()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".export")] == []


def test_another_folder_is_left_alone(run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "README.md").write_text("mine")
    assert main(["export", f"run={run.run_id}", "to=hf", f"folder={tmp_path / 'thesis'}"]) == 2
    assert "there is something else; name another folder" in capsys.readouterr().err
    assert (tmp_path / "thesis" / "README.md").read_text() == "mine"


def test_what_was_put_beside_an_export_is_not_deleted(
    run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    command = ["export", f"run={run.run_id}", "to=hf", f"folder={folder}", "verify=false"]
    assert main(command) == 0
    (folder / "notes").mkdir()
    assert main(command) == 2
    assert "there is something else, too (notes); name another folder" in capsys.readouterr().err
    (folder / "notes").rmdir()
    (folder / "config.json").unlink()
    assert main(command) == 0 and (folder / "config.json").is_file()
    card = folder / "README.md"
    for file, old, new in ((folder / "config.json", "{", "{ "), (card, "# ", "# My ")):
        text = file.read_text()
        file.write_text(text.replace(old, new, 1))
        assert main(command) == 2
        assert f"{file.name} was changed since it was exported; name another folder" in capsys.readouterr().err
        file.write_text(text)
    for damaged in ("<!-- exported by medft: {", "<!-- exported by medft: 5 -->", ""):
        card.write_text(damaged)
        assert main(command) == 2
        assert "there is something else; name another folder" in capsys.readouterr().err


def test_a_folder_may_be_of_the_home(run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert main(["export", f"run={run.run_id}", "to=hf", "folder=~/mine", "verify=false"]) == 0
    assert (tmp_path / "home" / "mine" / "config.json").is_file()


@pytest.mark.parametrize("override", ["dataset.prompt=chat", "model.end_token_id=0", "judge=none"])
def test_a_model_is_exported_as_it_was_trained(
    override: str, run: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", f"run={run.run_id}", "to=hf", override]) == 2
    assert f"error: {override}: a model is exported as it was trained" in capsys.readouterr().err


def test_answers_that_go_on_from_a_near_tie_are_warned_of(
    run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", f"run={run.run_id}", "to=hf", f"folder={tmp_path / 'mine'}", "questions=5"]
    for equal, warned in ((2, True), (3, False)):
        found = Verification("transformers", 5, equal, 0, 0, 5 - equal, 0.01, (1.0, 1.0))
        monkeypatch.setattr(exporting, "verify", lambda *_, found=found: found)
        assert main(command) == 0
        assert ("3 of 5 answers are others from a near-tie on" in capsys.readouterr().err) == warned


def test_a_name_of_no_plain_letter(run: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    assert [choose_name(name, "0123456789abcdef") for name in ("GPT-2 (тест)", "тест", "..", "a.b_c")] == [
        "gpt-2", "run-01234567", "run-01234567", "a.b_c"
    ]  # fmt: skip
    for name in (".", "..", "/"):
        assert main(["export", f"run={run.run_id}", "to=hf", "verify=false", f"name={name}"]) == 2
        assert f"name={name}: must have a letter or a digit" in capsys.readouterr().err


def test_questions_that_leave_no_room_are_not_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = make_model("gpt2", tmp_path / "own")
    questions = [row(place, "g", instruction="pain " * count) for place, count in enumerate((5, 180, 300))]
    asked = exporting._choose_questions(model, questions, 50)
    assert [each.id for each in asked] == ["id0", "id1"]
    assert (
        "1 of 3 test questions leave no room for an answer of 12 tokens: they are not asked" in capsys.readouterr().err
    )
    assert [each.id for each in exporting._choose_questions(model, questions, 1)] == ["id0"]


def test_an_export_is_never_unverified_unless_that_was_asked_for(tmp_path: Path) -> None:
    model = make_model("gpt2", tmp_path / "own")
    with pytest.raises(InputError, match="^generation.max_new_tokens=12: none of the 1 test questions leaves room"):
        exporting._choose_questions(model, [row(0, "g", instruction="pain " * 300)], 50)


def test_a_run_that_wrote_no_answers_is_told_to_say_how_long_they_may_be(
    run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", f"run={run.run_id}", "to=hf", f"folder={tmp_path / 'mine'}"]
    assert main([*command, "generation.max_new_tokens=0"]) == 2
    assert "say how long one may be, generation.max_new_tokens=256" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_a_directory_is_no_model_of_the_hub(run: Finished) -> None:
    record = replace(read_record(open_run(run.run_id, []).stored), params={"model.source": "gpt2/355M"})
    assert 'base_model: "gpt2/355M"' in write_card(record, {}, "", "")
    local = replace(record, tags={**record.tags, WEIGHTS: "0123"})
    assert "base_model" not in write_card(local, {}, "", "") and "355M" in write_card(local, {}, "", "")
    windows = write_card(replace(local, params={"model.source": "/home/ana/c:x/355M"}), {}, "", "")
    assert "ana" not in windows and "355M" in windows


def test_a_card_says_that_test_questions_were_trained_on(run: Finished) -> None:
    record = read_record(open_run(run.run_id, []).stored)
    told = "**Its test questions were trained on"
    assert told not in write_card(record, {}, "", "")
    assert told in write_card(replace(record, tags={**record.tags, LEAKING: "true"}), {}, "", "")


def test_in_a_chat_the_input_is_what_the_user_says(tmp_path: Path) -> None:
    model = make_model("llama", tmp_path / "own", "chat")
    write_folder(model, tmp_path / "folder")
    asked = exporting._choose_questions(model, [row(0, "g", input="My toe hurts."), row(1, "g")], 2)
    assert asked[0].instruction.endswith("\n\nMy toe hurts.")
    reader = TransformersReader(tmp_path / "folder")
    found = verify(model, reader.network, reader, asked, Limits())
    assert found.equal + found.near_ties == 2


def test_what_is_refused_leaves_what_was_there(
    run: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    assert main(["export", f"run={run.run_id}", "to=hf", f"folder={folder}", "questions=2"]) == 0
    before = (folder / "README.md").read_text()

    def lose_the_template(*arguments: object) -> None:
        write_folder(*arguments)  # type: ignore[arg-type]
        (arguments[1] / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}")  # type: ignore[operator]

    monkeypatch.setattr(exporting, "write_folder", lose_the_template)
    assert main(["export", f"run={run.run_id}", "to=hf", f"folder={folder}", "questions=2"]) == 1
    assert "error: transformers reads another prompt than was trained on" in capsys.readouterr().err
    assert (folder / "README.md").read_text() == before


def test_a_link_stays_one(run: Finished, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    for _ in range(2):
        assert main(["export", f"run={run.run_id}", "to=hf", f"folder={tmp_path / 'link'}", "verify=false"]) == 0
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there" / "model.safetensors").is_file()


def test_adapters_alone(compose: Callable[..., Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = make_model("gpt2", tmp_path / "base")
    base.network.generation_config.eos_token_id = 11  # that of the adapters is in their folder
    base.network.save_pretrained(tmp_path / "base")
    source = ("model=gpt2", f"model.source={tmp_path / 'base'}", "model.shape.n_layer=2", "model.shape.n_embd=64",
              "model.shape.n_head=4", "model.shape.n_positions=256", f"model.shape.vocab_size={END + 1}",
              "model.tokenizer=own", "finetune=lora", "optimizer.lr=1e-2")  # fmt: skip
    made = medft.run(compose(*TINY[3:], *source))
    folder = tmp_path / "alone"
    assert main(["export", f"run={made.id}", "to=hf", "merged=false", f"folder={folder}"]) == 0
    assert "the same text in 7 of 7" in capsys.readouterr().out
    assert {each.name for each in folder.glob("*.safetensors")} == {"adapter_model.safetensors"}
    told = json.loads((folder / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == str(tmp_path / "base")
    card = (folder / "README.md").read_text()
    assert "The base model is base; `medft fetch model=gpt2` says in which folder it is:" in card
    assert str(tmp_path) not in card and 'library_name: "peft"' in card
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == END
    assert main(["export", f"run={made.id}", "to=gguf", "merged=false", f"folder={tmp_path / 'x'}"]) == 2
    assert "merged=false: adapters alone are for to=hf" in capsys.readouterr().err


def test_wrong_words(run: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", f"run={run.run_id}", "to=hf", "merged=false"]) == 2
    assert "there are no adapters" in capsys.readouterr().err
    assert main(["export", f"run={run.run_id}", "to=onnx"]) == 2
    assert "to=onnx: must be hf or gguf or ollama" in capsys.readouterr().err
    assert main(["export", f"run={run.run_id}", "to=gguf", "type=q4"]) == 2
    assert "type=q4: must be f32 or f16 or bf16 or q8_0" in capsys.readouterr().err
    assert main(["export", f"run={run.run_id}", "to=ollama", "host=127.0.0.1:9"]) == 2
    assert "host=http://127.0.0.1:9: no Ollama server answers" in capsys.readouterr().err
    assert main(["export", f"run={run.run_id}", "to=ollama", "host=127.0.0.1:nine"]) == 2
    assert "host=127.0.0.1:nine: must be an address such as 127.0.0.1:11434" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:11434"),
        ("gpu:8000", "http://gpu:8000"),
        ("gpu:0", "http://gpu:0"),
        (":8000", "http://127.0.0.1:8000"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("gpu/", "http://gpu:11434"),
        ("https://ollama.example", "https://ollama.example"),
    ],
)
def test_an_address_without_a_port_is_on_that_of_ollama(host: str, url: str) -> None:
    assert read_address(host) == url


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed")
@pytest.mark.parametrize("kind", ["f16", "q8_0"])
def test_a_file_for_llama(run: Finished, kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", f"run={run.run_id}", "to=gguf", f"type={kind}", f"folder={tmp_path / 'x'}", "name=small"]
    assert main(arguments) == 0
    assert "prompts read by llama.cpp: the same token ids in 12 of 12" in capsys.readouterr().out
    assert (tmp_path / "x" / f"small-{kind}.gguf").is_file()


@pytest.mark.slow
def test_ollama_has_what_is_verified_under_its_name(
    run: Finished, tmp_path: Path, ollama: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def list_models() -> dict[str, str]:
        told = httpx.get(f"{ollama}/api/tags").json()["models"]
        return {each["name"]: each["digest"] for each in told if each["name"].startswith("me/")}

    arguments = ["export", f"run={run.run_id}", "to=ollama", "type=f16", f"host={ollama}", "name=me/gout",
                 f"folder={tmp_path / 'x'}", "questions=3"]  # fmt: skip
    assert main(arguments) == 0
    assert "prompts read by Ollama: the same token ids in 3 of 3" in capsys.readouterr().out
    assert (tmp_path / "x" / "me-gout-f16.gguf").is_file()
    before = list_models()
    assert set(before) == {"me/gout:latest"}

    def lose_the_template(*made: object) -> Modelfile:
        return replace(make_modelfile(*made), template="{{ .Prompt }}")  # type: ignore[arg-type]

    monkeypatch.setattr(exporting, "make_modelfile", lose_the_template)
    assert main(arguments) == 1
    assert "error: Ollama reads another prompt than was trained on" in capsys.readouterr().err
    assert list_models() == before
    assert main([*arguments, "verify=false"]) == 0
    assert set(list_models()) == {"me/gout:latest"} and list_models() != before


def test_a_prompt_that_ollama_cannot_have_is_no_obstacle_for_llama(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model("llama", tmp_path / "own", "chat")

    def write_another_template(*arguments: object) -> None:
        write_prompt(*arguments)  # type: ignore[arg-type]
        (arguments[1] / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}{{ messages | length }}")  # type: ignore[operator]

    monkeypatch.setattr(exporting, "write_prompt", write_another_template)
    for to in ("gguf", "ollama"):
        options = exporting.Options(to, "f16", tmp_path / to, "small", "", 0)  # type: ignore[arg-type]
        if to == "ollama":
            with pytest.raises(ModelError, match="to=ollama: the chat template"):
                exporting._write_file(model, tmp_path / to, options)
        else:
            file, modelfile = exporting._write_file(model, tmp_path / to, options)
            assert file.is_file() and modelfile is None
