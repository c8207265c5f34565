"""Writes the broken files beside it: `python tests/data/bad/make.py`. The same bytes each time."""

import gzip
import io
import struct
import warnings
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
HEADER = "instruction,output\nWhat is gout?,A disease.\n"
LINE = '{"instruction": "What is gout?", "output": "A disease."}\n'
PAIR = '<QAPair><Question qid="1-1" qtype="x">What is gout?</Question><Answer>{}</Answer></QAPair>'
XML = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '{}<Document id="1" source="S"><Focus>Gout</Focus><QAPairs>{}</QAPairs></Document>'
)

TEXTS: dict[str, str | bytes] = {
    "missing_column.csv": "instruction,reply\nWhat is gout?,A disease.\n",
    "missing_cell.csv": f"{HEADER}What is mumps?\n",
    "empty_answer.csv": f"{HEADER}What is mumps?,\n",
    "blank_answer.csv": f'{HEADER}\n"What is\nmumps?","  \n "\n',
    "too_many_cells.csv": f"{HEADER}What is mumps?,A disease,of children.\n",
    "open_quote.csv": f'{HEADER}What is mumps?,"A disease.\n',
    "text_after_quote.csv": f'{HEADER}What is mumps?,"A disease" of children.\n',
    "repeated_column.csv": "instruction,output,output\nWhat is gout?,A disease.,Again.\n",
    "header_only.csv": "instruction,output\n",
    "empty.csv": "",
    "no_encoding.csv": HEADER.encode() + b"What is mumps?,A \x81 disease.\n",
    "not_utf16.csv": HEADER.encode("utf-16") + b"\x00\xd8\x00",
    "nul.csv": f"{HEADER}What is mumps?,A\0disease.\n",
    "two_questions.csv": "question,prompt,answer\nWhat is gout?,Answer.,A disease.\n",
    "no_zip.xlsx": "instruction,output\n",
    "two_groups.csv": f"{HEADER}What is mumps?,A disease.\n",
    "no_focus.csv": "question,answer,source\nWhat is gout?,A disease.,NIH\n",
    "cut_off.jsonl": LINE + '{"instruction": "What is mu',
    "not_an_object.jsonl": LINE + '["What is mumps?", "A disease."]\n',
    "missing_key.jsonl": LINE + '{"instruction": "What is mumps?"}\n',
    "number.jsonl": LINE + '{"instruction": "What is mumps?", "output": 3}\n',
    "half_surrogate.jsonl": LINE + '{"instruction": "What is mumps?", "output": "A \\ud83d disease."}\n',
    "huge_number.jsonl": LINE + '{"instruction": "What is mumps?", "output": ' + "9" * 5000 + "}\n",
    "large_row.jsonl": LINE + LINE.replace("A disease.", "A disease. " * 40),
    "empty.jsonl": "\n\n",
    "null_answer.json": f'[{LINE.strip()}, {{"instruction": "What is mumps?", "output": null}}]',
    "list_answer.json": f'[{LINE.strip()}, {{"instruction": "What is mumps?", "output": ["A disease."]}}]',
    "one_object.json": LINE,
    "cut_off.json": f"[{LINE}",
    "deep.json": "[" * 100_000,
    "empty_list.json": "[]",
    "notes.txt": "What is gout? A disease.\n",
    "no_parquet.parquet": "What is gout?",
    "no_gzip.jsonl.gz": LINE,
    "table.parquet.gz": gzip.compress(b"x", mtime=0),
    "cut_off.csv.gz": gzip.compress((HEADER * 50).encode(), mtime=0)[:-12],
    "no_zip.zip": "What is gout?",
    "not_closed/a.xml": XML.format("", PAIR.format("A disease.")).removesuffix("</Document>"),
    "entities/a.xml": XML.format('<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>', PAIR.format("&b;")),
    "external/a.xml": XML.format('<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/hostname">]>', PAIR.format("&f;")),
    "wrong_bytes/a.xml": XML.format("", PAIR.format("h\u00e9r\u00e9ditaire")).encode("latin-1"),
    "unknown_encoding/a.xml": XML.format("", PAIR.format("A disease.")).replace("UTF-8", "KLINGON"),
    "no_question/a.xml": XML.format("", PAIR.format("A disease.").replace("What is gout?", " ")),
    "unanswered/a.xml": XML.format("", PAIR.format("")),
    "no_xml/a.txt": "nothing here",
}  # fmt: skip


def zipped(name: str = "a.xml", content: bytes = b"") -> bytearray:
    content = content or XML.format("", PAIR.format("A disease.")).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return bytearray(buffer.getvalue())


def same_name() -> bytearray:
    """Two files of one name, which a zip allows."""
    buffer = io.BytesIO(bytes(zipped()))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        archive.writestr(zipfile.ZipInfo("a.xml", (2020, 1, 1, 0, 0, 0)), "<Document/>", zipfile.ZIP_DEFLATED)
    return bytearray(buffer.getvalue())


def central(data: bytearray) -> int:
    return data.index(b"PK\x01\x02")


def broken_zips() -> dict[str, bytes]:
    archives = {
        "leads_out.zip": zipped("../../evil.xml"),
        "absolute.zip": zipped("/tmp/evil.xml"),
        "cut_off.zip": zipped()[:-30],
        "too_large.zip": zipped(content=b" " * (33 * 2**20)),
        "damaged.zip": zipped(),
        "secret.zip": zipped(),
        "odd_method.zip": zipped(),
        "same_name.zip": same_name(),
        "lying.zip": zipped(content=b" " * (33 * 2**20)),
    }
    middle = 30 + len("a.xml") + 20  # inside the compressed bytes
    archives["damaged.zip"][middle] ^= 0xFF
    for place, flag in ((6, 0), (8, central(archives["secret.zip"]))):  # the bit that says a password is needed
        archives["secret.zip"][flag + place] |= 1
    for place, start in ((8, 0), (10, central(archives["odd_method.zip"]))):
        struct.pack_into("<H", archives["odd_method.zip"], start + place, 99)
    for place, start in ((22, 0), (24, central(archives["lying.zip"]))):  # says that it unpacks to 100 bytes
        struct.pack_into("<I", archives["lying.zip"], start + place, 100)
    return {name: bytes(content) for name, content in archives.items()}


def parquet(answers: list[object]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"instruction": ["What is gout?"] * len(answers), "output": answers}), buffer)
    return buffer.getvalue()


def main() -> None:
    files: dict[str, str | bytes] = {**TEXTS, **broken_zips()}
    files["no_workbook.xlsx"] = bytes(zipped())
    files["number.parquet"] = parquet([1])
    files["null_answer.parquet"] = parquet(["A disease.", None])
    files["cut_off.parquet"] = parquet(["A disease."])[:-200]
    damaged = bytearray(gzip.compress(LINE.encode() * 20, mtime=0))
    damaged[-8] ^= 0xFF  # the checksum
    files["damaged.jsonl.gz"] = bytes(damaged)
    for name, content in files.items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    main()
