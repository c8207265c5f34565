"""Exports that were made wrong are refused, with what differs."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from medft.data.encode import encode_prompts
from medft.data.template import render_chats
from medft.export.hf_folder import TEMPLATE, make_alpaca_template, write_folder
from medft.export.readers import Reply, TransformersReader
from medft.export.verify import (
    Limits,
    NotVerified,
    Verification,
    _find_difference,
    _find_text_difference,
    _measure_gap,
    _strip_end,
    verify,
)
from medft.runs.trained_model import TrainedModel
from tests.export.small import END, make_model
from tests.export.test_gguf_file import QUESTIONS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    return make_model("llama", tmp_path_factory.mktemp("own"), begins=True)


@pytest.fixture(scope="module")
def exported(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    write_folder(model, folder)
    return folder


@pytest.fixture
def copy(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def check(model: TrainedModel, folder: Path) -> Verification:
    reader = TransformersReader(folder)
    return verify(model, reader.network, reader, QUESTIONS, Limits())


def test_a_folder_is_read_as_it_was_trained(model: TrainedModel, exported: Path) -> None:
    found = check(model, exported)
    assert (found.questions, found.equal, found.near_ties, found.loss_difference) == (
        len(QUESTIONS),
        len(QUESTIONS),
        0,
        0,
    )
    assert model.tokenizer.beginning == [END]
    reader = TransformersReader(exported)
    answers = [reply.answer for reply in reader.answer(QUESTIONS)]
    assert any(len(each) < 12 for each in answers) and any(answers)  # some end before their limit


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_another_end_token_shows_where_no_answer_reaches_one(model: TrainedModel, copy: Path) -> None:
    replace(copy / "generation_config.json", f'"eos_token_id": {END}', '"eos_token_id": 11')
    with pytest.raises(NotVerified, match=f"ends an answer with the token 11, and the trained one with {END}"):
        check(model, copy)
    replace(copy / "generation_config.json", '"eos_token_id": 11,', "")
    with pytest.raises(NotVerified, match="ends an answer with the token None"):
        check(model, copy)


def test_a_reader_that_does_not_end(model: TrainedModel, exported: Path) -> None:
    reader = TransformersReader(exported)
    other = Other(reader, lambda ids: ids if len(ids) == 12 else [*ids, 5])
    with pytest.raises(NotVerified, match=r"other answers .* otherwise .* where the exported weights have its end"):
        verify(model, reader.network, other, QUESTIONS, Limits())  # type: ignore[arg-type]


def test_the_reader_knows_no_more_than_the_export(model: TrainedModel, exported: Path) -> None:
    reader, known = TransformersReader(exported), []

    class Looking(Other):
        def answer(self, questions: list[object]) -> object:
            known.append(reader.network.generation_config)
            yield from super().answer(questions)  # type: ignore[misc]

    found = verify(model, reader.network, Looking(reader, lambda ids: ids), QUESTIONS, Limits())  # type: ignore[arg-type]
    assert known == [reader._settings] and known[0] is not model.network.generation_config
    assert found.ended == found.equal == len(QUESTIONS)


def test_how_many_answers_end_is_counted(model: TrainedModel, tmp_path: Path) -> None:
    generation = model.config.generation.model_copy(update={"max_new_tokens": 1})
    short = dataclasses.replace(model, config=model.config.model_copy(update={"generation": generation}))
    write_folder(short, tmp_path / "short")
    found = check(short, tmp_path / "short")
    lengths = [len(reply.answer or []) for reply in TransformersReader(tmp_path / "short").answer(QUESTIONS)]
    assert found.equal == len(QUESTIONS)
    assert found.ended == sum(length < 1 for length in lengths) < len(QUESTIONS)


def test_how_answers_are_written_goes_along(model: TrainedModel, tmp_path: Path) -> None:
    sampled = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "repetition_penalty": 1.3}
    generation = model.config.generation.model_copy(update=sampled)
    config = model.config.model_copy(update={"generation": generation})
    write_folder(dataclasses.replace(model, config=config), tmp_path / "sampled")
    told = GenerationConfig.from_pretrained(tmp_path / "sampled").to_dict()
    assert told.items() >= {**sampled, "max_new_tokens": 12, "eos_token_id": END}.items()
    assert check(model, tmp_path / "sampled").equal == len(QUESTIONS), "it is verified by greedy answers"


def test_another_template(model: TrainedModel, copy: Path) -> None:
    replace(copy / TEMPLATE, "### Response:", "### Answer:")
    with pytest.raises(NotVerified, match=r"transformers reads another prompt than was trained on, .*'.*Answer"):
        check(model, copy)


def test_a_missing_beginning_of_text(model: TrainedModel, copy: Path) -> None:
    (copy / TEMPLATE).write_text(make_alpaca_template("", "<|endoftext|>"))
    with pytest.raises(NotVerified, match="reads another prompt than was trained on, from token 1 of 'What is gout"):
        check(model, copy)


def test_a_permuted_weight(model: TrainedModel, copy: Path) -> None:
    reader = TransformersReader(copy)
    weight = reader.network.model.layers[1].mlp.down_proj.weight
    with torch.no_grad():
        weight[:] = weight[torch.arange(len(weight) - 1, -1, -1)]
    with pytest.raises(NotVerified, match="the exported weights are others"):
        verify(model, reader.network, reader, QUESTIONS, Limits())


def test_another_split_of_texts(model: TrainedModel, copy: Path) -> None:
    replace(copy / "tokenizer.json", '"use_regex": true', '"use_regex": false')
    with pytest.raises(NotVerified, match="reads another prompt"):
        check(model, copy)


class Other:
    """Answers as the model does but for its first token."""

    name = "other"

    def __init__(self, reader: TransformersReader, change: Callable[[list[int]], list[int]]) -> None:
        self.reader, self.change = reader, change

    def answer(self, questions: list[object]) -> object:
        for reply in self.reader.answer(questions):  # type: ignore[arg-type]
            yield Reply(reply.prompt, self.change(reply.answer or []), reply.text)


def test_near_ties_are_counted_and_others_refused(model: TrainedModel, exported: Path) -> None:
    reader = TransformersReader(exported)
    other = Other(reader, lambda ids: [ids[0] + 1, *ids[1:]] if ids else [5])
    with pytest.raises(NotVerified, match=r"other answers .* otherwise from token 1 on"):
        verify(model, reader.network, other, QUESTIONS, Limits())  # type: ignore[arg-type]
    found = verify(model, reader.network, other, QUESTIONS, Limits(near_tie=1e9))  # type: ignore[arg-type]
    assert (found.equal, found.near_ties) == (0, len(QUESTIONS)) and found.largest_gap > 0.05


def test_a_near_tie_is_of_the_token_that_was_written(model: TrainedModel, exported: Path) -> None:
    reader = TransformersReader(exported)
    prompt = encode_prompts(QUESTIONS[:1], model.tokenizer, "alpaca")[0]
    logits = reader.network(input_ids=torch.tensor([prompt])).logits[0, -1].detach()
    best = logits.topk(3)
    gaps = [float(best.values[0] - value) for value in best.values]
    told = [_measure_gap(reader.network, prompt, token) for token in (*best.indices.tolist(), None)]
    assert told == pytest.approx([gaps[1], gaps[1], gaps[2], gaps[1]])
    for token, gap in zip(best.indices[1:].tolist(), gaps[1:], strict=True):
        other = Other(reader, lambda ids, token=token: [token, *ids[1:]])  # type: ignore[misc]
        found = verify(model, reader.network, other, QUESTIONS[:1], Limits(near_tie=gap + 1e-3))  # type: ignore[arg-type]
        assert found.largest_gap == pytest.approx(gap, abs=1e-4)
    with pytest.raises(NotVerified, match="by "):  # the third, where only the second is as good as the best
        verify(model, reader.network, other, QUESTIONS[:1], Limits(near_tie=(gaps[1] + gaps[2]) / 2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "other", "first"),
    [
        ([1, 2, 9], [1, 2], None),
        ([1, 2, 9], [1, 2, 9], None),
        ([1, 2], [1, 2], None),
        ([1, 2, 9], [1, 2, 3], 2),
        ([1, 2, 3], [1, 2], 2),
        ([9], [1], 0),
        ([], [], None),
    ],
)
def test_where_two_answers_differ_first(own: list[int], other: list[int], first: int | None) -> None:
    assert _find_difference(_strip_end(own, 9), _strip_end(other, 9)) == first


def test_where_a_text_differs_first(model: TrainedModel) -> None:
    ids = [*model.tokenizer.encode("It is gout 痛风 indeed."), END]
    gout = model.tokenizer.encode(" gout")
    place = ids.index(gout[0])
    for text, first in (
        ("It is gout 痛风 indeed.", None),
        (" It is gout 痛风 indeed.\n", None),
        ("It is not.", place),
        ("It is gout 痛风 indeed. Yes.", len(ids) - 1),
    ):
        assert _find_text_difference(model.tokenizer, ids, text) == first, text
    assert _find_text_difference(model.tokenizer, ids, "It is gout", is_cut=True) is None
    assert _find_text_difference(model.tokenizer, ids, "It is not", is_cut=True) == place
    newlines = "\n" * 30
    assert _find_text_difference(model.tokenizer, ids, newlines, is_cut=True) == 0
    begins = model.tokenizer.encode(newlines + " It is gout.")
    assert _find_text_difference(model.tokenizer, begins, newlines, is_cut=True) is None
    cut = _find_text_difference(model.tokenizer, ids, "It is gout 痛")
    assert cut is not None and model.tokenizer.decode(ids[:cut]).startswith("It is gout 痛")


def test_the_alpaca_template_says_what_the_training_read(model: TrainedModel) -> None:
    from medft.data.encode import format_alpaca_prompt

    chats: list[list[dict[str, str]]] = []
    for question in QUESTIONS:
        turns = [{"role": "user", "content": question.instruction}]
        if question.input:
            turns.insert(0, {"role": "system", "content": question.input})
        chats.append(turns)
    again = [*chats[-1], {"role": "assistant", "content": "No."}, {"role": "user", "content": "Why?"}]
    *alone, whole = render_chats(make_alpaca_template("<s>", "</s>"), {}, [*chats, again])
    assert alone == ["<s>" + format_alpaca_prompt(question) for question in QUESTIONS]
    assert whole.startswith(alone[-1] + "No.</s>Below is an instruction")
    assert whole.endswith("Why?\n\n### Response:\n")
