"""medft data preview, audit and export, as typed."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from medft.cli.main import main
from medft.config.compose import compose_config
from medft.data.example import Example
from medft.data.splits import export
from medft.runs.splits import read_splits

NANO = ["dataset.max_length=80", "dataset.long_answers=split"]


def test_preview_marks_what_is_learned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "preview", "rows=2", *NANO]) == 0
    out = capsys.readouterr().out
    assert "row 2:" in out
    assert "row 3:" not in out
    learned = [each.split("⟧")[0] for each in out.split("⟦")[2:]]  # the first pair explains itself
    assert learned[0].startswith("Fever and aches")
    assert learned[-1].endswith("<|endoftext|>")
    assert "### Response:\n[...]" in out
    assert "98 tokens learned, the answer has 98; 5 sample(s)" in out


def test_preview_in_a_terminal_is_green(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("medft.console.Console", lambda: Console(force_terminal=True, color_system="standard"))
    assert main(["data", "preview", "rows=1"]) == 0
    out = capsys.readouterr().out
    assert "\x1b[1;32mFever and aches" in out
    assert "⟧\n" not in out.split("row 1")[1]


def test_export_holds_all_rows_and_can_be_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "export", "to=out.jsonl"]) == 0
    lines = [json.loads(line) for line in Path("out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 210
    assert {name: sum(line["split"] == name for line in lines) for name in ("train", "validation", "test")} == {
        "train": 175, "validation": 14, "test": 21,
    }  # fmt: skip
    assert set(lines[0]) == {"instruction", "input", "output", "split", "id", "group", "document", "fingerprint"}
    out = capsys.readouterr().out
    assert "results:       out.jsonl (210 rows)" in out
    told = next(line for line in out.splitlines() if line.startswith("read it again: "))
    again = [*told.removeprefix("read it again: ").split(), "dataset.split.test=21", "dataset.split.validation=14"]
    assert main(["data", "export", "to=again.jsonl", *again]) == 0
    assert [json.loads(line) for line in Path("again.jsonl").read_text(encoding="utf-8").splitlines()] == lines
    assert main(["data", "export", "to=out.jsonl"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_an_export_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    splits = read_splits(compose_config())
    seen: list[str] = []

    def failing(self: Example) -> str:
        seen.append(self.id)
        if len(seen) == 100:
            raise OSError("disk full")
        return "f"

    monkeypatch.setattr(Example, "fingerprint", failing)
    with pytest.raises(OSError, match="disk full"):
        export(splits, Path("out.jsonl"))
    assert not list(Path().glob("out.jsonl*"))


def test_audit_tries_several_lengths(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "audit", "dataset.max_length=64,128", "dataset.size=100"]) == 0
    folder = tmp_path / "root" / "outputs" / "audit-sample"
    found = json.loads((folder / "audit.json").read_text())
    assert list(found["lengths"]) == ["64", "128"]
    assert found["max_length"] == 128
    assert (folder / "audit.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "training rows, cut at" in out
    assert "no row, question, answer, group or document is on two sides" in out
    assert not (tmp_path / "root" / "mlruns").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "sell"], "no command data 'sell'; there are preview, audit, export"),
        (["data", "preview", "rows=0"], "rows=0: must be a number from 1"),
        (["data", "preview", "split=test"], "split=test: must be train or validation"),
        (["data", "export"], "to=: name a .jsonl file to write"),
        (
            ["data", "audit", "dataset.max_length=4,8"],
            "audit.max_lengths.0: must be greater than or equal to 8 (got 4)",
        ),
        (["data", "audit", "dataset.dedup=fuzzy"], "dataset.dedup: must be 'none', 'exact' or 'near' (got 'fuzzy')"),
        (["data", "preview", "dataset.split.from_run=nope"], "dataset.split.from_run=nope: no such run in sqlite"),
    ],
)
def test_wrong_use_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")


def test_audit_shows_what_a_policy_of_error_would_refuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "audit", "dataset.max_length=96", "dataset.long_answers=error"]) == 0
    told = capsys.readouterr()
    assert "answers truncated" in told.out
    assert "dataset.long_answers=error: a training would end here, 175 rows are longer" in told.err
