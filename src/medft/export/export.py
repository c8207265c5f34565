"""Exports: writes a run's model for others, checks it on what reads it, and only then puts it in its place."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medft.config.paths import ADAPTERS
from medft.config.schema import Config, FullConfig
from medft.console import note, say, say_stage, warn
from medft.data.encode import encode_prompts, format_turn
from medft.data.example import Example
from medft.errors import InputError, MedftError
from medft.evaluation.predictions import Prediction
from medft.export.card import describe_base, describe_checks, write_card
from medft.export.folder import CARD, check_folder, mark_folder
from medft.export.gguf_file import NumberType, read_back, write_gguf
from medft.export.hf_folder import write_folder, write_prompt
from medft.export.modelfile import Modelfile, make_modelfile
from medft.export.ollama import create_model, delete_model
from medft.export.readers import OllamaReader, Reader, TransformersReader, start_llama
from medft.export.verify import LIMITS, Limits, Verification, verify
from medft.files import apply_umask
from medft.model.build import get_context_length
from medft.model.sources.resolve import resolve
from medft.runs.open import FinishedRun
from medft.runs.record import read_predictions, read_record
from medft.runs.trained_model import TrainedModel, check_length, load_model, pin_model

Target = Literal["hf", "gguf", "ollama"]
# what an export holds, read back as a network of transformers, and what reads it
Opened = tuple[Any, Reader]
OpenExport = Callable[[Sequence[Example]], AbstractContextManager[Opened]]
_UNVERIFIED = "-unverified"  # on an Ollama server, after a model's name


@dataclass(frozen=True)
class Options:
    """How a model is exported.

    Attributes:
        to: what reads it.
        kind: of the numbers in a GGUF file.
        folder: where it goes.
        name: of the model in Ollama.
        host: of the Ollama server.
        questions: how many test questions are asked to verify it; 0 = it is not verified.
        merged: whether LoRA's adapters are merged into the weights; else they are exported alone.
    """

    to: Target
    kind: NumberType
    folder: Path
    name: str
    host: str
    questions: int
    merged: bool = True

    @property
    def file_name(self) -> str:
        """Of the GGUF file."""
        return f"{_to_stem(self.name)}-{self.kind}.gguf"

    @property
    def library(self) -> str:
        """The Python package that loads the folder; empty where none does."""
        return "" if self.to != "hf" else "transformers" if self.merged else "peft"


@dataclass(frozen=True)
class _Written:
    """What a writer has written.

    Attributes:
        open: how it is verified.
        publish: what is left to do once it is.
    """

    open: OpenExport
    publish: Callable[[], None] = lambda: None


def export(run: FinishedRun, options: Options) -> Verification | None:
    """Export the model of a run to `options.folder`; None if it was not to be verified.

    Raises:
        InputError: the run has kept no model, it cannot be said in that format, nothing says how long an answer may be,
            no test question can be asked, or the folder has something else.
        NotVerified: what reads it makes something else of it; the folder and the Ollama server are as they were.
    """
    check_folder(options.folder)
    check_length(run.config.generation)
    say_stage("loading the model")
    model = load_model(run)
    rows = read_predictions(run.stored)
    asked = _choose_questions(model, rows, options.questions)
    folder = options.folder.resolve()  # where a link leads
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as place:
        built = Path(place) / "built"
        written = _WRITERS[options.to](run, model, built, options)
        found = None
        if asked:
            say_stage(f"verifying on {len(asked)} test questions")
            with written.open(asked) as (exported, reader):
                limits = Limits() if options.to == "hf" else LIMITS[options.kind]
                found = verify(model, exported, reader, asked, limits)
        if found is None:
            warn("not verified: nobody has compared its answers with those of the training")
        checks = describe_checks(found) if found else {}
        for check, result in checks.items():
            say(f"verified:      {check}: {result}")
        if found and 2 * found.equal < found.questions:
            differing = f"{found.questions - found.equal} of {found.questions} answers"
            warn(f"{differing} are others from a near-tie on: what comes after it was not compared")
        record = read_record(run.stored, rows)
        how = _explain_use(run.config, describe_base(record)[0], options)
        exported = f"to={options.to}{f', type={options.kind}' if options.to != 'hf' else ''}"
        mark_folder(built, write_card(record, checks, exported, how, options.library))
        apply_umask(built)
        written.publish()
        if folder.exists():
            folder.rename(Path(place) / "old")
        built.rename(folder)
    return found


def _write_folder(run: FinishedRun, model: TrainedModel, built: Path, options: Options) -> _Written:
    say_stage("writing the folder")
    if options.merged:
        write_folder(model, built)
    elif isinstance(run.config.finetune, FullConfig):
        raise InputError("merged=false: the run has trained all weights (finetune=full): there are no adapters")
    else:
        shutil.copytree(run.stored.artifact(ADAPTERS), built)
        write_prompt(model, built)
    return _Written(lambda asked: _open_folder(run, built, options.merged))


def _open_folder(run: FinishedRun, folder: Path, merged: bool) -> AbstractContextManager[Opened]:
    base = None if merged else resolve(pin_model(run), run.config.paths.cache)
    reader = TransformersReader(folder, base)
    return nullcontext((reader.network, reader))


def _write_for_llama(run: FinishedRun, model: TrainedModel, built: Path, options: Options) -> _Written:
    file, _ = _write_file(model, built, options)
    return _Written(lambda asked: _open_llama(model, file, asked))


@contextmanager
def _open_llama(model: TrainedModel, file: Path, asked: Sequence[Example]) -> Iterator[Opened]:
    longest = max(map(len, encode_prompts(asked, model.tokenizer, model.config.dataset.prompt)))
    most = model.config.generation.max_new_tokens
    with start_llama(file, longest + most + 8, most) as reader:
        yield read_back(file, model.network), reader


def _write_for_ollama(run: FinishedRun, model: TrainedModel, built: Path, options: Options) -> _Written:
    file, modelfile = _write_file(model, built, options)
    assert modelfile
    (built / "Modelfile").write_text(modelfile.render(f"./{file.name}"), encoding="utf-8")

    def publish() -> None:
        say_stage(f"creating {options.name} on {options.host}")
        create_model(options.host, options.name, file, modelfile)

    return _Written(lambda asked: _try_on_ollama(model, file, modelfile, options), publish)


@contextmanager
def _try_on_ollama(model: TrainedModel, file: Path, modelfile: Modelfile, options: Options) -> Iterator[Opened]:
    """Under another name: people may be asking the model that has this one."""
    name = options.name.partition(":")[0] + _UNVERIFIED
    say_stage(f"creating {name} on {options.host}")
    create_model(options.host, name, file, modelfile)
    try:
        yield read_back(file, model.network), OllamaReader(options.host, name)
    finally:
        with suppress(MedftError):  # of a server that has gone away it is said already
            delete_model(options.host, name)


def _write_file(model: TrainedModel, built: Path, options: Options) -> tuple[Path, Modelfile | None]:
    """The GGUF file, and where it is for Ollama what the Modelfile says."""
    file = built / options.file_name
    say_stage(f"writing {file.name}")
    built.mkdir()
    with tempfile.TemporaryDirectory() as place:
        write_prompt(model, Path(place))
        write_gguf(model.network, Path(place), file, options.kind, options.name)
        modelfile = make_modelfile(model, Path(place), f"see {CARD}") if options.to == "ollama" else None
    return file, modelfile


def _choose_questions(model: TrainedModel, rows: Sequence[Prediction], count: int) -> list[Example]:
    """The first questions that leave room for a whole answer: readers do otherwise where the context is full."""
    if not count:
        return []
    style, most = model.config.dataset.prompt, model.config.generation.max_new_tokens
    examples = [Example(row.id, row.group, row.instruction, row.input, row.expected) for row in rows]
    if style == "chat":  # there an input is a part of what the user says
        examples = [replace(each, instruction=format_turn(each), input="") for each in examples]
    prompts = encode_prompts(examples, model.tokenizer, style)
    room = get_context_length(model.network) - most
    fitting = [each for each, prompt in zip(examples, prompts, strict=True) if len(prompt) <= room]
    if len(fitting) < len(examples):
        note(f"{len(examples) - len(fitting)} of {len(examples)} test questions leave no room for an answer of {most} "
             "tokens: they are not asked")  # fmt: skip
    if not fitting:
        raise InputError(
            f"generation.max_new_tokens={most}: none of the {len(examples)} test questions leaves room for so long an "
            "answer; ask for fewer tokens, or export with verify=false"
        )
    return fitting[:count]


def _explain_use(config: Config, base: str, options: Options) -> str:
    if not options.merged:
        return (
            f"The base model is {base}; `medft fetch model={config.model.name}` says in which folder it "
            "is:\n\n```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
            'base = AutoModelForCausalLM.from_pretrained("FOLDER")\n'
            f'model = PeftModel.from_pretrained(base, "{options.folder.name}")\n```'
        )
    if options.to == "hf":
        return (
            "```python\nfrom transformers import pipeline\n\n"
            f'ask = pipeline("text-generation", "{options.folder.name}")\n'
            'print(ask([{"role": "user", "content": "What is gout?"}])[0]["generated_text"][-1]["content"])\n```\n\n'
            "vLLM serves the folder as it is: `vllm serve .`"
        )
    if options.to == "gguf":
        return f"```sh\nllama-server -m {options.file_name} --temp 0 --repeat-penalty 1\n```"
    return f"```sh\nollama create {options.name} -f Modelfile\nollama run {options.name} 'What is gout?'\n```"


_WRITERS = {"hf": _write_folder, "gguf": _write_for_llama, "ollama": _write_for_ollama}


def default_folder(config: Config, name: str, to: Target, kind: NumberType) -> Path:
    """Where an export goes unless the user says so."""
    stem = _to_stem(name)
    return Path(config.paths.root_dir) / "outputs" / "export" / (stem if to == "hf" else f"{stem}-{to}-{kind}")


def _to_stem(name: str) -> str:
    """A model's name, such as `me/gout:1b`, as part of a file's."""
    return name.replace("/", "-").replace(":", "-")
