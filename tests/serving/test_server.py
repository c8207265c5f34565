"""The page's server: what it answers, and whom it refuses."""

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medft.cli.main import main
from medft.errors import InputError
from medft.runs.local_run import LocalRun
from medft.runs.open import FinishedRun
from medft.serving import writing
from tests.finished import Finished

pytest.importorskip("starlette", reason="medft serve needs starlette")
from starlette.testclient import TestClient

from medft.serving.guard import list_host_names
from medft.serving.server import Talk, _bind, load_talk, make_app, serve_run

HERE = "http://127.0.0.1:7860"
OWN = {"origin": HERE}
HOSTS = list_host_names("127.0.0.1")


@pytest.fixture
def run(finished: Callable[..., Finished], tmp_path: Path) -> FinishedRun:
    made = finished().copied_to(tmp_path)
    return FinishedRun(made.config, LocalRun(made.config.paths.output))


@pytest.fixture
def talk(run: FinishedRun) -> Talk:
    return load_talk(run)


@pytest.fixture
def client(talk: Talk) -> Iterator[TestClient]:
    with TestClient(make_app(talk, HOSTS), base_url=HERE, headers=OWN) as asked:
        yield asked


def ask(client: TestClient, **asked: Any) -> list[dict[str, Any]]:
    answer = client.post("/ask", json={"question": "What is gout?", **asked})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_both_answers_come_in_pieces_and_as_the_models_write_them(client: TestClient, talk: Talk) -> None:
    events = ask(client, question=" 痛风 🤒? ", settings={"max_new_tokens": 9, "temperature": 1})
    assert {event["kind"] for event in events} == {"piece", "end"}
    for side in ("before", "after"):
        [end] = [event for event in events if event["kind"] == "end" and event["side"] == side]
        assert end["text"] == talk.models[side].answer("痛风 🤒?", max_new_tokens=9)
        assert end["remark"] == "the answer ran into max_new_tokens=9"
    assert ask(client, question="x " * 3000)[-1]["remark"].startswith("the question fills the model's context")


@pytest.mark.parametrize(
    ("path", "asked", "told"),
    [
        ("/ask", {"question": " "}, "ask a question"),
        ("/ask", {}, "ask a question"),
        ("/ask", {"question": 3}, "question: must be a text"),
        ("/ask", {"question": "?", "settings": [1]}, "settings: must be an object"),
        ("/ask", {"question": "?", "settings": {"top_p": 2}}, "top_p=2: Input should be less than or equal to 1"),
        ("/ask", {"question": "?", "settings": {"max_new_tokens": "9"}}, "max_new_tokens=9: Input should be a valid"),
        ("/ask", [1], "not a JSON object"),
        ("/ask", {"question": "a" * 100_001}, "more than 100,000 bytes"),
        ("/pair", {"who": " "}, "say who you are"),
        ("/pair", {"who": "a\x00b"}, "say who you are"),
        ("/mark", {"who": "Ana", "token": "?", "better": "left"}, "this pair is no longer known"),
    ],
)
def test_what_is_asked_wrong_is_said(path: str, asked: Any, told: str, client: TestClient) -> None:
    answer = client.post(path, json=asked)
    assert (answer.status_code, answer.json()["error"].startswith(told)) == (400, True), answer.text
    assert client.post("/ask", content=b"\xff{").status_code == 400


def test_a_lone_surrogate_is_answered(client: TestClient) -> None:
    answer = client.post("/ask", content=b'{"question": "\\ud83e?"}')
    assert '"kind": "end"' in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:7860", ""])
def test_another_name_for_this_machine_is_refused(host: str, talk: Talk) -> None:
    client = TestClient(make_app(talk, HOSTS), base_url=HERE, headers=OWN)
    for path in ("/", "/questions"):
        assert client.get(path, headers={"host": host}).status_code == 400
    rebound = {"host": host, "origin": f"http://{host}"}
    assert client.post("/pair", json={"who": "Ana"}, headers=rebound).status_code == 400


@pytest.mark.parametrize(
    ("served", "host"),
    [("::1", "[::1]:7860"), ("127.0.0.1", "LOCALHOST:7860"), ("0.0.0.0", f"{socket.gethostname()}:7860")],
)
def test_the_address_that_was_printed_is_answered(served: str, host: str, talk: Talk) -> None:
    client = TestClient(make_app(talk, list_host_names(served)), base_url=HERE)
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", f"http://{socket.gethostname()}:"), ("::", None)]
)
def test_the_address_is_one_to_open(
    host: str, told: str | None, run: FinishedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served = SimpleNamespace(run=lambda **_: None)
    monkeypatch.setattr(
        "medft.serving.server.uvicorn", SimpleNamespace(Server=lambda _: served, Config=lambda *_, **__: 0)
    )
    monkeypatch.setattr("medft.serving.server.load_talk", lambda _: None)
    monkeypatch.setattr("medft.serving.server.make_app", lambda *_: None)
    try:
        serve_run(run, host, 0)
    except InputError:  # a machine without IPv6
        assert host == "::"
        return
    out, err = capsys.readouterr()
    assert (told or f"http://{socket.gethostname()}:") in out
    assert ("there is no password: who reaches this machine can ask" in err) == (host != "127.0.0.1")


def test_sampled_answers_are_those_of_the_chat(client: TestClient, talk: Talk) -> None:
    sampled = {"do_sample": True, "temperature": 1.5, "max_new_tokens": 6}
    generation = talk.models["after"].config.generation.model_copy(update=sampled)
    own = []
    for number in range(2):
        *_, last = talk.models["after"].stream("What is gout?", "", generation, (), number)
        own.append(last.text)
    told = [ask(client, settings=sampled)[-2:] for _ in range(2)]
    assert [event["text"] for events in told for event in events if event["side"] == "after"] == own
    assert own[0] != own[1]


@pytest.mark.parametrize(
    "origin", ["http://[", "http://evil.example", "null", "http://127.0.0.1:1", "http://localhost:7860", ""]
)
def test_no_other_page_may_ask(origin: str, talk: Talk) -> None:
    client = TestClient(make_app(talk, HOSTS), base_url=HERE, headers={"origin": origin})
    for path in ("/ask", "/pair", "/mark"):
        answer = client.post(path, json={"question": "?", "who": "Ana"})
        assert (answer.status_code, answer.json()) == (403, {"error": "only the page of this server may ask"})
    preflight = client.options("/ask", headers={"access-control-request-method": "POST"})
    assert preflight.status_code == 403
    assert not [name for name in preflight.headers if name.startswith("access-control-")]
    assert TestClient(make_app(talk, HOSTS), base_url=HERE).post("/pair", json={"who": "Ana"}).status_code == 403


def test_the_page_loads_nothing_from_elsewhere(client: TestClient, talk: Talk) -> None:
    page = client.get("/")
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.text.count("Nothing here is medical advice") == 1
    for text in (page.text, client.get("/talk.js").text, client.get("/talk.css").text):
        assert not re.search(r"https?://|//\w+\.\w+", re.sub(r"(?m)^\s*//.*$", "", text))
    assert client.get("/talk.js").headers["content-type"].startswith("text/javascript")
    assert "<script>" not in page.text
    assert " style=" not in page.text
    questions = client.get("/questions").json()
    assert [row["question"] for row in questions] == [row.instruction for row in talk.questions]
    assert questions[0]["expected"]


def test_a_question_is_text_on_the_page(run: FinishedRun, talk: Talk) -> None:
    talk.questions[0].instruction = "</option><script>alert(1)</script>"
    page = TestClient(make_app(talk, HOSTS), base_url=HERE).get("/").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_without_the_model_before_the_page_says_so(run: FinishedRun) -> None:
    model = run.config.model.model_copy(update={"source": "nobody/nothing"})
    config = run.config.model_copy(update={"model": model})
    talk = load_talk(FinishedRun(config, run.stored))
    with TestClient(make_app(talk, HOSTS), base_url=HERE, headers=OWN) as client:
        assert "Not shown: model.source=nobody/nothing: it is not in the hub&#39;s cache" in client.get("/").text
        assert {event["side"] for event in ask(client)} == {"after"}


def test_weights_that_have_changed_since_are_not_shown_as_the_model_before(run: FinishedRun) -> None:
    assert isinstance(run.stored, LocalRun)
    run.stored.set_tags({"model.weights": "0" * 64})
    assert load_talk(run).missing["before"].endswith("other weights lie there now than the run started from")


def test_marks_go_through_the_page(client: TestClient, run: FinishedRun) -> None:
    pair = client.post("/pair", json={"who": "Ana"}).json()
    assert pair["marked"] == 0 and 0 < pair["of"] <= 7
    assert {"token", "left", "right", "question", "expected"} <= pair.keys()
    assert not {"before", "after", "id"} & pair.keys(), "which is which stays here"
    told = client.post("/mark", json={"who": "Ana", "token": pair["token"], "better": "equal"}).json()
    assert told == {"marked": 1, "of": pair["of"]}
    assert client.post("/mark", json={"who": "Ana", "token": pair["token"], "better": "best"}).status_code == 400
    client.__exit__()  # the server ends
    assert "Marked by people" in (run.config.paths.output / "report.html").read_text(encoding="utf-8")


def test_a_client_that_goes_away_stops_its_answer(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    """As uvicorn tells it: the answer is cut off after a few tokens, and the next client is served."""
    places: list[Any] = []
    join = writing.Line.join
    monkeypatch.setattr(writing.Line, "join", lambda line: (places.append(line), join(line))[1])
    body = json.dumps({"question": "?", "settings": {"max_new_tokens": 900}}).encode()
    headers = [(b"host", b"127.0.0.1"), (b"origin", b"http://127.0.0.1")]
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "method": "POST", "path": "/ask",
             "headers": headers, "query_string": b"", "http_version": "1.1", "scheme": "http"}  # fmt: skip

    async def story() -> list[bytes]:
        began, requests, sent = asyncio.Event(), [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive() -> dict[str, Any]:
            if requests:
                return requests.pop()
            await began.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                sent.append(message["body"])
                if len(sent) > 3:
                    began.set()

        await asyncio.wait_for(make_app(talk, HOSTS)(scope, receive, send), 20)
        return sent

    sent = asyncio.run(story())
    assert 3 < len(sent) < 300
    assert not any(b'"end"' in piece for piece in sent)
    assert not places[0]._waiting


def test_too_many_that_wait_are_told(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "_MOST_WAITING", 0)
    assert client.post("/ask", json={"question": "?"}).status_code == 503


def test_the_address_is_looked_for_before_models_are_loaded(capsys: pytest.CaptureFixture[str], finished: Any) -> None:
    run = finished().config.paths.output
    capsys.readouterr()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", f"run={run}", f"port={port}"]) == 2
    told = f"error: host=127.0.0.1 port={port}: cannot be had (Address already in use); port=0 takes a free one\n"
    assert capsys.readouterr().err == told
    with pytest.raises(InputError, match="host=no such host port=1: cannot be had"):
        _bind("no such host", 1)
    with pytest.raises(InputError, match="port=70000: must be a number from 0 to 65535"):
        _bind("127.0.0.1", 70_000)
    assert main(["serve", f"run={run}", "port=no"]) == 2
    with _bind("127.0.0.1", 0) as bound, pytest.raises(InputError, match="Address already in use"):
        _bind("127.0.0.1", bound.getsockname()[1])  # which nobody has asked yet


def test_hosts() -> None:
    assert {"127.0.0.1", "localhost", "::1"} == HOSTS
    everywhere = list_host_names("0.0.0.0")
    assert {socket.gethostname().lower(), *HOSTS} <= everywhere
    assert not everywhere & {"0.0.0.0", "*", ""}
