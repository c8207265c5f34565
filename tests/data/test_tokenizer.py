"""tiktoken and transformers agree, and answers end with the token on which generation stops."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from medft.config.schema import Config
from medft.data.encode import Tokens, decode_answer, encode_examples, encode_prompts, format_alpaca_prompt
from medft.data.example import Example
from medft.data.readers.sample import Sample
from medft.data.samples import make_samples
from medft.data.tokenizer import Gpt2Tokenizer, OwnTokenizer, find_gpt2_files
from medft.errors import ModelError

TRICKY = [
    "",
    " ",
    "\n\n",
    "don't  I'll\twe",
    "naïve café — 5 µg/dL",
    "日本語 😀",
    "<|endoftext|>",
    "a\u200bb",
    "'S 'LL",
]


@pytest.fixture(scope="module")
def transformers_gpt2() -> object:
    from transformers import GPT2Tokenizer

    files = find_gpt2_files()
    return GPT2Tokenizer(vocab=str(files["encoder.json"]), merges=str(files["vocab.bpe"]))


def test_tiktoken_and_transformers_give_the_same_ids(transformers_gpt2: object) -> None:
    texts = TRICKY + [format_alpaca_prompt(row) + row.output for row in Sample().read()]
    for text in texts:
        expected = transformers_gpt2.encode(text, split_special_tokens=True, add_special_tokens=False)
        assert Gpt2Tokenizer().encode(text) == expected, text


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_gpt2_gives_back_every_text(text: str) -> None:
    tokenizer = Gpt2Tokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text.encode("utf-8", "replace").decode()


def test_real_medquad_ids_agree(transformers_gpt2: object, medquad_zip: Path, tmp_path: Path) -> None:
    from medft.data.readers.medquad import MedQuAD

    for row in list(MedQuAD(path=str(medquad_zip), cache_dir=str(tmp_path)).read())[::50]:
        assert Gpt2Tokenizer().encode(row.output) == transformers_gpt2.encode(row.output)


def test_saved_gpt2_tokenizer_is_read_by_transformers(tmp_path: Path) -> None:
    Gpt2Tokenizer().save(tmp_path)
    own = OwnTokenizer(tmp_path, None, None)
    assert own.end_token_id == 50256
    assert own.encode("Gout hurts.") == Gpt2Tokenizer().encode("Gout hurts.")
    with pytest.raises(ModelError, match="no chat template"):
        own.encode_chats(["hello"])


def test_border_between_prompt_and_answer_is_where_one_text_has_it() -> None:
    tokenizer = Gpt2Tokenizer()
    for row in list(Sample().read())[::10]:
        prompt = format_alpaca_prompt(row)
        assert tokenizer.encode(prompt) + tokenizer.encode(row.output) == tokenizer.encode(prompt + row.output)


def test_alpaca_prompt_has_an_input_only_where_there_is_one() -> None:
    assert "### Input:\nabc\n\n### Response:\n" in format_alpaca_prompt(Example("", "", "Do.", "abc", ""))
    assert "### Input" not in format_alpaca_prompt(Example("", "", "Do.", "", ""))


def test_ids_of_a_padded_vocabulary_stand_for_nothing() -> None:
    tokenizer = Gpt2Tokenizer()
    assert tokenizer.decode([*tokenizer.encode("so far"), 50_300]) == "so far"


def make_tokenizer(folder: Path, beginning: bool) -> OwnTokenizer:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<s>", "</s>", "[UNK]", "a", "What"])}
    inner = Tokenizer(models.WordLevel(words, "[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if beginning:
        inner.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    return OwnTokenizer(folder, None, None)


def test_a_prompt_begins_as_the_model_has_learned(tmp_path: Path) -> None:
    row = Example("1", "1", "What", "", "a")
    with_one, without = (make_tokenizer(tmp_path / str(begins), begins) for begins in (True, False))
    [prompt], [plain] = (encode_prompts([row], each, "alpaca") for each in (with_one, without))
    assert prompt == [0, *plain]
    assert encode_examples([row], with_one, "alpaca")[0].answer == [3, 1], "answers do not begin so"
    assert with_one.fingerprint != without.fingerprint
    assert list(Gpt2Tokenizer.beginning) == []


def test_no_tokenizer_in_a_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tokenizer in it"):
        OwnTokenizer(tmp_path, None, None)


def test_smollm2_answers_end_with_the_token_on_which_generation_stops(
    smollm2: Path, compose: Callable[..., Config]
) -> None:
    from transformers import AutoModelForCausalLM

    tokenizer = OwnTokenizer(smollm2, None, None)
    encoded = encode_examples([Example("1", "g", "What is gout?", "", "A disease.")], tokenizer, "chat")
    [sample] = make_samples(Tokens.from_encoded(encoded), compose().dataset, [])[0]
    stops_on = AutoModelForCausalLM.from_pretrained(smollm2).generation_config.eos_token_id
    assert sample.input_ids[-1] == tokenizer.end_token_id == stops_on == 2
    chat = tokenizer.decode(encode_prompts([Example("1", "g", "What is gout?", "", "")], tokenizer, "chat")[0])
    assert chat.rstrip().endswith("assistant")
    plain = tokenizer.encode_chats(["What is gout?"])[0]
    assert (
        plain
        == tokenizer._inner.apply_chat_template(
            [{"role": "user", "content": "What is gout?"}], add_generation_prompt=True, return_dict=True
        )["input_ids"]
    )
    assert tokenizer.encode_chats(["a<|im_end|>b"])[0].count(2) == plain.count(2)
    assert decode_answer([*tokenizer.encode(" Hello. "), 2, 5, 5], tokenizer) == "Hello."


def test_texts_are_split_as_tokenizer_json_says_whatever_class_is_named(tmp_path: Path) -> None:
    Gpt2Tokenizer().save(tmp_path)
    rules = json.loads((tmp_path / "tokenizer.json").read_text())
    digits = {"type": "Digits", "individual_digits": True}
    rules["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, rules["pre_tokenizer"]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(rules))
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "GPT2Tokenizer"
    expected = [Gpt2Tokenizer().encode(digit)[0] for digit in "2024"]
    own = OwnTokenizer(tmp_path, None, None)
    assert Gpt2Tokenizer().encode("2024") != expected == own.encode("2024")
    assert own.end_token_id == Gpt2Tokenizer.end_token_id
    own.save(tmp_path / "saved")  # and so are those that read what was saved
    assert OwnTokenizer(tmp_path / "saved", None, None).encode("2024") == expected
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert again.encode("2024", add_special_tokens=False) == expected
