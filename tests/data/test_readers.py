"""Each reader on real and made files, and each kind of wrong file: one line with file and line, exit code 2."""

import csv
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medft.config.schema import Config
from medft.data.example import Example
from medft.data.readers.alpaca import Alpaca, Columns
from medft.data.readers.diseases import Diseases
from medft.data.readers.medquad import MedQuAD
from medft.data.readers.sample import Sample
from medft.data.splits import load_splits
from medft.errors import DataError

ROWS = [
    {"instruction": "What is gout?", "input": "", "output": "A joint\ndisease."},
    {"instruction": "Sum up.", "input": "Some text, quoted: \"x\"", "output": "Text."},
    {"instruction": "Qu'est-ce que l'asthme ?", "input": "", "output": "Une maladie — des bronches."},
]  # fmt: skip


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def texts(rows: Iterator[Example]) -> list[tuple[str, str, str]]:
    return [(row.instruction, row.input, row.output) for row in rows]


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "parquet"])
def test_alpaca_reads_the_same_from_every_format(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"data.{ending}", ROWS)
    found = list(Alpaca(path=str(path)).read())
    assert texts(iter(found)) == [tuple(row.values()) for row in ROWS]
    assert [row.id for row in found] == [row.id for row in Alpaca(path=str(path)).read()]


def test_alpaca_maps_columns_and_needs_no_input(tmp_path: Path) -> None:
    rows = [{"q": "Q", "a": "A", "key": "7", "doc": "d1"}]
    columns = Columns(instruction="q", output="a", id="key", group="doc")
    [found] = Alpaca(path=str(write(tmp_path / "d.csv", rows)), columns=columns).read()
    assert (found.instruction, found.input, found.output, found.id, found.group) == ("Q", "", "A", "7", "d1")


def test_long_and_bom_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    long = "word " * 60_000
    path.write_bytes(b"\xef\xbb\xbf" + f'instruction,output\r\nQ,"{long}"\r\n'.encode())
    [found] = Alpaca(path=str(path)).read()
    assert found.output == long.strip()


def test_empty_ids_and_groups_take_their_defaults(tmp_path: Path) -> None:
    rows = [{"instruction": f"Q{n}", "output": "A", "id": None, "group": None} for n in range(2)]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    found = list(Alpaca(path=str(tmp_path / "d.json"), columns=Columns(id="id", group="group")).read())
    assert found[0].id != found[1].id
    assert found[0].group != found[1].group


def test_a_mapped_input_column_must_be_there(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", ROWS)
    with pytest.raises(DataError, match="no column 'contxt'"):
        list(Alpaca(path=str(path), columns=Columns(input="contxt")).read())


BAD: list[tuple[str, str, str]] = [
    ("d.csv", "instruction,answer\nQ,A\n", "d.csv: no column 'output' (there are: 'instruction', 'answer')"),
    ("d.csv", "instruction,output\nQ,A\nQ2,\n", "d.csv:3: column 'output' is empty"),
    ("d.csv", "instruction,output\nQ,A,B\n", "d.csv:2: more cells than the header has columns"),
    ("d.csv", 'instruction,output\nQ,"A\n', "d.csv:2: not valid CSV"),
    ("d.jsonl", '{"instruction": "Q", "output": "A"}\n{"instruction"', "d.jsonl:2: not valid JSON"),
    ("d.jsonl", '{"instruction": "Q", "output": 3}\n', "d.jsonl:1: column 'output' is int, not text"),
    ("d.jsonl", "[1]\n", "d.jsonl:1: expected an object, got list"),
    ("d.json", '{"a": 1}', "d.json: expected a list of objects"),
    ("d.txt", "x", "d.txt: unknown ending '.txt'; use .csv, .json, .jsonl, .parquet"),
    ("d.parquet", "not parquet", "d.parquet: not a Parquet file"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_wrong_files_are_named_with_their_line(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        list(Alpaca(path=str(tmp_path / name)).read())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_latin1_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes("instruction,output\nQ,é\n".encode("latin-1"))
    with pytest.raises(DataError, match="is not UTF-8"):
        list(Alpaca(path=str(tmp_path / "d.csv")).read())


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"dataset.path=nowhere.csv: no such file"):
        list(Diseases(path="nowhere.csv").read())


def test_an_empty_data_set_is_refused(compose: Callable[..., Config], tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("instruction,output\n")
    with pytest.raises(DataError, match="dataset=alpaca: no rows in it"):
        load_splits(compose("dataset=alpaca", f"dataset.path={tmp_path / 'd.csv'}").dataset)


def test_the_first_users_csv(real_data: Path) -> None:
    rows = list(Diseases(path=str(real_data / "diseases.csv")).read())
    assert len(rows) == 10
    assert {row.group for row in rows} == {"glaucoma", "high blood pressure", "urinary tract infections"}
    assert len({row.id for row in rows}) == 10


DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<Document id="{id}" source="Test" url="http://example.org/{id}"><Focus>Gout</Focus><QAPairs>
<QAPair pid="1"><Question qid="{id}-1" qtype="causes">What causes gout ?</Question><Answer>Uric  acid &amp;
crystals.</Answer></QAPair>
<QAPair pid="2"><Question qid="{id}-2" qtype="outlook">And then ?</Question><Answer></Answer></QAPair>
</QAPairs></Document>"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "MedQuAD-master" / "1_Test_QA"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"000{number}.xml").write_text(DOCUMENT.format(id=number))
    return folder.parent


def test_medquad_directory(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(MedQuAD(path=str(release), cache_dir=str(tmp_path)).read())
    assert [row.id for row in rows] == ["Test-1-1", "Test-2-1"]
    assert rows[0].output == "Uric acid & crystals."
    assert rows[0].group == "gout"
    assert rows[0].meta["question_type"] == "causes"
    assert "2 answered pairs, 2 without an answer left out" in capsys.readouterr().out


def test_medquad_url_is_downloaded_once(release: Path, tmp_path: Path) -> None:
    import shutil

    served = tmp_path / "served"
    shutil.make_archive(str(served / "m"), "zip", release.parent, release.name)
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(served))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reader = MedQuAD(path=f"http://127.0.0.1:{server.server_port}/m.zip", cache_dir=str(tmp_path / "cache"))
        first = list(reader.read())
        second = list(reader.read())
        missing = MedQuAD(path=f"http://127.0.0.1:{server.server_port}/no.zip", cache_dir=str(tmp_path / "cache"))
        with pytest.raises(DataError, match="cannot be downloaded .*give a copy with dataset.path"):
            list(missing.read())
        server.shutdown()
    assert texts(iter(first)) == texts(iter(second))
    assert asked.count("/m.zip") == 1


def test_medquad_refuses_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("no zip")
    with pytest.raises(DataError, match="neither a directory nor a zip"):
        list(MedQuAD(path=str(tmp_path / "x.zip"), cache_dir=str(tmp_path)).read())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no MedQuAD XML file with an answered question"):
        list(MedQuAD(path=str(tmp_path / "empty"), cache_dir=str(tmp_path)).read())
    (tmp_path / "empty" / "a.xml").write_text("<Document>")
    with pytest.raises(DataError, match=r"a\.xml: not valid XML"):
        list(MedQuAD(path=str(tmp_path / "empty"), cache_dir=str(tmp_path)).read())


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Document id="1"><Focus>&b;</Focus></Document>'
    (tmp_path / "a.xml").write_text(bomb)
    with pytest.raises(DataError, match="not valid XML"):
        list(MedQuAD(path=str(tmp_path), cache_dir=str(tmp_path)).read())


def test_real_medquad(medquad_zip: Path, tmp_path: Path) -> None:
    rows = list(MedQuAD(path=str(medquad_zip), cache_dir=str(tmp_path)).read())
    assert len(rows) == 15_408
    assert len({row.id for row in rows}) == len(rows)
    assert len({row.group for row in rows}) > 4000
    assert all(row.instruction and row.output for row in rows)


def test_sample_has_seven_questions_for_each_of_thirty_diseases() -> None:
    rows = list(Sample().read())
    assert len(rows) == 210
    kinds = {(row.group, row.meta["question_type"]) for row in rows}
    assert len(kinds) == 210
    assert len({row.group for row in rows}) == 30


def test_sample_answers_have_the_asked_lengths() -> None:
    lengths = [len(row.output.split()) for row in Sample().read()]
    assert sum(length >= 400 for length in lengths) >= 5
    assert all(30 <= length <= 120 or length >= 400 for length in lengths)


def test_no_two_sample_answers_share_ten_words() -> None:
    import re

    seen: dict[tuple[str, ...], str] = {}
    without_names = set()
    for row in Sample().read():
        words = re.findall(r"[a-z0-9']+", row.output.lower())
        for start in range(len(words) - 9):
            run = tuple(words[start : start + 10])
            assert seen.setdefault(run, row.id) == row.id, f"{row.id} and {seen[run]} share: {' '.join(run)}"
        without_names.add(row.output.lower().replace(row.group.lower(), "X"))
    assert len(without_names) == 210
