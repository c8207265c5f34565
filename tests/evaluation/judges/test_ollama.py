"""judge=ollama: what it asks, and that every answer ends scored, failed or too_long, whatever the server does."""

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from medft.config.schema import Config
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import InputError, JudgeUnavailable
from medft.evaluation.judges.auto import Auto
from medft.evaluation.judges.base import JudgeItem, Verdict
from medft.evaluation.judges.language_model import Refused, estimate_tokens
from medft.evaluation.judges.none import NoJudge
from medft.evaluation.judges.ollama import Ollama
from medft.evaluation.judges.prompt import JudgePrompt
from tests.evaluation.judges.common import COMMON, ITEM, PROMPT
from tests.evaluation.judges.fake_ollama import Answer, Request, chat, error, scored, server

SETTINGS: dict[str, Any] = {**COMMON, "model": "m", "timeout": 1.0, "max_context": 2048}


def ready(host: str, item: JudgeItem = ITEM, **settings: object) -> Ollama:
    """A judge that has planned for one item."""
    judge = Ollama(**{**SETTINGS, "host": host, **settings})
    judge.plan([item])
    return judge


def ask(reply: Callable[[int, Request], Answer], **settings: object) -> tuple[Verdict, list[Request]]:
    with server(reply) as served:
        return ready(served.host, **settings).score(ITEM), served.chats


def test_a_score_is_read_and_options_stand_where_ollama_reads_them() -> None:
    verdict, [request] = ask(lambda *_: scored(73, "partly right"))
    assert verdict == Verdict("scored", 73, "partly right", reply='{"reason": "partly right", "score": 73}')
    assert request["options"] == {"seed": 1, "temperature": 0.0, "num_ctx": 1024, "num_predict": 64}
    assert request["messages"][0]["content"] == "Q What is gout? E A disease of the joints. A A fish."
    properties = request["format"]["properties"]
    assert list(properties) == ["reason", "score"]  # thinking comes before the score
    assert (properties["score"]["minimum"], properties["score"]["maximum"]) == (0, 100)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "seventy",
        '{"reason": "r", "score": 101}',
        '{"reason": "r", "score": -1}',
        '{"reason": "r", "score": "80"}',
        '{"reason": "r", "score": 8.5}',
        '{"reason": "r", "score": true}',
        '{"reason": "r", "score": 7',
        '{"reason": "r", "score": 9.2e124}',
        '{"score": 80}',
        '{"reason": "r", "score": 80, "more": 1}',
        "{}",
        "80",
        "null",
    ],
)
def test_what_is_no_score_is_failed_never_zero(content: str) -> None:
    verdict, asked = ask(lambda *_: chat(content))
    assert (verdict.status, verdict.score) == ("failed", None)
    assert "not a score" in str(verdict.failure)
    assert verdict.reply == content
    assert len(asked) == 2


def test_a_reply_cut_by_its_budget_is_failed() -> None:
    verdict, asked = ask(lambda *_: chat('{"reason": "it goes on', done_reason="length"))
    assert (verdict.status, verdict.failure) == ("failed", "the reply was cut at judge.reply_tokens=64")
    assert len(asked) == 2


def test_a_bad_reply_is_asked_again_with_another_seed() -> None:
    verdict, asked = ask(lambda call, _: chat("what?") if call == 1 else scored(5))
    assert verdict.score == 5
    sampled = [(request["options"]["seed"], request["options"]["temperature"]) for request in asked]
    assert sampled == [(1, 0.0), (2, 0.3)]


@pytest.mark.parametrize(
    ("version", "capabilities", "is_warned"),
    [("0.17.6", ("completion", "thinking"), True), ("0.24.0", ("completion", "thinking"), False),
     ("0.17.6", ("completion",), False)],
)  # fmt: skip
def test_a_server_that_forgets_the_form_of_a_reply_is_named(
    version: str, capabilities: tuple[str, ...], is_warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(_: int, request: Request) -> Answer:
        # as servers were: of models that think, no schema was kept where thinking was switched off
        forgets = version == "0.17.6" and "thinking" in capabilities and request["think"] is False
        return chat("The answer is partly right. 70 of 100.") if forgets else scored(70)

    with server(reply, capabilities=capabilities, version=version) as served:
        judge = ready(served.host)
        judge.prepare()
        judge.load()
        assert judge.score(ITEM).status == ("failed" if is_warned else "scored")
    warned = capsys.readouterr().err
    assert ("the Ollama server 0.17.6 does not keep m to the form of a reply" in warned) == is_warned
    assert warned.count("\n") == int(is_warned)


def test_each_repeat_has_its_own_seed() -> None:
    with server(lambda *_: scored(5)) as served:
        judge = ready(served.host)
        for repeat in range(3):
            judge.score(ITEM, repeat)
        assert [request["options"]["seed"] for request in served.chats] == [1, 1001, 2001]


@pytest.mark.parametrize(
    "fault",
    [
        error(500, "out of memory"),
        error(503, "server busy"),
        error(429, "too many"),
        Answer(reset=True),
        Answer(200, b"<html>"),
        Answer(200, b'{"message": '),
        chat("{}", wait=2),
    ],
    ids=["500", "503", "429", "reset", "garbage", "half", "never"],
)
def test_a_passing_fault_is_tried_again(fault: Answer) -> None:
    verdict, asked = ask(lambda call, _: fault if call == 1 else scored(5), timeout=0.3)
    assert verdict.score == 5
    assert len(asked) == 2
    assert asked[0] == asked[1]


@pytest.mark.parametrize("fault", [error(500, "busy"), Answer(reset=True), chat("{}", wait=2)])
def test_a_fault_that_stays_is_no_verdict(fault: Answer) -> None:
    with pytest.raises(JudgeUnavailable, match=r"judge=ollama: http://127.0.0.1:\d+ failed"):
        ask(lambda *_: fault, timeout=0.2)


@pytest.mark.parametrize(("status", "kind"), [(404, JudgeUnavailable), (401, JudgeUnavailable), (400, Refused)])
def test_a_refusal_is_not_tried_again(status: int, kind: type[Exception]) -> None:
    with server(lambda *_: error(status, "not for you")) as served:
        with pytest.raises(kind, match="refused \\(not for you"):
            ready(served.host).score(ITEM)
        assert len(served.chats) == 1


def test_slow_is_not_too_long() -> None:
    verdict, asked = ask(lambda call, _: error(504, "upstream took too long") if call == 1 else scored(5))
    assert (verdict.score, len(asked)) == (5, 2)


def test_an_interrupted_judge_asks_no_more() -> None:
    with server(lambda *_: error(500, "busy")) as served:
        judge = ready(served.host, attempts=50, backoff=5.0)
        threading.Timer(0.3, judge.interrupt).start()
        with pytest.raises(JudgeUnavailable):
            judge.score(ITEM)
        assert len(served.chats) <= 2


def test_thinking_is_switched_off_and_what_was_thought_is_the_reply() -> None:
    message = {"role": "assistant", "content": "", "thinking": "let me see"}
    body = {"model": "m", "message": message, "done": True, "done_reason": "length", "prompt_eval_count": 9}
    verdict, asked = ask(lambda *_: Answer(200, json.dumps(body).encode()))
    assert asked[0]["think"] is False
    assert (verdict.status, verdict.reply) == ("failed", "let me see")


def test_no_room_for_the_reply_is_an_error(compose: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match="reply_tokens=256 leaves no room in max_context=256"):
        compose("judge=ollama", "judge.max_context=256")


@pytest.mark.parametrize("tokens", [960, 1024])
def test_a_cut_prompt_is_too_long(tokens: int) -> None:
    verdict, asked = ask(lambda *_: chat('{"reason": "r", "score": 95}', prompt_tokens=tokens))
    assert (verdict.status, verdict.score) == ("too_long", None)
    assert verdict.failure == "prompt and reply need more than 1024 tokens"
    assert len(asked) == 1
    assert ask(lambda *_: chat('{"reason": "r", "score": 95}', prompt_tokens=959))[0].score == 95


def test_a_server_that_refuses_long_prompts_and_one_that_counts_nothing() -> None:
    verdict, _ = ask(lambda *_: error(400, "input length exceeds the context length"))
    assert verdict.status == "too_long"
    assert ask(lambda *_: chat('{"reason": "r", "score": 9}', prompt_tokens=None))[0].score == 9
    long = JudgeItem("What is gout?", "", "joint " * 3000, "A fish.")
    with server(lambda *_: chat('{"reason": "r", "score": 9}', prompt_tokens=None)) as served:
        assert "perhaps cut" in str(ready(served.host, long).score(long).failure)


def test_one_context_for_all_from_the_longest_row_capped_by_the_model_and_the_setting() -> None:
    def context(longest: int, **settings: object) -> int:
        items = [ITEM, JudgeItem("q", "", "w " * longest, "a"), ITEM]
        with server(lambda *_: scored(1)) as served:
            judge = Ollama(**{**SETTINGS, "host": served.host, **settings})
            assert judge.prepare() is judge
            judge.plan(items)
            for item in items:
                judge.score(item)
            [found] = {request["options"]["num_ctx"] for request in served.chats}
        assert judge.describe()["num_ctx"] == str(found)
        return int(found)

    assert context(10) == 1024
    assert context(1500) == 2048  # 1,500 bytes of letters and spaces, some room for the reply and the chat template
    assert context(5000, max_context=8192) == 4096  # the model has no more
    assert context(5000, max_context=2000) == 2000
    assert context(5000, max_context=None) == 4096


def test_the_bound_on_tokens_holds_on_real_and_on_hard_text() -> None:
    texts = [
        "Gout is a disease of the joints. " * 20,
        "1234567890 " * 50,
        "痛風は関節の病気です。" * 20,
        "β-galactosidase (EC 3.2.1.23) 1,4-α-D-glucan: N-acetylneuraminic/Δ9-THC " * 10,
        "🙂" * 50,
        "((((((]]]]]}}}}}" * 20,
        "TP53, BRCA1/2; aPTT eGFR HbA1c 25-OH-D3 " * 20,
    ]
    tokenizer = Gpt2Tokenizer()
    for text in texts:
        assert len(tokenizer.encode_batch([text])[0]) <= estimate_tokens(text)
        assert estimate_tokens(text) <= len(text.encode())


def test_the_warm_up_has_a_long_timeout_and_the_same_options() -> None:
    def reply(call: int, _: Request) -> Answer:
        return error(503, "loading") if call == 1 else chat('{"reason": "r", "score": 1}', wait=0.6 if call == 2 else 0)

    with server(reply) as served:
        judge = ready(served.host, timeout=0.3)
        judge.load()
        assert judge.score(ITEM).score == 1
        _, first, second = served.chats
        assert first["options"] == second["options"]
        assert first["format"] == second["format"]


def test_prepare_checks_server_and_model_and_asks_nothing() -> None:
    with server(lambda *_: scored(1)) as served:
        judge = Ollama(**{**SETTINGS, "host": served.host})
        assert judge.prepare() is judge
        assert judge.describe() == {
            "model": "m:latest", "digest": "d" * 64, "server_version": "9.9.9", "context_length": "4096",
            "options": "temperature=0.0, seed=1, reply_tokens=64",
            "prompt_version": "short-1", "prompt_sha256": PROMPT.digest,
        }  # fmt: skip
        with pytest.raises(JudgeUnavailable, match="has no model 'llama3'.*ollama pull llama3"):
            Ollama(**{**SETTINGS, "host": served.host, "model": "llama3"}).prepare()
        assert served.chats == []


def test_identity_follows_what_scores_depend_on() -> None:
    with server(lambda *_: scored(1)) as served:

        def identity(kind: type[Ollama] = Ollama, **settings: object) -> str:
            judge = kind(**{**SETTINGS, "host": served.host, **settings})
            judge.prepare()
            before = judge.identity()
            judge.plan([ITEM])
            assert judge.identity() == before
            return before

        other_text = JudgePrompt(name="short", version=1, text=PROMPT.text + "!")
        same = {
            identity(),
            identity(kind=Auto),
            identity(timeout=3.0, attempts=9, max_context=512, name="x", concurrency=4, controls=7, repeats=3),
        }
        assert len(same) == 1
        others = {identity(seed=2), identity(temperature=0.5), identity(prompt=other_text), identity(reply_tokens=99)}
        assert len(others | same) == 5


def test_auto_goes_on_without_a_server_and_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = {**SETTINGS, "host": "http://127.0.0.1:9"}
    with pytest.raises(JudgeUnavailable, match="no Ollama server answers on http://127.0.0.1:9"):
        Ollama(**nowhere).prepare()
    assert Auto(**nowhere).prepare() is None
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "medft judge run=<id>" in out
    assert NoJudge().prepare() is None


def test_something_else_on_the_port_is_no_judge() -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        settings = {**SETTINGS, "host": f"http://127.0.0.1:{running.server_port}"}
        with pytest.raises(JudgeUnavailable, match="no Ollama server answers"):
            Ollama(**settings).prepare()
        assert Auto(**settings).prepare() is None
        running.shutdown()


def test_ollama_host_comes_from_the_environment(
    compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compose("judge=ollama").judge.host == "http://127.0.0.1:11434"
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:4000")
    assert compose("judge=ollama").judge.host == "127.0.0.1:4000"


REAL = {**SETTINGS, "model": "tiny-judge", "timeout": 120.0, "load_timeout": 300.0, "reply_tokens": 128}


def test_a_real_server_scores_in_range(ollama: str) -> None:
    judge = Ollama(**{**REAL, "host": ollama})
    assert judge.prepare() is judge
    judge.plan([ITEM])
    judge.load()
    facts = judge.describe()
    assert facts["model"] == "tiny-judge:latest"
    assert len(facts["digest"]) == 64
    assert facts["server_version"].count(".") >= 2
    verdict = judge.score(ITEM)
    assert verdict.status == "scored", verdict
    assert json.loads(verdict.reply) == {"reason": verdict.reason, "score": verdict.score}
    assert 0 <= (verdict.score or 0) <= 100


def test_a_real_server_that_cuts_a_prompt_is_caught(ollama: str) -> None:
    judge = Ollama(**{**REAL, "host": ollama, "max_context": 512})
    assert judge.prepare() is judge
    long = JudgeItem("What is gout?", "", "joint " * 2000, "A fish.")
    judge.plan([ITEM, long])
    verdict = judge.score(long)
    assert (verdict.status, verdict.score) == ("too_long", None)
    assert judge.score(ITEM).status == "scored"


def test_a_real_server_without_the_model(ollama: str) -> None:
    with pytest.raises(JudgeUnavailable, match="has no model 'nosuch' \\(ollama pull nosuch\\)"):
        Ollama(**{**REAL, "host": ollama, "model": "nosuch"}).prepare()
    with pytest.raises(JudgeUnavailable, match="refused \\(model"):
        ready(ollama, model="nosuch").score(ITEM)
