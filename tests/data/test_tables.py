"""Tables as they come: all encodings and delimiters, Excel files, columns under other names, and what is said of it."""

import csv
import io
import time
import zipfile
from pathlib import Path

import openpyxl
import pytest

from medft.cli.main import main
from medft.config.roles import role_of
from medft.config.section import Role
from medft.data.example import BadRow, Example
from medft.data.readers import formats
from medft.data.readers.alpaca import Alpaca, Columns
from medft.data.readers.diseases import Diseases
from medft.data.readers.medquad import MedQuAD
from medft.errors import DataError, InputError

FRENCH = [
    ("Qu'est-ce que la fièvre ?", 'Une température; "élevée",\nsouvent.'),
    ("Et l'asthme ?", "Bronches, enflammées"),
]
CHINESE = [("什么是痛风？", "一种关节疾病，很痛；\n是慢性的"), ("什么是哮喘？", "呼吸道的疾病")]
ROWS = {"fr": FRENCH, "zh": CHINESE}


def as_csv(rows: list[tuple[str, str]], delimiter: str = ",", header: tuple[str, ...] = ("question", "answer")) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    return text.getvalue()


def pairs(path: Path, **options: object) -> list[tuple[str, str]]:
    rows = list(Alpaca(path=str(path), **options).read())  # type: ignore[arg-type]
    assert not [row for row in rows if isinstance(row, BadRow)]
    return [(row.instruction, row.output.replace("\r\n", "\n")) for row in rows if isinstance(row, Example)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("language", "encoding"),
    [("fr", "utf-8"), ("fr", "utf-8-sig"), ("fr", "utf-16"), ("fr", "cp1252"), ("zh", "utf-8"), ("zh", "gb18030")],
)
def test_a_table_is_read_however_it_was_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], delimiter: str, language: str, encoding: str
) -> None:
    path = tmp_path / "d.csv"
    path.write_bytes(as_csv(ROWS[language], delimiter).encode(encoding))
    assert pairs(path) == ROWS[language]
    [line] = capsys.readouterr().out.splitlines()
    sign = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}[delimiter]
    guess = {"cp1252": ", a guess ('fièvre')", "gb18030": ", a guess ('什么是痛风')"}.get(encoding, "")
    assert line == (
        f"{path}: read as {encoding.removesuffix('-sig')}{guess} with a {sign} between cells; to set it by hand: "
        "dataset.reader.encoding=NAME dataset.reader.delimiter=comma|semicolon|tab|pipe"
    )
    given = {"encoding": encoding.removesuffix("-sig"), "delimiter": sign}
    assert pairs(path, **given) == ROWS[language]
    assert capsys.readouterr().out == ""


def test_the_same_rows_are_the_same_data_however_they_were_written(tmp_path: Path) -> None:
    fingerprints = set()
    for name, encoding, delimiter in (("a.csv", "cp1252", ";"), ("b.tsv", "utf-16", "\t"), ("c.csv", "utf-8", ",")):
        (tmp_path / name).write_bytes(as_csv(FRENCH, delimiter).encode(encoding))
        fingerprints.add(tuple(row.fingerprint() for row in Alpaca(path=str(tmp_path / name)).read()))
    assert len(fingerprints) == 1
    for key in ("delimiter", "encoding", "sheet"):
        for name in ("alpaca.Alpaca", "diseases.Diseases"):
            target = {"dataset.reader._target_": f"medft.data.readers.{name}"}
            assert role_of(f"dataset.reader.{key}", target) is Role.PLACE


def test_the_whole_file_decides_about_the_encoding(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    plain = [(f"Question {number}?", "An answer. " * 20) for number in range(10_000)]
    path.write_bytes(as_csv([*plain, *FRENCH]).encode("cp1252"))
    assert path.stat().st_size > 2 * 2**20
    assert pairs(path)[-2:] == FRENCH
    path.write_bytes(path.read_bytes() + b"Q,\x81 \n")
    with pytest.raises(DataError, match=r"d.csv:\d{5}: is not UTF-8 but neither UTF-16"):
        pairs(path)
    with pytest.raises(DataError, match=r"d.csv:10005: is not cp1252 text; name its encoding"):
        pairs(path, encoding="cp1252")


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        (as_csv([("a;b;c", "d;e"), ("f;g", "h;i")]), "comma"),
        (as_csv([("a,b", "c,d,e"), ("f", "g,h")], ";", ("question", "answer, short")), "semicolon"),
        ('"question; what?",answer\n"a;b",c\nd,e\n', "comma"),
        ('question;answer\n1,5;"a\n\n, b"\n2,5;c\n', "semicolon"),
        ("text\na, b\nc; d\n", "comma"),
        ('"sep=;"\r\nquestion;answer\r\na,b;c\r\n', "semicolon"),
        ("sep=|\nquestion|answer\na|c\n", "pipe"),
    ],
)
def test_only_what_divides_the_cells_is_taken_for_a_delimiter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, delimiter: str
) -> None:
    (tmp_path / "d.csv").write_text(text, newline="")
    list(Alpaca(path=str(tmp_path / "d.csv")).read())
    assert f"with a {delimiter} between" in capsys.readouterr().out


def test_excels_first_line_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("sep=;\r\nquestion;answer\r\na,b;c\r\n", newline="")
    assert pairs(tmp_path / "d.csv") == [("a,b", "c")]


def test_line_ends_of_all_kinds_may_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(b'question,answer\r\nQ1,A\nQ2,"A\r\nB"\rQ3,A\n\rQ4,\r\n')
    rows = list(Alpaca(path=str(tmp_path / "d.csv")).read())
    assert [row.where.rpartition(":")[2] for row in rows] == ["2", "3", "5", "7"]
    assert [row.where for row in rows if isinstance(row, BadRow)] == [f"{tmp_path / 'd.csv'}:7"]


def test_a_way_of_reading_is_said_once_and_an_empty_file_among_others_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text(f"question,answer\nQ{number},A\n")
    (tmp_path / "3.csv").write_text("")
    assert len(pairs(tmp_path / "*.csv")) == 3
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (1, f"warning: {tmp_path / '3.csv'}: the file is empty\n")


def test_a_million_columns_are_refused_in_a_moment(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(",".join(f"c{number}" for number in range(1_000_000)) + "\n1\n")
    started = time.perf_counter()
    with pytest.raises(DataError, match=r"d.csv:1: the header has 1,000,000 columns; 10,000 are read at most"):
        pairs(tmp_path / "d.csv")
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize(
    "names", [("Question", "ANSWER"), ("instruction", "output"), ("prompt", "response"), ("Question", "Réponse"),
              ("问题", "答案"), ("instruction", "output", "question")]
)  # fmt: skip
def test_question_and_answer_are_known_by_their_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "d.csv").write_text(",".join(names) + "\nQ,A\n", encoding="utf-8")
    assert pairs(tmp_path / "d.csv") == [("Q", "A")]


def test_columns_that_are_named_win_and_those_that_may_be_two_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("question,Prompt,answer\nQ,P,A\n")
    [row] = Alpaca(path=str(path)).read()
    assert isinstance(row, BadRow)
    assert row.reason.startswith("'question' and 'Prompt' may all be the question (there are: 'question', 'Prompt'")
    assert pairs(path, columns=Columns(instruction="Prompt")) == [("P", "A")]
    path.write_text("question,Input,answer\nQ,context,A\n")
    [row] = Alpaca(path=str(path)).read()
    assert isinstance(row, Example)
    assert row.input == "context"
    [row] = Alpaca(path=str(path), columns=Columns(input=None)).read()
    assert isinstance(row, Example)
    assert row.input == ""


def workbook(path: Path, **sheets: list[tuple[object, ...]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_a_sheet_of_excel_is_a_table(tmp_path: Path) -> None:
    rows = [(), ("Question", "Answer", None, "n"), *FRENCH, (None, None), (37, 1.5, "x", 2)]
    path = workbook(tmp_path / "d.xlsx", first=rows, second=[("instruction", "output"), ("Q", "A")])
    assert pairs(path) == [*FRENCH, ("37", "1.5")]
    assert [row.where for row in Alpaca(path=str(path)).read()] == [f"{path}: row {number}" for number in (3, 4, 6)]
    assert pairs(path, sheet="second") == [("Q", "A")]
    with pytest.raises(DataError, match="dataset.reader.sheet=x: .* has the sheets 'first', 'second'"):
        pairs(path, sheet="x")


def test_excel_files_are_read_to_their_end_whatever_size_they_state(tmp_path: Path) -> None:
    path = workbook(tmp_path / "whole.xlsx", s=[("question", "answer"), *[(f"Q{n}", "A") for n in range(9)]])
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "d.xlsx", "w") as stated:
        for name in whole.namelist():
            stated.writestr(name, whole.read(name).replace(b'<dimension ref="A1:B10"', b'<dimension ref="A1:A1"'))
    assert len(pairs(tmp_path / "d.xlsx")) == 9


def test_an_excel_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "d.xlsx", s=[("question", "answer"), ("Q", "A" * 32_000)])
    monkeypatch.setattr(formats, "_LARGEST_WORKBOOK", 20_000)
    with pytest.raises(DataError, match=r"d.xlsx: unpacks to more than 20,000 bytes"):
        pairs(path)


def test_excel_files_without_openpyxl_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"Excel files need openpyxl: pip install 'medft\[xlsx\]'"):
        pairs(workbook(tmp_path / "d.xlsx", s=[("question", "answer")]))


def test_an_unknown_encoding_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("klingon", "base64"):
        assert main(["train", "dataset=alpaca", "dataset.path=d.csv", f"dataset.reader.encoding={name}"]) == 2
        assert capsys.readouterr().err.startswith(f"error: dataset.reader.encoding: {name} is no encoding")


def test_files_are_suggested_to_the_reader_that_they_look_made_for(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("question;answer;source;focus_area\nQ;A;S;F\n")
    readers = (Alpaca, Diseases, MedQuAD)
    assert [reader.rate_path(str(tmp_path / "d.csv")) for reader in readers] == [1, 2, 0]
    assert [reader.rate_path("nowhere.xlsx") for reader in readers] == [1, 0, 0]
    assert [reader.rate_path("hub:a/b") for reader in readers] == [1, 0, 0]
    assert [reader.rate_path(str(tmp_path)) for reader in readers] == [0, 0, 1]
