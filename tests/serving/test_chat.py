"""`medft chat`: a conversation line by line."""

import io
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medft.cli.main import main
from medft.errors import InputError
from medft.runs.local_run import LocalRun
from medft.runs.open import FinishedRun
from medft.runs.trained_model import TrainedModel, load_model
from medft.serving.chat import Chat, _read_piped, hold_chat
from tests.data.test_template import make_tokenizer
from tests.finished import Finished


@pytest.fixture
def model(finished: Callable[..., Finished]) -> TrainedModel:
    made = finished()
    return load_model(FinishedRun(made.config, LocalRun(made.config.paths.output)))


@pytest.fixture
def chatting(model: TrainedModel, tmp_path: Path) -> TrainedModel:
    """The same network behind a chat template."""
    tokenizer = make_tokenizer(
        tmp_path / "own", "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}<|endoftext|>{% endfor %}A:"
    )
    dataset = model.config.dataset.model_copy(update={"prompt": "chat"})
    return TrainedModel(model.network, tokenizer, model.config.model_copy(update={"dataset": dataset}))


def test_an_answer_is_that_of_ask_and_settings_hold_from_then_on(
    model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = Chat(model, "a run")
    chat.introduce()
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("Nothing here is medical advice") == 1
    assert "each question stands alone: the model's prompt (alpaca) has no place for earlier ones" in err
    for _ in range(2):  # the second question stands alone, too
        chat.take(" What is gout? ")
        out, err = capsys.readouterr()
        assert out == f"{model.answer('What is gout?')}\n"
        assert "max_new_tokens=4: /settings max_new_tokens=8" in err
        capsys.readouterr()
    chat.take("/settings max_new_tokens=9 do_sample=true generation.temperature=2")
    assert "max_new_tokens=9  do_sample=true  temperature=2" in capsys.readouterr().err
    chat.take("What is gout?")
    assert len(model.tokenizer.encode(capsys.readouterr().out)) > 4


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/settings temperature=-1", "error: temperature=-1: Input should be greater than 0"),
        ("/settings colour=red", "error: colour=red: Extra inputs are not permitted; there are max_new_tokens, "),
        ("/settings max_new_tokens=0", "error: max_new_tokens=0: an answer needs 1 or more"),
        ("/settings max_new_tokens=[", "error: max_new_tokens=[: not a value"),
        ("/settings loud", "error: what is 'loud'? /settings KEY=VALUE"),
        ("/save", "error: name a file: /save FILE"),
        ("/save x.md", "error: nothing was asked yet"),
        ("/sing", "error: no command /sing; there are /settings, /save, /new, /help, /quit"),
        ("/help", "/save FILE"),
    ],
)
def test_what_is_typed_wrong_is_said(
    line: str, told: str, model: TrainedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = Chat(model, "a run")
    before = chat.generation
    assert chat.take(line)
    assert told in capsys.readouterr().err
    assert chat.generation == before
    assert not chat.exchanges


def test_no_error_ends_a_chat(
    model: TrainedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chat = Chat(model, "a run")
    chat.take("/settings do_sample=true temperature=1.0e-320")
    assert chat.take("What is gout?") and "error: probability tensor" in capsys.readouterr().err
    chat.take("/settings do_sample=false temperature=1")
    chat.take("What is gout?")
    assert capsys.readouterr().out.strip()
    for place, told in (("~nosuchuser/x.md", "error: Could not determine home"), ("x" * 300, "File name too long")):
        assert chat.take(f"/save {place}")
        assert told in capsys.readouterr().err
    chat.take("/save a.md")
    chat.take("/new")
    chat.take("Why?")
    capsys.readouterr()
    chat.take("/save a.md")
    assert "error: a.md: exists already; name another" in capsys.readouterr().err, "of the conversation before"
    assert "What is gout?" in (tmp_path / "a.md").read_text(encoding="utf-8")


def test_a_piped_text_may_begin_with_a_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf/help\n")))
    assert _read_piped() == "/help\n"


def test_a_chat_template_is_asked_with_what_was_said_before(
    chatting: TrainedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []
    encode = chatting.tokenizer.encode_conversation
    monkeypatch.setattr(
        chatting.tokenizer, "encode_conversation", lambda turns: (asked.append([*turns]), encode(turns))[1]
    )
    chat = Chat(chatting, "a run")
    chat.introduce()
    assert "each question is asked with the questions and answers before it" in capsys.readouterr().err
    chat.take("痛风?")
    chat.take("Why?")
    assert asked[-1] == ["痛风?", chat.exchanges[0].answer, "Why?"]
    chat.take("/new")
    chat.take("What?")
    assert not chat.exchanges[1:]
    capsys.readouterr()
    chat.take("x " * 1015)  # no room for what was said before
    assert "1 earlier questions no longer fit into the model's context" in capsys.readouterr().err
    chat.take("y " * 2000)
    assert "the question fills the model's context" in capsys.readouterr().err


def test_ctrl_c_stops_the_answer_only(
    model: TrainedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = Chat(model, "a run")
    stream = TrainedModel.stream

    def interrupted(*arguments: Any) -> Iterator[Any]:
        yield from itertools.islice(stream(*arguments), 2)
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainedModel, "stream", interrupted)
    assert chat.take("What is gout?")
    out, err = capsys.readouterr()
    assert "(stopped)" in err
    assert out.strip()
    monkeypatch.setattr(TrainedModel, "stream", stream)
    chat.take("What is gout?")
    assert capsys.readouterr().out.startswith(out.strip())


def test_a_conversation_is_saved_and_no_other_file_replaced(
    model: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.md").write_text("mine")
    chat = Chat(model, "a run")
    chat.take("流感?")
    chat.take("/save mine.md")
    assert "error: mine.md: exists already" in capsys.readouterr().err
    assert (tmp_path / "mine.md").read_text() == "mine"
    chat.take("/save talk.md")
    chat.take("Why?")
    chat.take("/save talk.md")
    text = (tmp_path / "talk.md").read_text(encoding="utf-8")
    assert text.startswith("# a run\n")
    assert "not" not in text.split("Nothing here is medical advice")[0]
    assert text.index("## 流感?") < text.index(chat.exchanges[0].answer) < text.index("## Why?")
    chat.take("/save no/such/folder.md")
    assert "error: no/such/folder.md: cannot be written (No such file or directory)" in capsys.readouterr().err


class Piped(io.TextIOWrapper):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


def test_questions_come_from_a_pipe(
    finished: Callable[..., Finished], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys, "stdin", Piped("What is gout?\n\n流感\n\xff".encode("latin-1", "replace") + b"\xff\n/quit\nno")
    )
    run = finished()
    assert main(["chat", f"run={run.config.paths.output}"]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) >= 3
    assert err.count("medical advice") == 1
    monkeypatch.setattr(sys, "stdin", Piped(b""))
    assert main(["chat", f"run={run.config.paths.output}"]) == 0
    assert capsys.readouterr().out == ""


def test_a_pipe_that_nobody_reads_ends_the_chat(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("medft.serving.chat.say", closed)
    with pytest.raises(BrokenPipeError):
        Chat(model, "a run").take("What is gout?")


def test_ctrl_c_ends_a_chat_with_a_pipe(
    model: TrainedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[Any]:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainedModel, "stream", interrupted)
    monkeypatch.setattr(sys, "stdin", Piped(b"What is gout?\nWhy?\n"))
    with pytest.raises(KeyboardInterrupt):
        hold_chat(model, "a run")


def test_a_line_of_a_pipe_that_failed_is_told_by_the_exit_code_and_writes_no_file(
    model: TrainedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for lines, code in ((b"What is gout?\n/save x.md\nWhy?\n", 1), (b"What is gout?\nWhy?\n", 0)):
        monkeypatch.setattr(sys, "stdin", Piped(lines))
        assert hold_chat(model, "a run") == code
        out, err = capsys.readouterr()
        assert out.startswith(model.answer("What is gout?"))
        assert ("error: /save is for the terminal" in err) == bool(code)
    assert not (tmp_path / "x.md").exists()


def test_a_run_that_has_written_no_answers_asks_how_long_they_may_be(model: TrainedModel) -> None:
    generation = model.config.generation.model_copy(update={"max_new_tokens": 0})
    with pytest.raises(InputError, match="generation.max_new_tokens=256"):
        Chat(
            TrainedModel(model.network, model.tokenizer, model.config.model_copy(update={"generation": generation})), ""
        )


def test_a_template_that_takes_one_question_only_is_asked_that(
    chatting: TrainedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = make_tokenizer(tmp_path / "forgets", "{{ messages[-1].content }}<|endoftext|>A:")
    chat = Chat(TrainedModel(chatting.network, tokenizer, chatting.config), "a run")
    chat.take("What is gout?")
    first = capsys.readouterr().out
    chat.take("What is gout?")
    out, err = capsys.readouterr()
    assert out == first
    assert "(asked without the questions before it: the model's chat template leaves earlier turns out" in err
