"""Every broken file in `bad/` ends with one line that names file and line, exit code 2, and nothing half written."""

import json
import shutil
from pathlib import Path

import pytest

from medft.cli.main import main

BAD = Path(__file__).parent / "bad"
MAP = "; map another with dataset=alpaca dataset.reader.columns.<role>=<column>"
NAME = "; name it: dataset.reader.columns"
ENDINGS = "use .csv, .tsv, .json, .jsonl (or .gz after these), .parquet, .xlsx"
DTD = "declares a document type or entities, which are not read for safety"
THREE = "but training, validation and test need one each: rows of one group (document, disease) stay together"

MESSAGES = {
    "missing_column.csv": "missing_column.csv:2: no column looks like the answer (there are: 'instruction', 'reply')"
    f"{NAME}.output=COLUMN",
    "two_questions.csv": "two_questions.csv:2: 'question' and 'prompt' may all be the question (there are: 'question', "
    f"'prompt', 'answer'){NAME}.instruction=COLUMN",
    "missing_cell.csv": "missing_cell.csv:3: column 'output' is empty",
    "empty_answer.csv": "empty_answer.csv:3: column 'output' is empty",
    "blank_answer.csv": "blank_answer.csv:4: column 'output' is empty",
    "too_many_cells.csv": "too_many_cells.csv:3: 3 cells, but the header has 2 columns",
    "open_quote.csv": "open_quote.csv:3: not valid CSV: unexpected end of data",
    "text_after_quote.csv": "text_after_quote.csv:3: not valid CSV: ',' expected after '\"'",
    "repeated_column.csv": "repeated_column.csv:1: the header names 'output' twice",
    "header_only.csv": "header_only.csv: there is no row in it",
    "empty.csv": "empty.csv: the file is empty",
    "no_encoding.csv": "no_encoding.csv:3: is not UTF-8 but neither UTF-16, cp1252 nor GB18030; name its encoding: "
    "dataset.reader.encoding=NAME",
    "not_utf16.csv": "not_utf16.csv:3: is not utf-16 text; name its encoding: dataset.reader.encoding=NAME",
    "nul.csv": "nul.csv:3: has a NUL byte, so it is no text, or UTF-16 without a mark at its beginning",
    "no_zip.xlsx": "no_zip.xlsx: not a whole .xlsx file, or one with a password: File is not a zip file",
    "no_workbook.xlsx": "no_workbook.xlsx: not an Excel table: ",
    "two_groups.csv": f"the data has 2 group(s), {THREE}",
    "no_focus.csv": f"no_focus.csv:2: no column 'focus_area' (there are: 'question', 'answer', 'source'){MAP}",
    "cut_off.jsonl": "cut_off.jsonl:2: not valid JSON: Unterminated string starting at (character 17 of the line)",
    "not_an_object.jsonl": "not_an_object.jsonl:2: expected an object, got list",
    "missing_key.jsonl": "missing_key.jsonl:2: no column looks like the answer (there are: 'instruction')"
    f"{NAME}.output=COLUMN",
    "number.jsonl": "number.jsonl:2: column 'output' is int, not text",
    "half_surrogate.jsonl": "half_surrogate.jsonl:2: no valid Unicode text (half a surrogate pair)",
    "huge_number.jsonl": "huge_number.jsonl:2: not valid JSON: Exceeds the limit (4300 digits) for integer string "
    "conversion: value has 5000 digits",
    "large_row.jsonl": "large_row.jsonl:2: 452 bytes are more than dataset.max_row_bytes=200",
    "empty.jsonl": "empty.jsonl: there is no row in it",
    "null_answer.json": "null_answer.json: row 2: column 'output' is empty",
    "list_answer.json": "list_answer.json: row 2: column 'output' is list, not text",
    "one_object.json": "one_object.json: expected a list of objects; one object a line is .jsonl",
    "cut_off.json": "cut_off.json:2: not valid JSON: Expecting ',' delimiter (character 1 of the line)",
    "deep.json": "deep.json: not valid JSON: nested too deeply",
    "empty_list.json": "empty_list.json: there is no row in it",
    "notes.txt": f"notes.txt: unknown ending '.txt'; {ENDINGS}",
    "no_parquet.parquet": "no_parquet.parquet: not a whole Parquet file: ",
    "cut_off.parquet": "cut_off.parquet: not a whole Parquet file: ",
    "number.parquet": "number.parquet: row 1: column 'output' is int, not text",
    "null_answer.parquet": "null_answer.parquet: row 2: column 'output' is empty",
    "no_gzip.jsonl.gz": "no_gzip.jsonl.gz: not a whole gzip file: Not a gzipped file",
    "table.parquet.gz": f"table.parquet.gz: unknown ending '.gz'; {ENDINGS}",
    "cut_off.csv.gz": "cut_off.csv.gz: not a whole gzip file: Compressed file ended",
    "damaged.jsonl.gz": "damaged.jsonl.gz: not a whole gzip file: CRC check failed",
    "no_zip.zip": "dataset.path=no_zip.zip: neither a directory nor a whole zip file",
    "cut_off.zip": "dataset.path=cut_off.zip: neither a directory nor a whole zip file",
    "leads_out.zip": "leads_out.zip: the name '../../evil.xml' leads out of the archive",
    "absolute.zip": "absolute.zip: the name '/tmp/evil.xml' leads out of the archive",
    "too_large.zip": "too_large.zip/a.xml: larger than 33,554,432 bytes",
    "lying.zip": "lying.zip/a.xml: damaged (Bad CRC-32 for file 'a.xml')",
    "same_name.zip": "same_name.zip: two files are called 'a.xml'",
    "damaged.zip": "damaged.zip/a.xml: damaged (",
    "secret.zip": "secret.zip/a.xml: File 'a.xml' is encrypted, password required for extraction",
    "odd_method.zip": "odd_method.zip/a.xml: That compression method is not supported; pack it again",
    "not_closed": "not_closed/a.xml: not valid XML: no element found",
    "entities": f"entities/a.xml: {DTD}",
    "external": f"external/a.xml: {DTD}",
    "wrong_bytes": "wrong_bytes/a.xml: not valid XML: not well-formed (invalid token)",
    "unknown_encoding": "unknown_encoding/a.xml: not valid XML: unknown encoding: KLINGON",
    "no_question": "no_question/a.xml: pair 1: the question is empty",
    "unanswered": "dataset.path=unanswered: no MedQuAD XML file with an answered question in it",
    "no_xml": "dataset.path=no_xml: no MedQuAD XML file in it; name the release's directory or its .zip",
}


def overrides(name: str) -> list[str]:
    medquad = name.endswith(".zip") or "." not in name
    dataset = "medquad" if medquad else "diseases" if name == "no_focus.csv" else "alpaca"
    limit = ["dataset.max_row_bytes=200"] if name == "large_row.jsonl" else []
    return [f"dataset={dataset}", f"dataset.path={name}", *limit]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that holds the broken files and nothing else."""
    folder = tmp_path / "here"
    shutil.copytree(BAD, folder, ignore=shutil.ignore_patterns("make.py", "__pycache__"))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MEDFT_ROOT", str(folder))
    return folder


def test_every_broken_file_has_its_message() -> None:
    assert {path.name for path in BAD.iterdir()} - {"make.py", "__pycache__"} == set(MESSAGES)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_broken_file_is_refused_whole(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    before = sorted(here.rglob("*"))
    assert main(["data", "export", "to=out.jsonl", *overrides(name)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {MESSAGES[name]}")
    assert sorted(here.rglob("*")) == before
    rows = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    # two groups is found after the rows were read and kept
    assert [path.name[:5] for path in rows] == (["rows-"] if name == "two_groups.csv" else [])


SKIPPED = {
    "missing_cell.csv": 1, "empty_answer.csv": 1, "blank_answer.csv": 1, "too_many_cells.csv": 1, "cut_off.jsonl": 1,
    "not_an_object.jsonl": 1, "missing_key.jsonl": 1, "number.jsonl": 1, "half_surrogate.jsonl": 1,
    "huge_number.jsonl": 1, "large_row.jsonl": 1, "null_answer.json": 1, "list_answer.json": 1,
    "null_answer.parquet": 1,
}  # fmt: skip


@pytest.mark.parametrize("name", SKIPPED)
def test_bad_rows_of_such_files_can_be_skipped(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    good = [{"instruction": f"Question {number}?", "output": "An answer."} for number in range(40)]
    (here / "good.jsonl").write_text("\n".join(map(json.dumps, good)))
    several = f"dataset.path=[{name},good.jsonl]"
    rest = [each for each in overrides(name) if not each.startswith("dataset.path=")]
    assert main(["data", "export", "to=out.jsonl", several, "dataset.on_bad_row=skip", *rest]) == 0
    skipped = here / "outputs" / "audit-alpaca" / "skipped_rows.jsonl"
    assert f"1 bad rows skipped (dataset.on_bad_row=skip): {skipped}" in capsys.readouterr().err
    [line] = map(json.loads, skipped.read_text(encoding="utf-8").splitlines())
    assert f"{line['where']}: {line['reason']}".startswith(MESSAGES[name])
    assert line["row"]
    assert len((here / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 41


@pytest.mark.parametrize("name", ["empty_answer.csv", "leads_out.zip", "no_encoding.csv"])
def test_training_on_a_broken_file_opens_no_run(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["train", *overrides(name), "judge=none"]) == 2
    assert f"error: {MESSAGES[name]}" in capsys.readouterr().err
    assert not (here / "mlruns").exists()
    assert {path.name for path in (here / "outputs").rglob("*") if path.is_file()} <= {"error.txt", "overrides.yaml",
        "config.yaml", "hydra.yaml", "train.log"}  # fmt: skip
