"""`medft serve`: the web page of one run, on this machine. It loads nothing from elsewhere; no other page may ask it.

A question is answered by the model before and after fine-tuning, a token of each in turn; one question at a time, the
others wait in line. A client that goes away stops its answer.
"""

import contextlib
import getpass
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from medft.config.schema import GenerationConfig
from medft.console import note, say, warn
from medft.errors import InputError, MedftError, ModelError, describe
from medft.evaluation.predictions import Prediction
from medft.loopback import EVERYWHERE, is_loopback
from medft.report.talk_page import read_asset, render_talk
from medft.runs.open import FinishedRun, open_for_writing
from medft.runs.record import read_predictions
from medft.runs.trained_model import TrainedModel, change_settings, check_length, load_model, load_untrained
from medft.serving.guard import OwnPages, SecureHeaders, list_host_names
from medft.serving.marking import MarkBook
from medft.serving.writing import Line, write_side_by_side

_LARGEST = 100_000  # bytes of a request
_QUESTIONS = 1000  # test questions to choose from


@dataclass(frozen=True)
class Talk:
    """What the page is of.

    Attributes:
        models: by side, `before` and `after`; without `before` where that is not on this machine.
        missing: why a part of the page is not there, by `before` and `marks`.
        questions: test questions to choose from.
    """

    title: str
    models: Mapping[str, TrainedModel]
    missing: Mapping[str, str]
    questions: Sequence[Prediction]
    marks: MarkBook | None


def serve_run(run: FinishedRun, host: str, port: int) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        InputError: the address cannot be had, or the run has no model.
    """
    check_length(run.config.generation)
    with contextlib.closing(_bind(host, port)) as bound:
        name = socket.gethostname() if host in EVERYWHERE else host
        address = f"http://{f'[{name}]' if ':' in name else name}:{bound.getsockname()[1]}"
        talk = load_talk(run)
        if not is_loopback(host):
            warn(f"host={host}: there is no password: who reaches this machine can ask the model, and mark answers")
        server = uvicorn.Server(uvicorn.Config(
            make_app(talk, list_host_names(host)), log_level="warning", access_log=False, server_header=False,
            proxy_headers=False, ws="none", timeout_graceful_shutdown=2,
        ))  # fmt: skip
        say(f"talk to it:    {address}   # Ctrl-C ends")
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn has ended in good order, and hands it on
            server.run(sockets=[bound])
        note("ended")


def load_talk(run: FinishedRun) -> Talk:
    """Load the models and the test questions of a run.

    Raises:
        InputError: it has no model.
    """
    note("loading the models")
    models, missing = {"after": load_model(run)}, {}
    try:
        models = {"before": load_untrained(run), **models}
    except ModelError as error:
        missing["before"] = str(error)
        warn(f"the model before fine-tuning is not shown: {error}")
    marks: MarkBook | None = None
    questions: list[Prediction] = []
    try:
        local = open_for_writing(run)
        questions = read_predictions(local)
        marks = MarkBook(local, run.config, questions)
    except MedftError as error:
        missing["marks"] = str(error)
    return Talk(run.describe(), models, missing, questions[:_QUESTIONS], marks)


def make_app(talk: Talk, hosts: set[str]) -> Starlette:
    """The server's application; it answers requests for these hosts, and closes the marks when it ends."""
    site = _Site(talk)

    @contextlib.asynccontextmanager
    async def close_marks(_: Starlette) -> AsyncIterator[None]:
        yield
        if talk.marks:
            await run_in_threadpool(talk.marks.close)

    return Starlette(
        routes=[
            Route("/", site.show_page),
            Route("/talk.css", site.show_style),
            Route("/talk.js", site.show_script),
            Route("/questions", site.show_questions),
            Route("/ask", site.ask, methods=["POST"]),
            Route("/pair", site.deal, methods=["POST"]),
            Route("/mark", site.mark, methods=["POST"]),
        ],
        middleware=[Middleware(SecureHeaders), Middleware(OwnPages, hosts=hosts)],
        exception_handlers={MedftError: _explain},
        lifespan=close_marks,
    )


class _Site:
    """What is answered at each address."""

    def __init__(self, talk: Talk) -> None:
        self._talk, self._line, self._asked = talk, Line(), 0
        self._settings: GenerationConfig = talk.models["after"].config.generation
        login = ""
        with contextlib.suppress(KeyError, OSError):  # an id without a name, as in containers
            login = getpass.getuser()
        self._page = render_talk(
            title=talk.title,
            settings=self._settings.model_dump(),
            missing=talk.missing,
            questions=[row.instruction for row in talk.questions],
            login=login,
        )

    async def show_page(self, _: Request) -> Response:
        return Response(self._page, media_type="text/html")

    async def show_style(self, _: Request) -> Response:
        return Response(read_asset("style.css") + read_asset("talk.css"), media_type="text/css")

    async def show_script(self, _: Request) -> Response:
        return Response(read_asset("talk.js"), media_type="text/javascript")

    async def show_questions(self, _: Request) -> Response:
        rows = self._talk.questions
        return JSONResponse(
            [{"question": row.instruction, "input": row.input, "expected": row.expected} for row in rows]
        )

    async def ask(self, request: Request) -> Response:
        """Stream what the models write (`write_side_by_side`) and how many are in line before, as lines of JSON."""
        asked = await _read(request)
        question, given, settings = _text(asked, "question").strip(), _text(asked, "input").strip(), asked["settings"]
        if not question or not isinstance(settings, dict):
            raise InputError("ask a question" if isinstance(settings, dict) else "settings: must be an object")
        if self._line.is_full:
            return JSONResponse({"error": "too many are waiting: ask again in a minute"}, 503)
        generation = change_settings(self._settings, settings)
        number, self._asked = self._asked, self._asked + 1
        return _Stream(self._write(question, given, generation, number), media_type="application/x-ndjson")

    async def _write(self, question: str, given: str, generation: GenerationConfig, number: int) -> AsyncIterator[str]:
        place = self._line.join()
        try:
            async with contextlib.aclosing(self._line.wait(place)) as moves:
                async for ahead in moves:
                    yield _as_line({"kind": "wait", "ahead": ahead})
            with contextlib.closing(
                write_side_by_side(self._talk.models, question, given, generation, number)
            ) as events:
                # the thread that writes a token is waited for even where the client has gone away
                while event := await run_in_threadpool(next, events, None):
                    yield _as_line(event)
        except Exception as error:  # too late for a status
            yield _as_line({"kind": "error", "error": describe(error)})
        finally:
            self._line.leave(place)

    async def deal(self, request: Request) -> Response:
        """A pair that the person has not marked; without `token` where there is none left."""
        who, marks = _text(await _read(request), "who"), self._marks()
        pair = await run_in_threadpool(marks.deal, who)
        marked, of = marks.count(who)
        shown: dict[str, Any] = {"marked": marked, "of": of}
        if pair:
            row, (left, right) = pair.row, pair.texts
            shown |= {"token": pair.token, "left": left, "right": right}
            shown |= {"question": row.instruction, "input": row.input, "expected": row.expected}
        return JSONResponse(shown)

    async def mark(self, request: Request) -> Response:
        """Log a mark."""
        asked, marks = await _read(request), self._marks()
        who = _text(asked, "who")
        await run_in_threadpool(marks.mark, _text(asked, "token"), who, _text(asked, "better"))
        marked, of = marks.count(who)
        return JSONResponse({"marked": marked, "of": of})

    def _marks(self) -> MarkBook:
        if self._talk.marks is None:
            raise InputError(self._talk.missing["marks"])
        return self._talk.marks


class _Stream(StreamingResponse):
    """One whose source is closed at once where the client has gone away."""

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self.body_iterator):  # type: ignore[type-var]  # an async generator here
            await super().__call__(scope, receive, send)


async def _read(request: Request) -> dict[str, Any]:
    """The JSON object that was sent.

    Raises:
        InputError: it is none, or too large.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST:
            raise InputError(f"more than {_LARGEST:,} bytes")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise InputError("not a JSON object")
    return {"settings": {}, **content}


def _text(asked: Mapping[str, Any], key: str) -> str:
    text = asked.get(key, "")
    if not isinstance(text, str):
        raise InputError(f"{key}: must be a text")
    return text.encode(errors="replace").decode()  # half a surrogate pair is no text that a tokenizer reads


def _as_line(event: Mapping[str, Any]) -> str:
    return json.dumps(event, ensure_ascii=False) + "\n"


async def _explain(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400 if isinstance(error, InputError) else 500)


def _bind(host: str, port: int) -> socket.socket:
    """The socket to serve on, looked for before the models are loaded.

    Raises:
        InputError: it cannot be had.
    """
    if port > 65_535:
        raise InputError(f"port={port}: must be a number from 0 to 65535")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()  # or a second server would find out only when its models are loaded
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"host={host} port={port}: cannot be had ({why}); port=0 takes a free one") from None
    return bound
