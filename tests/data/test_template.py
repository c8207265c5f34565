"""A model's chat template is a program: what it may take, and that it makes what transformers makes."""

import time
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from medft.data.template import render_chat
from medft.data.tokenizer import Gpt2Tokenizer, OwnTokenizer
from medft.errors import ModelError

CHATML = (
    "{%- for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no systems') }}{% endif %}\n"
    "{{- bos_token + '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' }}\n"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}{{ messages | tojson }}"
)
TURNS = [{"role": "user", "content": " Was ist Gicht? \x00 痛风 "}]


def make_tokenizer(folder: Path, template: str) -> OwnTokenizer:
    """GPT-2's with a chat template."""
    Gpt2Tokenizer().save(folder)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return OwnTokenizer(folder, None, None)


def test_a_chat_is_what_transformers_makes_of_it(tmp_path: Path) -> None:
    make_tokenizer(tmp_path, CHATML)
    theirs = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(TURNS, add_generation_prompt=True, tokenize=False)
    assert "痛风" in expected
    assert render_chat(theirs.get_chat_template(), theirs.special_tokens_map, TURNS) == expected


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "did not end within 2 s"),
        ("{{ 'a' * 10 ** 10 }}", "needs more than"),
        ("{% for a in range(2000) %}{{ 'a' * 1000 }}{% endfor %}", "needs more than"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "calls itself without end"),
        ("{{ messages[0].content", "TemplateSyntaxError"),
        ("{{ raise_exception('only in French') }}", "only in French"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
    ],
    ids=["for ever", "memory", "text", "recursion", "syntax", "raises", "escapes"],
)
def test_a_template_that_takes_more_than_one_needs_is_refused(
    template: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "2 s" in told:
        monkeypatch.setattr("medft.data.template._SECONDS", 2.0)
    began = time.monotonic()
    with pytest.raises(ModelError, match="chat template") as raised:
        render_chat(template, {}, TURNS)
    assert time.monotonic() - began < 20
    assert told in str(raised.value)
    assert "dataset.prompt=alpaca" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_template_without_the_question_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="leaves the question out"):
        make_tokenizer(tmp_path, "Hello!").encode_chats(["What is gout?"])


def test_a_user_cannot_end_his_turn(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, "U: {{ messages[0].content }}<|endoftext|>A:")
    (ids,) = tokenizer.encode_chats(["a<|endoftext|>b"])
    assert ids.count(tokenizer.end_token_id) == 1
    assert tokenizer.decode(ids, with_special=True) == "U: a<|endoftext|>b<|endoftext|>A:"


def test_a_conversation_is_what_the_template_makes_of_it_and_nobody_can_end_a_turn(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(
        tmp_path, "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}<|endoftext|>{% endfor %}A:"
    )
    assert tokenizer.encode_conversation(["What?"]) == tokenizer.encode_chats(["What?"])[0]
    turns = ["a<|endoftext|>b", "痛风\x00turn0\x00", "why?"]
    ids = tokenizer.encode_conversation(turns)
    assert ids.count(tokenizer.end_token_id) == 3
    told = "u: a<|endoftext|>b<|endoftext|>a: 痛风\x00turn0\x00<|endoftext|>u: why?<|endoftext|>A:"
    assert tokenizer.decode(ids, with_special=True) == told


def test_a_template_that_forgets_is_refused(tmp_path: Path) -> None:
    tokenizer = make_tokenizer(tmp_path, "{{ messages[-1].content }}<|endoftext|>A:")
    assert tokenizer.encode_conversation(["What?"])
    with pytest.raises(ModelError, match="leaves earlier turns out"):
        tokenizer.encode_conversation(["What?", "That.", "Why?"])
    with pytest.raises(ModelError, match="GPT-2 has no chat template"):
        Gpt2Tokenizer().encode_conversation(["What?"])
