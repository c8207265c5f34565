"""The judge: every answer ends scored or failed, with the reason, whatever the server does."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from medft.config.schema import Config
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.auto import Auto
from medft.evaluation.judges.base import Judge, Question, Verdict
from medft.evaluation.judges.none import NoJudge
from medft.evaluation.judges.ollama import Ollama
from medft.evaluation.judging import judge_predictions
from medft.evaluation.predictions import Prediction

ITEM = Question("What is gout?", "A disease of the joints.", "A fish.")
SETTINGS = {
    "model": "m",
    "timeout": 1.0,
    "load_timeout": 5.0,
    "attempts": 2,
    "temperature": 0.0,
    "seed": 1,
    "max_context": 512,
}
Reply = Callable[[int], tuple[int, dict[str, object]]]


def chat(content: str, prompt_tokens: int = 50) -> tuple[int, dict[str, object]]:
    message = {"role": "assistant", "content": content}
    return 200, {"model": "m", "message": message, "done": True, "prompt_eval_count": prompt_tokens}


@contextmanager
def server(reply: Reply, models: tuple[str, ...] = ("m:latest",)) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """A small server that answers as Ollama would, but as badly as told; keeps the chat requests."""
    asked: list[dict[str, object]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.answer(200, {"models": [{"model": name, "digest": "d" * 64} for name in models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/show":
                self.answer(200, {"model_info": {"llama.context_length": 400}})
                return
            asked.append(body)
            self.answer(*reply(len(asked)))

        def answer(self, status: int, body: dict[str, object]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}", asked
        finally:  # else its thread polls a closed socket for ever, at full speed
            running.shutdown()


def ask(reply: Reply, **settings: object) -> tuple[Verdict, list[dict[str, object]]]:
    with server(reply) as (host, asked):
        return Ollama(**{**SETTINGS, "host": host, **settings}).score(ITEM), asked


def test_a_score_is_read_and_options_stand_where_ollama_reads_them() -> None:
    verdict, [request] = ask(lambda _: chat('{"score": 73}'))
    assert verdict == Verdict(73, reply='{"score": 73}')
    assert request["options"] == {"seed": 1, "temperature": 0.0, "num_ctx": 512, "num_predict": 32}
    assert request["format"]["properties"]["score"]["maximum"] == 100
    prompt = request["messages"][0]["content"]
    assert all(part in prompt for part in (ITEM.question, ITEM.expected, ITEM.answer))


@pytest.mark.parametrize(
    "content",
    ["", "seventy", '{"score": 101}', '{"score": -1}', '{"score": "80"}', '{"score": 8.5}', '{"score": 7', "{}"],
)
def test_what_is_no_score_is_failed_never_zero(content: str) -> None:
    verdict, asked = ask(lambda _: chat(content))
    assert verdict.score is None
    assert "not a score" in str(verdict.failure)
    assert verdict.reply == content
    assert len(asked) == 2


def test_a_bad_reply_is_asked_again_with_another_seed() -> None:
    verdict, asked = ask(lambda call: chat("what?" if call == 1 else '{"score": 5}'))
    assert verdict.score == 5
    assert [(request["options"]["seed"], request["options"]["temperature"]) for request in asked] == [
        (1, 0.0),
        (2, 0.3),
    ]


def test_a_passing_fault_is_tried_again() -> None:
    verdict, asked = ask(lambda call: (500, {"error": "busy"}) if call == 1 else chat('{"score": 5}'))
    assert verdict.score == 5
    assert len(asked) == 2


def test_a_cut_prompt_is_failed() -> None:
    verdict, _ = ask(lambda _: chat('{"score": 95}', prompt_tokens=490))
    assert verdict.score is None
    assert "longer than judge.max_context" in str(verdict.failure)


def test_a_server_that_stays_broken_is_unavailable() -> None:
    with pytest.raises(JudgeUnavailable, match="busy"):
        ask(lambda _: (500, {"error": "busy"}))


def test_a_server_that_never_answers_is_unavailable() -> None:
    hold = threading.Event()

    def slow(_: int) -> tuple[int, dict[str, object]]:
        hold.wait(5)
        return chat('{"score": 5}')

    with pytest.raises(JudgeUnavailable):
        ask(slow, timeout=0.2, attempts=1)
    hold.set()


def test_prepare_checks_server_and_model_and_caps_the_context() -> None:
    with server(lambda _: chat('{"score": 1}')) as (host, asked):
        judge = Ollama(**{**SETTINGS, "host": host})
        assert judge.prepare() is judge
        assert judge.describe() == {
            "model": "m:latest", "digest": "d" * 64, "context_length": "400", "prompt_version": "score-1",
        }  # fmt: skip
        judge.score(ITEM)
        assert [request["options"]["num_ctx"] for request in asked] == [400, 400]
        with pytest.raises(JudgeUnavailable, match="has no model 'llama3'.*ollama pull llama3"):
            Ollama(**{**SETTINGS, "host": host, "model": "llama3"}).prepare()


def test_auto_goes_on_without_a_server_and_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = {**SETTINGS, "host": "http://127.0.0.1:9"}
    with pytest.raises(JudgeUnavailable, match="no Ollama server answers on http://127.0.0.1:9"):
        Ollama(**nowhere).prepare()
    assert Auto(**nowhere).prepare() is None
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "medft judge run=<id>" in out
    assert NoJudge().prepare() is None


class Fixed(Judge):
    """Scores from a list; None fails a row; away once `gone_at` scores are left."""

    name: str = "fixed"
    scores: list[int | None]
    gone_at: int = -1

    def prepare(self) -> "Fixed":
        return self

    def score(self, item: Question) -> Verdict:
        if len(self.scores) <= self.gone_at:
            raise JudgeUnavailable("gone")
        score = self.scores.pop(0)
        return Verdict(score, failure=None if score is not None else "not a score")


def predictions(count: int = 2) -> list[Prediction]:
    return [Prediction(str(n), "g", f"q{n}", "", "e", "old", "new", {}) for n in range(count)]


def test_means_are_over_scored_rows_and_all_rows_are_counted() -> None:
    rows = predictions()
    found = judge_predictions(Fixed(scores=[80, 20, None, 30]), rows)
    assert found == {
        "judge/fixed/score": 80.0,
        "judge/fixed/baseline_score": 25.0,
        "judge/fixed/scored": 3.0,
        "judge/fixed/failed": 1.0,
    }
    assert rows[1].judge["fixed"]["test"] == {"score": None, "failure": "not a score", "reply": ""}
    assert rows[0].judge["fixed"]["baseline"]["score"] == 20


def test_a_judge_that_goes_away_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rows = predictions(4)
    found = judge_predictions(Fixed(scores=[80, 60, 20], gone_at=0), rows)
    assert found == {
        "judge/fixed/score": 50.0,
        "judge/fixed/baseline_score": 60.0,
        "judge/fixed/scored": 3.0,
        "judge/fixed/failed": 5.0,
    }
    assert rows[1].judge["fixed"]["baseline"]["failure"] == "gone"
    assert rows[3].judge["fixed"]["test"]["failure"] == "not tried: the judge was away"
    assert "gone; 2 answers are left unjudged: medft judge run=<id>" in capsys.readouterr().err


def test_one_answer_that_fails_does_not_end_the_judging() -> None:
    class Faulty(Fixed):
        def score(self, item: Question) -> Verdict:
            if len(self.scores) == 3:
                self.scores.pop()
                raise JudgeUnavailable("timed out")
            if len(self.scores) == 2:
                self.scores.pop()
                raise RuntimeError("a bug in the judge")
            return super().score(item)

    rows = predictions(2)
    # four answers: 80, timed out, a bug, 50
    found = judge_predictions(Faulty(scores=[80, 50, 0, 0]), rows)
    assert (found["judge/fixed/scored"], found["judge/fixed/failed"]) == (2.0, 2.0)
    failures = [row.judge["fixed"][side]["failure"] for row in rows for side in ("test", "baseline")]
    assert "timed out" in failures
    assert "RuntimeError: a bug in the judge" in failures


def test_something_else_on_the_port_is_no_judge() -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        settings = {**SETTINGS, "host": f"http://127.0.0.1:{running.server_port}"}
        with pytest.raises(JudgeUnavailable, match="no Ollama server answers"):
            Ollama(**settings).prepare()
        assert Auto(**settings).prepare() is None
        running.shutdown()


def test_limit_judges_the_first_rows_only() -> None:
    rows = predictions(2)
    found = judge_predictions(Fixed(scores=[80, 20], limit=1), rows)
    assert found["judge/fixed/scored"] == 2.0
    assert rows[1].judge == {}


def test_ollama_host_comes_from_the_environment(
    compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compose("judge=ollama").judge.host == "http://127.0.0.1:11434"
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:4000")
    assert compose("judge=ollama").judge.host == "127.0.0.1:4000"


@pytest.mark.slow
def test_a_real_server_scores_in_range(ollama: str) -> None:
    judge = Ollama(
        **{
            **SETTINGS,
            "model": "tiny-judge",
            "host": ollama,
            "timeout": 120.0,
            "load_timeout": 300.0,
            "max_context": 2048,
        }
    )
    assert judge.prepare() is judge
    facts = judge.describe()
    assert facts["model"] == "tiny-judge:latest"
    assert len(facts["digest"]) == 64
    verdict = judge.score(ITEM)
    assert verdict.score is not None
    assert 0 <= verdict.score <= 100


@pytest.mark.slow
def test_a_real_server_that_cuts_a_prompt_is_caught(ollama: str) -> None:
    settings = {**SETTINGS, "model": "tiny-judge", "host": ollama, "timeout": 120.0, "load_timeout": 300.0}
    judge = Ollama(**settings)
    assert judge.prepare() is judge
    verdict = judge.score(Question("What is gout?", "joint " * 2000, "A fish."))
    assert verdict.score is None
    assert "longer than judge.max_context" in str(verdict.failure)
