"""`medft chat`: questions and answers in a terminal, or line by line from a pipe.

Answers go to stdout, all else to stderr.
"""

import contextlib
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from medft.config.schema import GenerationConfig
from medft.console import note, say
from medft.errors import InputError, ModelError, describe
from medft.evaluation.streaming import Written
from medft.runs.trained_model import TrainedModel, change_settings, check_length
from medft.serving.writing import explain_limit

ADVICE = "Nothing here is medical advice: the answers of a small model are often wrong and always sound certain."
_HELP = """\
/settings                       how answers are written
/settings max_new_tokens=128 do_sample=true temperature=0.7   changes that, for the answers that follow
/save FILE                      writes the questions and answers so far to a file, as Markdown
/new                            forgets what was said so far
/help                           this
/quit                           ends; so does Ctrl-D. Ctrl-C stops an answer."""


@dataclass(frozen=True)
class Exchange:
    """A question and its answer; `remark` says how the answer ended where it did not end by itself."""

    question: str
    answer: str
    remark: str


class Chat:
    """One conversation: what was said, and the settings of what follows.

    Args:
        title: of the run, for the file of `/save`.
        at_terminal: whether a person types; else lines come from a pipe.

    Attributes:
        exchanges: what was said so far.
        failed: how many lines ended with an error.
    """

    def __init__(self, model: TrainedModel, title: str, at_terminal: bool = True) -> None:
        check_length(model.config.generation)
        self.failed = 0
        self._at_terminal = at_terminal
        self.exchanges: list[Exchange] = []
        self.generation: GenerationConfig = model.config.generation
        self._model, self._title = model, title
        self._asked = 0  # sampled answers to one question differ by it
        self._saved: set[Path] = set()  # files of this conversation
        self._commands: dict[str, Callable[[str], None]] = {
            "/settings": self._settings, "/save": self._save, "/new": self._forget, "/help": lambda _: note(_HELP)
        }  # fmt: skip

    def introduce(self) -> None:
        """Say what can be asked, and whether what was said before counts."""
        note(f"{self._title}; /help lists what there is besides questions")
        if self._model.is_chat:
            note("each question is asked with the questions and answers before it; /new begins anew "
                 "(it has learned single questions)")  # fmt: skip
        else:
            style = self._model.config.dataset.prompt
            note(f"each question stands alone: the model's prompt ({style}) has no place for earlier ones")
        note(ADVICE)

    def take(self, line: str) -> bool:
        """Take a line: a question is answered, a command done; returns whether the chat goes on."""
        line = line.strip()
        if line in ("/quit", "/exit"):
            return False
        name, _, rest = line.partition(" ")
        try:
            if name in self._commands:
                self._commands[name](rest.strip())
            elif line.startswith("/"):
                raise InputError(f"no command {name}; there are {', '.join(self._commands)}, /quit")
            elif line:
                self._ask(line)
        except BrokenPipeError:  # nobody reads the answers any more
            raise
        except Exception as error:  # what was said so far can still be saved
            self.failed += 1
            note(f"error: {describe(error)}")
        return True

    def _ask(self, question: str) -> None:
        """Print the answer while it is written."""
        shown, last, remark = "", None, ""
        self._asked += 1
        try:
            with contextlib.closing(self._stream(question)) as answer:
                for last in answer:
                    if not last.text.startswith(shown):  # the end has changed what came before
                        say("")
                        shown = ""
                    say(last.text[len(shown) :], end="")
                    shown = last.text
        except KeyboardInterrupt:
            if not self._at_terminal:
                raise
            remark = "stopped"
        say("")
        if last:
            remark = remark or explain_limit(last, self.generation)
        if last and last.hit_limit and last.tokens == self.generation.max_new_tokens:
            remark += f": /settings max_new_tokens={2 * last.tokens}"
        if not shown and not remark:
            remark = "an empty answer"
        if remark:
            note(f"({remark})")
        self.exchanges.append(Exchange(question, shown, remark))

    def _stream(self, question: str) -> Generator[Written, None, None]:
        earlier: list[str] = []
        if self._model.is_chat:
            said = [text for each in self.exchanges for text in (each.question, each.answer)]
            try:
                earlier = list(self._model.fit_earlier(question, self.generation, said))
                if len(earlier) < len(said):
                    note(
                        f"({(len(said) - len(earlier)) // 2} earlier questions no longer fit into the model's context)"
                    )
            except ModelError as error:  # a template that takes one question only
                note(f"(asked without the questions before it: {error})")
        yield from self._model.stream(question, "", self.generation, earlier, self._asked - 1)

    def _settings(self, rest: str) -> None:
        changes = {}
        for word in rest.split():
            key, is_pair, value = word.partition("=")
            if not is_pair:
                raise InputError(f"what is {word!r}? /settings KEY=VALUE, such as /settings max_new_tokens=128")
            try:
                changes[key.removeprefix("generation.")] = yaml.safe_load(value)
            except yaml.YAMLError:
                raise InputError(f"{word}: not a value") from None
        if changes:
            self.generation = change_settings(self.generation, changes)
        note("  ".join(f"{key}={_show(value)}" for key, value in self.generation.model_dump().items()))

    def _save(self, rest: str) -> None:
        if not self._at_terminal:  # a file of questions may be somebody else's
            raise InputError("/save is for the terminal; answers that are piped go to a file with > FILE")
        if not rest:
            raise InputError("name a file: /save FILE")
        if not self.exchanges:
            raise InputError("nothing was asked yet")
        file = Path(rest).expanduser().resolve()
        if file.exists() and file not in self._saved:
            raise InputError(f"{rest}: exists already; name another")
        parts = [f"# {self._title}", f"{datetime.now():%Y-%m-%d %H:%M}. {ADVICE}"]
        for each in self.exchanges:
            parts += [f"## {each.question}", each.answer, f"({each.remark})" if each.remark else ""]
        try:
            file.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"{rest}: cannot be written ({error.strerror})") from None
        self._saved.add(file)
        note(f"saved:         {file} ({len(self.exchanges)} questions)")

    def _forget(self, _: str) -> None:
        self.exchanges.clear()
        self._saved.clear()
        note("what was said so far is forgotten")


def hold_chat(model: TrainedModel, title: str) -> int:
    """Take lines from the terminal, or from what is piped in, until they end; returns the exit code.

    Args:
        title: of the run.
    """
    at_terminal = sys.stdin.isatty()
    chat = Chat(model, title, at_terminal)
    chat.introduce()
    if at_terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - `input` edits lines and remembers them with it
    while True:
        try:
            line = input("> ") if at_terminal else _read_piped()
        except KeyboardInterrupt:
            if not at_terminal:
                raise
            note("\nCtrl-D or /quit ends")
            continue
        except EOFError:
            if at_terminal:
                note("")
            break
        if not chat.take(line.encode(errors="replace").decode()):
            break
    return int(bool(chat.failed) and not at_terminal)


def _read_piped() -> str:
    """A line of a pipe, whatever its encoding.

    Raises:
        EOFError: there is none left.
    """
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.decode(errors="replace").removeprefix("\ufeff")  # Windows marks a text as Unicode so


def _show(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value}"
