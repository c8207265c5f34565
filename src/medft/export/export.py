"""Exports: writes a run's model for others, checks it on what reads it, and only then puts it in its place."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medft.config.paths import ADAPTERS
from medft.config.schema import Config, FullConfig
from medft.console import say, say_stage, warn
from medft.data.encode import encode_prompts
from medft.data.example import Example
from medft.errors import InputError
from medft.evaluation.predictions import Prediction
from medft.export.card import describe_checks, write_card
from medft.export.gguf_file import NumberType, read_back, write_gguf
from medft.export.hf_folder import write_folder
from medft.export.modelfile import make_modelfile
from medft.export.ollama import create_model
from medft.export.readers import OllamaReader, Reader, TransformersReader, start_llama
from medft.export.verify import LIMITS, Limits, Verification, verify
from medft.files import apply_umask
from medft.model.sources.resolve import resolve
from medft.runs.open import FinishedRun
from medft.runs.record import read_predictions, read_record
from medft.runs.trained_model import TrainedModel, load_model

Target = Literal["hf", "gguf", "ollama"]
_CARD = "README.md"
_MARK = "<!-- exported by medft -->"  # in the card: such a folder may be replaced


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


def export(run: FinishedRun, options: Options) -> Verification | None:
    """Export the model of a run to `options.folder`; None if it was not to be verified.

    Raises:
        InputError: the run has kept no model, it cannot be said in that format, or the folder has something else.
        NotVerified: what reads it makes something else of it; the folder is as it was.
    """
    _check_folder(options.folder)
    say_stage("loading the model")
    model = load_model(run)
    rows = read_predictions(run.stored)
    asked = [_to_example(row) for row in rows[: options.questions]]
    options.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.folder.parent, prefix=".export-") as place:
        built = Path(place) / "built"
        if options.merged:
            found = _EXPORTS[options.to](model, asked, built, options)
        else:
            found = _export_adapters(run, model, asked, built)
        if found is None:
            warn("not verified: nobody has compared its answers with those of the training")
        checks = describe_checks(found) if found else {}
        for check, result in checks.items():
            say(f"verified:      {check}: {result}")
        facts = {"exported": f"to={options.to}{f', type={options.kind}' if options.to != 'hf' else ''}"}
        card = write_card(read_record(run.stored, rows), checks, facts, _explain_use(options))
        (built / _CARD).write_text(f"{card}\n{_MARK}\n", encoding="utf-8")
        apply_umask(built)
        if options.folder.exists():
            shutil.rmtree(options.folder)
        shutil.move(built, options.folder)
    return found


def _export_folder(model: TrainedModel, asked: Sequence[Example], built: Path, options: Options) -> Verification | None:
    say_stage("writing the folder")
    write_folder(model, built)
    if not asked:
        return None
    say_stage(f"verifying on {len(asked)} test questions")
    reader = TransformersReader(built)
    return verify(model, reader.network, reader, asked, Limits())


def _export_adapters(
    run: FinishedRun, model: TrainedModel, asked: Sequence[Example], built: Path
) -> Verification | None:
    """The adapters alone, with the tokenizer and the prompt; verified on the weights that they adapt."""
    if isinstance(run.config.finetune, FullConfig):
        raise InputError("merged=false: the run has trained all weights (finetune=full), so that there are no adapters")
    with tempfile.TemporaryDirectory() as place:
        write_folder(model, Path(place))
        for file in Path(place).iterdir():
            if file.name != "config.json" and file.suffix != ".safetensors":
                built.mkdir(exist_ok=True)
                shutil.copy(file, built)
    shutil.copytree(run.stored.artifact(ADAPTERS), built, dirs_exist_ok=True)
    if not asked:
        return None
    say_stage(f"verifying on {len(asked)} test questions")
    base = resolve(run.config.model, run.config.paths.cache)
    reader = TransformersReader(built, base)
    return verify(model, reader.network, reader, asked, Limits())


def _export_gguf(model: TrainedModel, asked: Sequence[Example], built: Path, options: Options) -> Verification | None:
    file = built / f"{options.name}-{options.kind}.gguf"
    _write_gguf(model, file, options)
    return _verify_file(model, file, asked, options, lambda: _start_llama(model, file, asked))


def _export_ollama(model: TrainedModel, asked: Sequence[Example], built: Path, options: Options) -> Verification | None:
    file = built / f"{options.name}-{options.kind}.gguf"
    modelfile = _write_gguf(model, file, options)
    say_stage(f"creating {options.name} on {options.host}")
    create_model(options.host, options.name, file, modelfile)
    return _verify_file(model, file, asked, options, lambda: _open_ollama(options))


def _write_gguf(model: TrainedModel, file: Path, options: Options) -> Any:
    say_stage(f"writing {file.name}")
    file.parent.mkdir()
    with tempfile.TemporaryDirectory() as place:
        write_folder(model, Path(place))
        write_gguf(model.network, Path(place), file, options.kind, options.name)
        modelfile = make_modelfile(model, Path(place), "see README.md")
    if options.to == "ollama":
        (file.parent / "Modelfile").write_text(modelfile.render(f"./{file.name}"), encoding="utf-8")
    return modelfile


def _verify_file(
    model: TrainedModel,
    file: Path,
    asked: Sequence[Example],
    options: Options,
    open_reader: Callable[[], AbstractContextManager[Reader]],
) -> Verification | None:
    if not asked:
        return None
    say_stage(f"verifying on {len(asked)} test questions")
    exported = read_back(file, model.network)
    with open_reader() as reader:
        return verify(model, exported, reader, asked, LIMITS[options.kind])


def _start_llama(model: TrainedModel, file: Path, asked: Sequence[Example]) -> AbstractContextManager[Reader]:
    longest = max(map(len, encode_prompts(asked, model.tokenizer, model.config.dataset.prompt)))
    most = model.config.generation.max_new_tokens
    return start_llama(file, longest + most + 8, most)


@contextmanager
def _open_ollama(options: Options) -> Iterator[Reader]:
    yield OllamaReader(options.host, options.name)


def _to_example(row: Prediction) -> Example:
    return Example(row.id, row.group, row.instruction, row.input, row.expected)


def _check_folder(folder: Path) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    card = folder / _CARD
    if not (card.is_file() and card.read_text(encoding="utf-8", errors="replace").rstrip().endswith(_MARK)):
        raise InputError(f"folder={folder}: there is something else; name another folder")


def _explain_use(options: Options) -> str:
    if not options.merged:
        return (
            "```python\nfrom peft import AutoPeftModelForCausalLM\n\n"
            f'model = AutoPeftModelForCausalLM.from_pretrained("{options.folder.name}")\n```'
        )
    if options.to == "hf":
        return (
            "```python\nfrom transformers import pipeline\n\n"
            f'ask = pipeline("text-generation", "{options.folder.name}")\n'
            'print(ask([{"role": "user", "content": "What is gout?"}])[0]["generated_text"][-1]["content"])\n```\n\n'
            "vLLM serves the folder as it is: `vllm serve .`"
        )
    if options.to == "gguf":
        return f"```sh\nllama-server -m {options.name}-{options.kind}.gguf --temp 0 --repeat-penalty 1\n```"
    return f"```sh\nollama create {options.name} -f Modelfile\nollama run {options.name} 'What is gout?'\n```"


_EXPORTS = {"hf": _export_folder, "gguf": _export_gguf, "ollama": _export_ollama}


def default_folder(config: Config, name: str, to: Target, kind: NumberType) -> Path:
    """Where an export goes unless the user says so."""
    return Path(config.paths.root_dir) / "outputs" / "export" / (name if to == "hf" else f"{name}-{to}-{kind}")
