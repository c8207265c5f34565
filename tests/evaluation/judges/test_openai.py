"""judge=openai: the same contract as judge=ollama, on a real server of llama.cpp and on one that misbehaves."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from medft.config.schema import Config
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import JudgeItem, Verdict
from medft.evaluation.judges.openai import OpenAI
from tests.evaluation.judges.common import COMMON, ITEM

SETTINGS: dict[str, Any] = {
    **COMMON,
    "model": "tiny-judge",
    "api_key_env": "MEDFT_TEST_KEY",
    "timeout": 2.0,
    "max_context": None,
}
Response = tuple[int, dict[str, object]]


def completion(content: str, finish: str = "stop", tokens: int = 50) -> Response:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    usage = {"prompt_tokens": tokens, "completion_tokens": 5, "total_tokens": tokens + 5}
    return 200, {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


@contextmanager
def server(reply: Callable[[int], Response]) -> Iterator[tuple[str, list[dict[str, Any]], list[str]]]:
    asked: list[dict[str, Any]] = []
    keys: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            model = {"id": "tiny-judge", "object": "model", "created": 1, "owned_by": "x", "max_model_len": 2048}
            self.give(200, {"object": "list", "data": [model]})

        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            keys.append(self.headers["Authorization"])
            self.give(*reply(len(asked)))

        def give(self, status: int, body: dict[str, object]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{running.server_port}/v1", asked, keys
        finally:
            running.shutdown()


def ask(reply: Callable[[int], Response], **settings: object) -> tuple[Verdict, list[dict[str, Any]]]:
    with server(reply) as (url, asked, _):
        judge = OpenAI(**{**SETTINGS, "base_url": url, **settings})
        judge.prepare()
        judge.plan([ITEM])
        return judge.score(ITEM), asked


def test_a_score_is_read_and_the_request_is_constrained() -> None:
    verdict, [request] = ask(lambda _: completion('{"reason": "so so", "score": 42}'))
    assert (verdict.status, verdict.score, verdict.reason) == ("scored", 42, "so so")
    schema = request["response_format"]["json_schema"]["schema"]
    assert (list(schema["properties"]), schema["additionalProperties"]) == (["reason", "score"], False)
    assert (request["seed"], request["temperature"], request["max_tokens"]) == (1, 0.0, 64)


def test_outcomes_are_those_of_the_contract() -> None:
    def status(*replies: Response, **settings: object) -> tuple[str, str | None, int]:
        verdict, asked = ask(lambda call: replies[min(call, len(replies)) - 1], **settings)
        return verdict.status, verdict.failure, len(asked)

    good = completion('{"reason": "r", "score": 7}')
    assert status(completion("7")) == ("failed", "not a score: Input should be an object", 2)
    assert status((500, {"error": {"message": "oops"}}), good)[::2] == ("scored", 2)
    null = {"index": 0, "message": None, "finish_reason": "stop"}
    assert status((200, {"id": "1", "choices": [null]}), good)[::2] == ("scored", 2)
    assert status((200, {"what": 1}), good)[::2] == ("scored", 2)
    assert status(completion("{", finish="length"))[1] == "the reply was cut at judge.reply_tokens=64"
    too_long = (400, {"error": {"message": "request (6049 tokens) exceeds the available context size"}})
    assert status(too_long)[::2] == ("too_long", 1)
    # a server that cuts in silence is caught by its own count, where the context is known
    assert status(completion('{"reason": "r", "score": 7}', tokens=1990))[::2] == ("too_long", 1)
    assert status(completion('{"reason": "r", "score": 7}', tokens=500), max_context=512)[::2] == ("too_long", 1)
    with pytest.raises(JudgeUnavailable, match=r"refused \(bad key\)"):
        status((401, {"error": {"message": "bad key"}}))
    with pytest.raises(JudgeUnavailable, match=r"failed \(oops\)"):
        status((500, {"error": {"message": "oops"}}))


def test_the_key_comes_from_the_environment_and_is_not_logged(
    compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDFT_TEST_KEY", "sk-secret")
    with server(lambda _: completion('{"reason": "r", "score": 7}')) as (url, _, keys):
        config = compose("judge=openai", "judge.model=tiny-judge", f"judge.base_url={url}",
                         "judge.api_key_env=MEDFT_TEST_KEY")  # fmt: skip
        judge = config.judge
        assert judge.prepare() is judge
        judge.plan([ITEM])
        assert judge.score(ITEM).score == 7
    assert keys == ["Bearer sk-secret"]
    assert "sk-secret" not in json.dumps(config.resolved) + json.dumps(judge.describe())


def test_a_stopped_server_and_an_unknown_model() -> None:
    with pytest.raises(JudgeUnavailable, match="no OpenAI-compatible server answers on http://127.0.0.1:9/v1"):
        OpenAI(**{**SETTINGS, "base_url": "http://127.0.0.1:9/v1"}).prepare()
    told = pytest.raises(JudgeUnavailable, match="has no model 'gpt-9'; it has tiny-judge")
    with server(lambda _: completion("")) as (url, _, _), told:
        OpenAI(**{**SETTINGS, "base_url": url, "model": "gpt-9"}).prepare()


def test_a_real_server_scores_in_range_and_refuses_long_prompts(llama_server: str) -> None:
    judge = OpenAI(**{**SETTINGS, "base_url": llama_server, "timeout": 120.0, "load_timeout": 120.0,
                      "reply_tokens": 256})  # fmt: skip
    assert judge.prepare() is judge
    judge.plan([ITEM])
    assert judge.describe()["context_length"] == "1024"
    judge.load()
    verdict = judge.score(ITEM)
    assert verdict.status == "scored", verdict
    assert json.loads(verdict.reply) == {"reason": verdict.reason, "score": verdict.score}
    long = judge.score(JudgeItem("What is gout?", "", "joint " * 2000, "A fish."))
    assert (long.status, long.score) == ("too_long", None)
    assert "exceeds the available context size" in str(long.failure)
    impatient = OpenAI(**{**SETTINGS, "base_url": llama_server, "timeout": 0.01})
    with pytest.raises(JudgeUnavailable, match="timed out"):
        impatient.score(ITEM)
