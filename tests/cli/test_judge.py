"""`medft judge`: a finished run judged, interrupted, judged again, judged by another one."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from medft.cli.main import main
from medft.evaluation.predictions import Prediction, read_jsonl, write_jsonl
from medft.runs.local_run import LocalRun
from tests.comparison.helpers import answer
from tests.evaluation.judges.fake_ollama import Answer, Request, chat, error, scored, server
from tests.finished import Finished, mlflow_id

ROWS = int(os.environ.get("MEDFT_TEST_ROWS", "30"))  # two seconds each on a real server

FAULTS: list[Answer] = [
    error(500, "out of memory"),
    error(503, "server busy"),
    Answer(reset=True),
    Answer(200, b"<html>not Ollama</html>"),
    Answer(200, b'{"message": {"role": "assi'),
    chat('{"reason": "half of a'),
    chat('{"reason": "wrong type", "score": "80"}'),
    chat('{"reason": "out of range", "score": 900}'),
    chat("", wait=1.5),  # never, as far as a client of half a second can tell
]


@pytest.fixture
def copied(finished: Callable[..., Finished], tmp_path: Path) -> tuple[str, Path]:
    """A finished run of the test's own: its id and its folder."""
    made = finished().copied_to(tmp_path)
    return made.run_id, made.config.paths.output


def as_mlflow_has_it(folder: Path) -> Any:
    return mlflow.get_run(mlflow_id(folder)).data


def replace_predictions(folder: Path, count: int) -> None:
    """Give a run as many rows as wanted: row n asks "question n."."""
    rows = [
        Prediction(f"id{n}", f"g{n // 3}", f"d{n // 3}", f"question {n}.", "", "right", None, answer(f"answer {n}"))
        for n in range(count)
    ]
    with LocalRun(folder).write_file("predictions.jsonl") as partial:
        write_jsonl(rows, partial)


def number(request: Request) -> int:
    found = re.search(r"question (\d+)\.", request["messages"][0]["content"])
    return int(found[1]) if found else -1


def right_score(row: int) -> int:
    """What the server gives to a row: never 0, so that a 0 would be an accident."""
    return 1 + row % 100


def faulty(call: int, request: Request) -> Answer:
    """Three in ten requests go wrong, by a fixed rule of their number."""
    row = number(request)
    if row < 0:
        return scored(50)
    if call * 7 % 10 < 3:
        return FAULTS[call % len(FAULTS)]
    return scored(right_score(row), f"this is question {row}.")


def arguments(run_id: str, host: str) -> list[str]:
    return [f"run={run_id}", "judge=ollama", "judge.model=m", f"judge.host={host}", "judge.concurrency=8",
            "judge.timeout=0.5", "judge.backoff=0.02", "judge.controls=0"]  # fmt: skip


@pytest.mark.slow
def test_a_thousand_rows_with_faults_are_all_accounted_for_and_a_killed_judging_goes_on(
    copied: tuple[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    run_id, folder = copied
    replace_predictions(folder, 1000)
    with server(faulty) as served:
        command = [sys.executable, "-m", "medft.cli.main", "judge", *arguments(run_id, served.host)]
        started = time.monotonic()
        killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
        while len(served.chats) < 700 and time.monotonic() - started < 120:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        time.sleep(1)  # for what is still on its way
        first = len(served.chats)
        known = in_cache()
        assert 300 < len(known) < 900
        subprocess.run(command, check=True, timeout=300)
        seconds = time.monotonic() - started
        again = {number(request) for request in served.chats[first:]}
        assert again & known == set()
    rows = read_jsonl(folder / "predictions.jsonl")
    verdicts = [row.verdicts["ollama"]["test"] for row in rows]
    counts = {status: sum(each.status == status for each in verdicts) for status in ("scored", "failed", "too_long")}
    print(f"{len(rows)} rows, {len(served.chats)} requests, {seconds:.1f} s, {counts}, {len(known)} known when killed")
    assert sum(counts.values()) == 1000
    assert counts["scored"] > 900
    assert all(each.score == right_score(place) for place, each in enumerate(verdicts) if each.status == "scored")
    assert all(each.failure and each.score is None for each in verdicts if each.status == "failed")
    found = as_mlflow_has_it(folder).metrics
    assert {key: found[f"judge/ollama/{key}"] for key in counts} == counts
    with server(faulty) as served:  # the cache does not hang on the address
        assert main(["judge", *arguments(run_id, served.host)]) == 0
        asked = {number(request) for request in served.chats}
        away = {place for place, each in enumerate(verdicts) if not each.reply}
        assert asked <= away | {-1}  # only those that could not be asked at all


def in_cache() -> set[int]:
    file = Path(os.environ["MEDFT_CACHE"]) / "judge" / "verdicts.sqlite"
    with sqlite3.connect(file) as database:
        reasons = [json.loads(row[0])["reason"] for row in database.execute("SELECT verdict FROM checked_verdicts")]
    return {int(found[1]) for reason in reasons if (found := re.search(r"question (\d+)\.", reason))}


@pytest.mark.slow
def test_a_name_belongs_to_one_judge(copied: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_id, folder = copied
    with server(lambda *_: scored(40)) as served:
        common = ["judge", f"run={run_id}", "judge=ollama", "judge.model=m", f"judge.host={served.host}"]
        assert main(common) == 0
        asked = len(served.chats)
        assert main(common) == 0
        assert len(served.chats) == asked
        capsys.readouterr()
        assert main([*common, "judge/prompt=rubric"]) == 2
        assert "judge.name=ollama: the run already has scores of another judge of that name (m:latest, " in (
            capsys.readouterr().err
        )
        assert len(served.chats) == asked
        assert main([*common, "judge/prompt=rubric", "judge.name=second"]) == 0
    tags = as_mlflow_has_it(folder).tags
    assert tags["judge.second.prompt_version"] == "rubric-2"
    assert tags["judge.second.server_version"] == "9.9.9"
    assert tags["judge.second.num_ctx"]
    assert tags["judge.second.controls"] == "unknown: all its controls are of one group"
    out = capsys.readouterr().out
    assert "agreement/ollama_second/bias" in out
    report = (folder / "report.html").read_text()
    assert "Judge ollama" in report
    assert "Judge second" in report
    assert "Agreement between judges" in report


def test_a_judge_that_scored_nothing_does_not_keep_its_name(copied: tuple[str, Path]) -> None:
    run_id, _ = copied
    with server(lambda *_: chat("no idea"), models=("m:latest", "n:latest")) as served:
        common = ["judge", f"run={run_id}", "judge=ollama", f"judge.host={served.host}", "judge.attempts=1"]
        assert main([*common, "judge.model=m"]) == 0
        assert main([*common, "judge.model=n"]) == 0


def test_a_judge_that_comes_in_meanwhile_is_kept(copied: tuple[str, Path]) -> None:
    run_id, folder = copied
    with server(lambda *_: scored(60)) as other:
        second = ["judge", f"run={run_id}", "judge=ollama", "judge.model=m", f"judge.host={other.host}",
                  "judge.name=second", "judge.cache=false"]  # fmt: skip

        def reply(call: int, _: Request) -> Answer:
            if call == 3:  # while the first judge is at work
                assert main(second) == 0
            return scored(40)

        with server(reply) as served:
            first = [*second[:4], f"judge.host={served.host}", "judge.timeout=60"]
            assert main(first) == 0
    for row in read_jsonl(folder / "predictions.jsonl"):
        assert {name: sides["test"].score for name, sides in row.verdicts.items()} == {"ollama": 40, "second": 60}
    assert as_mlflow_has_it(folder).metrics["agreement/ollama_second/bias"] == -20


def test_any_judge_can_be_named_in_any_order(copied: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    run_id, _ = copied
    nowhere = "http://127.0.0.1:9"
    for overrides, words in (
        (["judge/prompt=plain", "judge=ollama", f"judge.host={nowhere}"], f"no Ollama server answers on {nowhere}"),
        (["judge=openai", "judge.model=x", f"judge.base_url={nowhere}/v1"], "no OpenAI-compatible server answers"),
        (["judge=notebook", f"judge.host={nowhere}"], f"no Ollama server answers on {nowhere}"),
        (["judge/prompt=plain"], "judge.prompt: no such key in the run's config"),
        (["judge=openai"], "judge.model: a value is required"),
    ):
        assert main(["judge", f"run={run_id}", *overrides]) in (1, 2)
        assert words in capsys.readouterr().err


@pytest.mark.slow
def test_many_rows_on_a_real_server(copied: tuple[str, Path], ollama: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_id, folder = copied
    replace_predictions(folder, ROWS)
    command = ["judge", f"run={run_id}", "judge=ollama", "judge.model=tiny-judge", f"judge.host={ollama}",
               "judge.controls=0", "judge/prompt=plain", "judge.max_context=2048"]  # fmt: skip
    assert main(command) == 0
    verdicts = [row.verdicts["ollama"]["test"] for row in read_jsonl(folder / "predictions.jsonl")]
    counts = {status: sum(each.status == status for each in verdicts) for status in ("scored", "failed", "too_long")}
    assert sum(counts.values()) == ROWS
    assert counts["scored"] >= 0.9 * ROWS
    for each in verdicts:
        if each.status == "scored":
            assert json.loads(each.reply) == {"reason": each.reason, "score": each.score}
            assert 0 <= each.score <= 100
    capsys.readouterr()
    assert main(command) == 0
    assert f"judge ollama: {ROWS} of {ROWS} verdicts were known, 0 asked for" in capsys.readouterr().out
    assert [row.verdicts["ollama"]["test"] for row in read_jsonl(folder / "predictions.jsonl")] == verdicts
    assert main([*command, "judge.model=nosuch"]) == 1
    assert "has no model 'nosuch' (ollama pull nosuch)" in capsys.readouterr().err
    assert main([*command, "judge.host=http://127.0.0.1:9"]) == 1
    assert "no Ollama server answers on http://127.0.0.1:9" in capsys.readouterr().err
