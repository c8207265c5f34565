"""What medft reads: each surface takes bytes, and raises nothing but medft's own errors."""

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from omegaconf import OmegaConf
from openpyxl import Workbook
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from medft.config.compose import check, compose_config, compose_raw, load_yaml
from medft.data.encode import encode_examples, format_alpaca_prompt
from medft.data.example import BadRow, Example
from medft.data.readers.alpaca import Alpaca
from medft.data.readers.medquad import MedQuAD, clean_text
from medft.data.rows import read_rows
from medft.data.template import render_chat
from medft.data.tokenizer import Gpt2Tokenizer, OwnTokenizer
from medft.evaluation.judges.base import JudgeItem, Verdict, judge_of
from medft.evaluation.judges.language_model import InvalidReply
from medft.evaluation.judging.judge_run import open_cache
from medft.evaluation.predictions import Prediction, read_jsonl, write_jsonl
from medft.evaluation.probes import load_probes
from medft.files import read_json, write_checked, write_json
from medft.metrics.metric import AnswerScores
from medft.model.build import build_model
from medft.runs.index import Entry, RunIndex
from medft.runs.journal import Journal
from medft.runs.open import override_config
from medft.search.config import read_search
from medft.training.checkpoints import FOLDER, LAST, find_checkpoint
from tests.composed import TINY, composed

ROWS = [
    {"instruction": "What is gout?", "input": "", "output": "A disease, with \"pain\"; of joints.\nIt hurts."},
    {"instruction": "¿Qué es la gota? 痛风", "input": "42", "output": "Dépôts d’urate dans l'articulation."},
]  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """One way in.

    Attributes:
        seeds: valid contents, from which wrong ones are made.
        read: reads a content; whatever it raises that is not a `MedftError` is a crash.
    """

    name: str
    seeds: Sequence[bytes]
    read: Callable[[bytes], object]


def write(name: str, content: bytes) -> Path:
    """A file of its own, in a folder that goes with the process."""
    file = Path(tempfile.mkdtemp(dir=_FOLDER.name)) / name
    file.write_bytes(content)
    return file


_FOLDER = tempfile.TemporaryDirectory(prefix="medft-fuzz-")


def read_table_of(name: str) -> Callable[[bytes], object]:
    """Rows of a file that is called so."""

    def read(content: bytes) -> None:
        for row in Alpaca(path=str(write(name, content))).read():
            assert isinstance(row, Example | BadRow)

    return read


def read_medquad(name: str) -> Callable[[bytes], object]:
    def read(content: bytes) -> None:
        file = write(name, content)
        for row in MedQuAD(path=str(file if name.endswith(".zip") else file.parent), cache_dir=_FOLDER.name).read():
            assert isinstance(row, Example | BadRow)

    return read


def read_all_rows(content: bytes) -> None:
    """From a file to checked rows on disk."""
    file = write("rows.csv", content)
    config = composed("dataset=alpaca", f"dataset.path={file}", *TINY)
    read_rows(config.dataset, file.parent, None)


def read_logged_config(content: bytes) -> None:
    logged = load_yaml(write("config.yaml", content), "run=x: config.yaml")
    check(override_config(logged, ["generation.max_new_tokens=5"]))


def read_reply(judge: str) -> Callable[[bytes], object]:
    made: Any = judge_of(composed(f"judge={judge}"))

    def read(content: bytes) -> None:
        try:
            verdict = made.read(content.decode("utf-8", "replace"))
        except InvalidReply:
            return
        assert 0 <= verdict.score <= 100

    return read


def format_prompts(content: bytes) -> None:
    text = content.decode("utf-8", "replace")
    example = Example("1", "1", text, text[::-1], text)
    assert text in format_alpaca_prompt(example)
    (encoded,) = encode_examples([example], _TOKENIZER, "alpaca")
    assert _TOKENIZER.decode(encoded.answer[:-1]) == text
    judge: Any = judge_of(composed("judge=ollama"))
    assert text in judge.render(JudgeItem(text, text, text, text))
    clean_text(text)


def read_journal(content: bytes) -> None:
    file = write("journal.jsonl", content)
    Journal(file.parent).read()


def read_index(content: bytes) -> None:
    root = write("x", b"").parent
    place = root / "mlruns" / "runs" / "abc.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(content)
    RunIndex(root).list_entries()


def read_checkpoint(content: bytes) -> None:
    """What it finds is what was written."""
    folder = write("x", b"").parent
    with write_checked(folder / FOLDER / LAST) as partial:
        partial.write_bytes(CHECKPOINT)
    (folder / FOLDER / LAST).write_bytes(content)
    file = find_checkpoint(folder)
    assert file is None or file.read_bytes() == CHECKPOINT


def read_verdicts(content: bytes) -> None:
    folder = write("x", b"").parent
    (folder / "judge").mkdir()
    (folder / "judge" / "verdicts.sqlite").write_bytes(content)
    cache = open_cache(judge_of(composed("judge=ollama")), folder)
    if cache:
        cache.find(JudgeItem("a", "", "b", "c"), 0)
        cache.close()


def read_model_with(name: str) -> Callable[[bytes], object]:
    """A model's directory in which one file is another; what can be loaded computes and writes."""

    def read(content: bytes) -> None:
        directory = write(name, content).parent
        for file in MODEL.iterdir():
            if file.name != name:
                shutil.copy(file, directory)
        config = composed(*TINY).model.model_copy(update={"shape": {}})
        tokenizer = OwnTokenizer(directory, None, None)
        tokenizer.encode("gout 痛风")
        build_model(config, directory, tokenizer, 0)

    return read


def render_template(content: bytes) -> None:
    assert isinstance(render_chat(content.decode("utf-8", "replace"), {}, [{"role": "user", "content": "gout"}]), str)


def _encode(rows: Sequence[dict[str, Any]], lines: bool) -> bytes:
    return ("\n".join(json.dumps(row) for row in rows) if lines else json.dumps(rows)).encode()


def _csv() -> bytes:
    return ("instruction,output\n" + "".join(f'"{r["instruction"]}","{r["output"].replace(chr(34), chr(34) * 2)}"\n'
                                             for r in ROWS)).encode()  # fmt: skip


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


def _xlsx() -> bytes:
    workbook = Workbook()
    for row in (list(ROWS[0]), *(list(each.values()) for each in ROWS)):
        workbook.active.append(row)
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def _model() -> Path:
    """A directory with a model of some hundred weights."""
    directory = write("x", b"").parent
    words = Tokenizer(WordLevel({"gout": 0, "[UNK]": 1, "</s>": 2}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>").save_pretrained(directory)
    shape = GPT2Config(vocab_size=3, n_positions=8, n_embd=4, n_layer=1, n_head=1, bos_token_id=2, eos_token_id=2)
    GPT2LMHeadModel(shape).save_pretrained(directory)
    return directory


def _zip(xml: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("1_A/0000001.xml", xml)
    return buffer.getvalue()


def _checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": {"a": torch.arange(4.0)}, "global_step": 3}, buffer)
    return buffer.getvalue()


def _file(make: Callable[[Path], object]) -> bytes:
    file = write("made", b"")
    make(file)
    return file.read_bytes()


def _journal(file: Path) -> None:
    folder = file.parent
    for kind, data in (("opened", {"name": "a"}), ("metrics", {"loss": 1.5}), ("status", {"status": "FINISHED"})):
        Journal(folder).append(kind, data)  # type: ignore[arg-type]
    file.write_bytes((folder / "journal.jsonl").read_bytes())


XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<Document id="0000001" source="A" url="https://a.b"><Focus>Gout</Focus><QAPairs><QAPair pid="1">
<Question qid="0000001-1" qtype="information">What is gout?</Question><Answer>A <b>disease</b> &amp; more.</Answer>
</QAPair></QAPairs></Document>"""
CHECKPOINT = _checkpoint()
_TOKENIZER = Gpt2Tokenizer()
_CONFIG = OmegaConf.to_yaml(compose_raw(TINY), resolve=True).encode()
_SEARCH = b"trials: 5\nranges:\n  optimizer.lr: {low: 1e-5, high: 1e-3, log: true}\n"
_PROBES = b"- {id: a, instruction: gout}\n- {id: b, instruction: c, input: d}\n"
_REPLIES = (b'{"score": 85, "reason": "right"}', b" 85\n", b'{"score": "85"}')
_SCORES = AnswerScores("gout", False, 3.5, 7, 0, 30, 1, 2, {"rougeL": 0.5})
_VERDICTS = {"ollama": {"test": Verdict("scored", 85, reply="85")}}
_PREDICTION = Prediction("1", "g", "d", "What is gout?", "", "A disease.", None, _SCORES, _VERDICTS)

MODEL = _model()
_TEMPLATE = b"{% for m in messages %}{{ '<|' + m['role'] + '|>' + m.content }}{% endfor %}{% if x %}a{% endif %}"

SURFACES = (
    Surface("csv", [_csv()], read_table_of("a.csv")),
    Surface("json", [_encode(ROWS, lines=False)], read_table_of("a.json")),
    Surface("jsonl", [_encode(ROWS, lines=True)], read_table_of("a.jsonl")),
    Surface("parquet", [_parquet()], read_table_of("a.parquet")),
    Surface("rows", [_csv()], read_all_rows),
    Surface("medquad-xml", [XML], read_medquad("a.xml")),
    Surface("medquad-zip", [_zip(XML)], read_medquad("a.zip")),
    Surface("overrides", [b"dataset.size=5", b"+a.b=[1,{c:'d'}]", b"optimizer=sgd", b"~trainer", b"seed=${oc.env:A}"],
            lambda content: compose_config([content.decode("utf-8", "replace")])),
    Surface("logged-config", [_CONFIG], read_logged_config),
    Surface("search", [_SEARCH], lambda content: read_search(str(write("s.yaml", content)), [])),
    Surface("probes", [_PROBES], lambda content: load_probes(str(write("p.yaml", content)))),
    Surface("judge-reply", _REPLIES, read_reply("ollama")),
    Surface("notebook-reply", _REPLIES, read_reply("notebook")),
    Surface("prompts", ["What is {gout}? $answer <|endoftext|> 痛风".encode()], format_prompts),
    Surface("predictions", [_file(lambda file: write_jsonl([_PREDICTION], file))],
            lambda content: read_jsonl(write("predictions.jsonl", content))),
    Surface("journal", [_file(_journal)], read_journal),
    Surface("json-card", [_file(lambda file: write_json(file, {"run_id": "a", "name": "b"}))],
            lambda content: read_json(write("run.json", content))),
    Surface("index", [json.dumps(asdict(Entry("abc", "/tmp", "n", 1.0))).encode()], read_index),
    Surface("checkpoint", [CHECKPOINT], read_checkpoint),
    Surface("xlsx", [_xlsx()], read_table_of("a.xlsx")),
    *(Surface(f"model-{name}", [(MODEL / name).read_bytes()], read_model_with(name))
      for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")),
    Surface("chat-template", [_TEMPLATE], render_template),
    Surface("verdicts", [b"SQLite format 3\x00" + bytes(4000)], read_verdicts),
)  # fmt: skip
