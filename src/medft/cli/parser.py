"""How commands are declared and read: help, checks and defaults all follow from `Command` and `Option`."""

import argparse
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NoReturn

from medft.errors import InputError

_PLACES = re.compile(r"tracking\.uri|paths\..+")
_HelpFormatter = partial(argparse.RawDescriptionHelpFormatter, max_help_position=25, width=118)


@dataclass(frozen=True)
class Option:
    """A KEY=VALUE that belongs to a command rather than to the config of a run, or a --flag.

    Attributes:
        name: the KEY; one that begins with -- is a flag, whose value is whether it is there.
        placeholder: what stands for VALUE in the help; a shown default says the same.
        help: what it does, in a line or two.
        default: where it is left out. Values have its type: text, a number, true or false, or a tuple for A,B,C.
        choices: the only values there are.
        minimum: of a number.
        required: whether the command makes no sense without it.
    """

    name: str
    placeholder: str
    help: str
    default: str | int | tuple[str, ...] = ""
    choices: tuple[str, ...] = ()
    minimum: int = 0
    required: bool = False

    @property
    def is_flag(self) -> bool:
        """Whether it takes no value."""
        return self.name.startswith("--")

    def parse(self, text: str) -> str | int | tuple[str, ...]:
        """The value that a VALUE stands for.

        Raises:
            InputError: it is none of the choices, or not of the type.
        """
        choices = ("true", "false") if isinstance(self.default, bool) else self.choices
        if choices and text not in choices:
            raise InputError(f"{self.name}={text}: must be {' or '.join(choices)}")
        if isinstance(self.default, bool):
            return text == "true"
        if isinstance(self.default, int):
            if not text.isdecimal() or int(text) < self.minimum:
                raise InputError(f"{self.name}={text}: must be a number from {self.minimum}")
            return int(text)
        return tuple(filter(None, text.split(","))) if isinstance(self.default, tuple) else text


@dataclass(frozen=True)
class Arguments:
    """A command line, sorted out.

    Attributes:
        values: of all the command's options, defaults included.
        words: what is no KEY=VALUE, such as ids of runs or a question.
        overrides: Hydra overrides of the config.
    """

    values: dict[str, Any]
    words: list[str]
    overrides: list[str]


@dataclass(frozen=True)
class Command:
    """A command, or with `commands` a group of them.

    Attributes:
        function: `module:function` under medft.cli, imported only when the command is run.
        usage: what may follow the name, a form each.
        keys: which keys of the config can be overridden: all, or those that say where runs are tracked; `raw` hands the
            whole command line to the function, unread.
        words: how many arguments that are no KEY=VALUE it takes; None = any number.
        notes: the last paragraph of the help.
        default: of a group: the command that is meant where none is named.
    """

    name: str
    summary: str
    function: str = ""
    usage: tuple[str, ...] = ("[KEY=VALUE ...]",)
    options: tuple[Option, ...] = ()
    keys: Literal["config", "places", "raw"] = "config"
    words: int | None = 0
    notes: str = ""
    commands: tuple["Command", ...] = ()
    default: str = ""

    def parse(self, argv: Iterable[str], program: str) -> Arguments:
        """Sort a command line out; `program` is the command as it is typed, such as `medft data audit`.

        Raises:
            InputError: an argument that the command does not take, or a value that is wrong.
        """
        usage = f"usage: {program} {self.usage[0]}"
        options = {option.name: option for option in self.options}
        arguments = Arguments({option.name: option.default for option in self.options}, [], [])
        for argument in argv:
            key, is_pair, value = argument.partition("=")
            if argument.startswith("-") and " " not in argument:
                if not (argument in options and options[argument].is_flag):
                    raise InputError(describe_wrong_option(argument, options))
                arguments.values[argument] = True
            elif argument.startswith("~") and self.keys == "config":
                arguments.overrides.append(argument)
            elif not is_pair or " " in key:  # a question may hold an equals sign
                if self.words is not None and len(arguments.words) == self.words:
                    raise InputError(f"what is {argument!r}? {usage}")
                arguments.words.append(argument)
            elif key in options:
                arguments.values[key] = options[key].parse(value)
            else:
                if self.keys == "places" and not _PLACES.fullmatch(key):
                    known = ", ".join([*options, "tracking.uri", "paths.*"])
                    raise InputError(f"{key}: no such key{suggest(key, options)}; there are {known} ({program} --help)")
                if suggestion := suggest(key, options):
                    raise InputError(f"{key}: no such key{suggestion}")
                arguments.overrides.append(argument)
        missing_word = self.words and not "".join(arguments.words).strip()
        if missing_word or any(option.required and not arguments.values[option.name] for option in self.options):
            raise InputError(usage)
        return arguments


def describe_wrong_option(argument: str, known: Iterable[str]) -> str:
    """What is said of a --flag that there is not."""
    wrong, known = argument.split("=")[0], list(known)
    if wrong in known:
        return f"{wrong} takes no value"
    suggestion = suggest(wrong, [*known, "--help", "--version"]) or suggest(wrong.lstrip("-"), known)
    return f"no option {wrong}{suggestion}; keys are given as KEY=VALUE"


def name_command(commands: Sequence[Command], argv: Sequence[str]) -> list[str]:
    """The arguments with the command of a group that is meant where none is named."""
    given = argv[1:2]
    is_named = given and not given[0].startswith("-") and "=" not in given[0]
    for group in commands:
        if group.default and argv[:1] == [group.name] and not is_named and given not in (["-h"], ["--help"]):
            return [group.name, group.default, *given, *argv[2:]]
    return list(argv)


def suggest(wrong: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)` for something mistyped, or nothing where nothing is like it."""
    matches = difflib.get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]}?)" if matches else ""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are ours: a line each, with the nearest thing that is right."""

    def error(self, message: str) -> NoReturn:
        """Raise an InputError instead of printing the usage."""
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if not wrong:
            raise InputError(message)
        names = re.findall(r"[\w-]+", wrong[2])
        group = self.prog.removeprefix("medft").strip()
        words = f"no command {f'{group} ' if group else ''}{wrong[1]!r}{suggest(wrong[1], names)}"
        raise InputError(f"{words}; there are {', '.join(names)}")


def make_parser(commands: Sequence[Command], version: str, description: str, notes: str) -> Parser:
    """The parser of all commands; what it returns has the chosen `command`, its `program` and its `arguments`."""
    parser = Parser(
        prog="medft", description=description, epilog=notes, allow_abbrev=False,
        formatter_class=_HelpFormatter, usage="medft COMMAND [KEY=VALUE ...]",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"medft {version}")
    _add_commands(parser, commands)
    return parser


def _add_commands(parser: Parser, commands: Sequence[Command]) -> None:
    group = parser.add_subparsers(title="commands", metavar="COMMAND", prog=parser.prog)
    for command in commands:
        program = f"{parser.prog} {command.name}"
        meant = next((each for each in command.commands if each.name == command.default), command)
        own = group.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary[0].upper()}{command.summary[1:]}.",
            usage="\n       ".join(f"{program} {form}" for form in command.usage),
            epilog="\n\n".join(filter(None, (_describe_options(meant.options), meant.notes))),
            formatter_class=_HelpFormatter,
            add_help=command.keys != "raw",
            allow_abbrev=False,
        )
        if command.commands:
            own.set_defaults(command=None, group=own)
            _add_commands(own, command.commands)
        else:
            own.set_defaults(command=command, program=program)
            if command.keys != "raw":
                own.add_argument("arguments", nargs="*", metavar="KEY=VALUE", help=argparse.SUPPRESS)


def _describe_options(options: Sequence[Option]) -> str:
    """The part of a command's help that lists its keys, laid out as argparse lays out its own."""
    formatter = _HelpFormatter("")
    formatter.start_section("keys")
    for option in options:
        text = option.help
        if option.choices:
            text += f" ({' or '.join(option.choices)}, default {option.default})"
        elif option.default not in ("", ()) and not option.is_flag:
            text += f" (default {str(option.default).lower()})"
        typed = option.name if option.is_flag else f"{option.name}={option.placeholder}"
        formatter.add_argument(argparse.Action([], "", metavar=typed, help=text))
    formatter.end_section()
    return formatter.format_help().strip()
