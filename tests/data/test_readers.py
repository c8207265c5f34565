"""Each reader on real and made files, and each kind of wrong file: one line with file and line, exit code 2."""

import csv
import gzip
import http.server
import json
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medft.data.example import BadRow, Example
from medft.data.readers.alpaca import Alpaca, Columns
from medft.data.readers.base import normalize_name
from medft.data.readers.diseases import Diseases
from medft.data.readers.medquad import MedQuAD
from medft.data.readers.sample import Sample
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
    examples = list(Alpaca(path=str(path)).read())
    assert texts(iter(examples)) == [tuple(row.values()) for row in ROWS]
    assert [row.id for row in examples] == [row.id for row in Alpaca(path=str(path)).read()]


def test_alpaca_maps_columns_and_needs_no_input(tmp_path: Path) -> None:
    rows = [{"q": "Q", "a": "A", "key": "7", "doc": "d1"}]
    columns = Columns(instruction="q", output="a", id="key", group="doc")
    [example] = Alpaca(path=str(write(tmp_path / "d.csv", rows)), columns=columns).read()
    assert (example.instruction, example.input, example.output, example.id, example.group) == ("Q", "", "A", "7", "d1")


def test_long_and_bom_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    long = "word " * 60_000
    path.write_bytes(b"\xef\xbb\xbf" + f'instruction,output\r\nQ,"{long}"\r\n'.encode())
    [example] = Alpaca(path=str(path)).read()
    assert example.output == long.strip()


def test_empty_ids_and_groups_take_their_defaults(tmp_path: Path) -> None:
    rows = [{"instruction": f"Q{n}", "output": "A", "id": None, "group": None} for n in range(2)]
    (tmp_path / "d.json").write_text(json.dumps(rows))
    examples = list(Alpaca(path=str(tmp_path / "d.json"), columns=Columns(id="id", group="group")).read())
    assert examples[0].id != examples[1].id
    assert examples[0].group != examples[1].group


def bad(delivered: Iterable[Example | BadRow]) -> list[str]:
    return [f"{each.where}: {each.reason}" for each in delivered if isinstance(each, BadRow)]


@pytest.mark.parametrize("role", ["instruction", "input", "output", "id", "group", "document"])
def test_a_mapped_column_must_be_there(tmp_path: Path, role: str) -> None:
    path = write(tmp_path / "d.csv", ROWS)
    messages = bad(Alpaca(path=str(path), columns=Columns(**{role: "contxt"})).read())
    assert len(messages) == 3
    assert messages[0].startswith(f"{path}:2: no column 'contxt' (there are: 'instruction', 'input', 'output')")


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(b'\xef\xbb\xbfinstruction,output\r\n\r\n"Q\r\n1","A\r\n\r\n"\r\nQ2,\r\n\r\n\r\nQ3,A\r\n')
    delivered = list(Alpaca(path=str(path)).read())
    assert [each.where.removeprefix(f"{path}:") for each in delivered] == ["3", "7", "10"]
    assert isinstance(delivered[1], BadRow)
    assert [(each.instruction, each.output) for each in delivered if isinstance(each, Example)] == [
        ("Q\r\n1", "A"), ("Q3", "A"),
    ]  # fmt: skip


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(" instruction ,output,,\nQ,A,,\nQ2,A2\n")
    assert texts(Alpaca(path=str(path)).read()) == [("Q", "", "A"), ("Q2", "", "A2")]
    path.write_text("instruction, instruction,output\nQ,R,A\n")
    with pytest.raises(DataError, match="the header names 'instruction' twice"):
        list(Alpaca(path=str(path)).read())


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl"])
def test_gzip_is_read_as_what_it_holds(tmp_path: Path, ending: str) -> None:
    plain = write(tmp_path / f"data.{ending}", ROWS)
    packed = tmp_path / f"packed.{ending}.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + plain.read_bytes()))
    assert list(Alpaca(path=str(packed)).read()) == list(Alpaca(path=str(plain)).read())


def test_several_files_and_patterns_are_one_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("b.jsonl", "a.csv", "c[1].json"):
        write(tmp_path / name, [{"instruction": f"Q {name}", "output": "A"}])
    (tmp_path / "sub").mkdir()
    write(tmp_path / "sub" / "d.parquet", [{"instruction": "Q d", "output": "A"}])

    def asked(path: str | list[str]) -> list[str]:
        return [each.instruction for each in Alpaca(path=path).read() if isinstance(each, Example)]

    assert asked(["b.jsonl", "a.csv"]) == ["Q b.jsonl", "Q a.csv"]
    assert asked("*.[cj]s*") == ["Q a.csv", "Q b.jsonl", "Q c[1].json"]
    assert asked("c[1].json") == ["Q c[1].json"]  # a file of that name comes before a pattern
    assert asked("**/*.parquet") == ["Q d"]
    assert len(asked("**")) == 4  # not the folder itself
    for nothing in ("*.csvx", ["a.csv", "*.csvx"]):
        with pytest.raises(DataError, match=r"dataset.path=\*.csvx: no file matches this pattern"):
            asked(nothing)
    with pytest.raises(DataError, match="name a file"):
        asked([])


def test_a_hub_data_set_is_read_by_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    table = datasets.Dataset.from_list(ROWS)
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: asked.append((name, split)) or table)
    examples = list(Alpaca(path="hub:owner/name", hub_split="test").read())
    assert asked == [("owner/name", "test")]
    assert texts(iter(examples)) == [tuple(row.values()) for row in ROWS]
    assert examples[1].where == "hub:owner/name[test]: row 2"


def test_a_hub_that_cannot_be_reached_is_one_line() -> None:
    with pytest.raises(DataError, match=r"dataset.path=hub:no/such: .*; download it elsewhere and give the file"):
        list(Alpaca(path="hub:no/such").read())


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DataError, match=r"dataset.path=nowhere.csv: no such file"):
        list(Diseases(path="nowhere.csv").read())


def test_the_first_users_csv(real_data: Path) -> None:
    rows = list(Diseases(path=str(real_data / "diseases.csv")).read())
    assert len(rows) == 10
    assert {row.group for row in rows} == {"glaucoma", "highbloodpressure", "urinarytractinfections"}
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
    assert rows[0].document == "Test-1"
    assert rows[0].where.endswith("MedQuAD-master/1_Test_QA/0001.xml: pair 1")
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
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        reader = MedQuAD(path=f"http://127.0.0.1:{server.server_port}/m.zip", cache_dir=str(tmp_path / "cache"))
        first = list(reader.read())
        second = list(reader.read())
        missing = MedQuAD(path=f"http://127.0.0.1:{server.server_port}/no.zip", cache_dir=str(tmp_path / "cache"))
        with pytest.raises(DataError, match="cannot be downloaded .*name the copy with MEDFT_DATA=FILE"):
            list(missing.read())
        server.shutdown()
    assert texts(iter(first)) == texts(iter(second))
    assert asked.count("/m.zip") == 1


def test_medquad_text_as_it_stands(release: Path, tmp_path: Path) -> None:
    [row, _] = MedQuAD(path=str(release), cache_dir=str(tmp_path), normalise=False).read()
    assert row.output == "Uric  acid &\ncrystals."


def test_medquads_older_layout_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(
        '<doc docid="7" corpus="N" url="u"><doctitle-focus>ALS</doctitle-focus><qaPairs><pair pid="1">'
        '<question qid="7-1" qtype="information">what is als?</question><answer>A disease.</answer>'
        "</pair></qaPairs></doc>"
    )
    [row] = MedQuAD(path=str(tmp_path), cache_dir=str(tmp_path)).read()
    assert (row.id, row.group, row.document, row.output) == ("N-7-1", "als", "N-7", "A disease.")


def test_every_xml_file_of_a_directory_counts_and_no_folder(release: Path, tmp_path: Path) -> None:
    (release / "folder.xml").mkdir()
    (release / "folder.xml" / "3.XML").write_text(DOCUMENT.format(id=3))
    examples = MedQuAD(path=str(release), cache_dir=str(tmp_path)).read()
    assert sorted(row.id for row in examples if isinstance(row, Example)) == ["Test-1-1", "Test-2-1", "Test-3-1"]


def test_one_broken_document_can_be_skipped(release: Path, tmp_path: Path) -> None:
    (release / "0.xml").write_text("<Document>")
    delivered = list(MedQuAD(path=str(release), cache_dir=str(tmp_path)).read())
    assert len(delivered) == 3
    assert bad(delivered) == [f"{release}/0.xml: not valid XML: no element found: line 1, column 10"]


def test_real_medquad(medquad_zip: Path, tmp_path: Path) -> None:
    rows = list(MedQuAD(path=str(medquad_zip), cache_dir=str(tmp_path)).read())
    assert len(rows) == 15_424
    assert len({row.id for row in rows}) == len(rows)
    assert len({row.group for row in rows}) > 4000
    assert len({row.document for row in rows}) == 5315
    assert all(row.instruction and row.output for row in rows)
    assert not any("  " in text or "<" + "br" in text for row in rows for text in (row.instruction, row.output))


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


def test_a_subject_has_one_name_however_it_is_spelled() -> None:
    for spellings in (
        ("Alzheimer's disease", "Alzheimer\u2019s Disease", "alzheimer disease"),
        ("alpha-thalassemia", "Alpha thalassemia"),
        ("oto-palato-digital syndrome, type 1", "otopalatodigital syndrome type 1"),
        ("Ménière disease", unicodedata.normalize("NFD", "Ménière disease")),
    ):
        assert len({normalize_name(each) for each in spellings}) == 1, spellings
    assert normalize_name("diabetes type 1") != normalize_name("diabetes type 2")
    assert normalize_name("糖尿病") == "糖尿病"
    assert normalize_name("हिन्दी") == "हिन्दी"
