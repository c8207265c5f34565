"""A small server that answers as Ollama would, but as badly as told."""

import http.server
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Request = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What one request gets: after `wait` seconds a status and a body, or the connection is reset."""

    status: int = 200
    body: bytes = b""
    wait: float = 0.0
    reset: bool = False


def chat(content: str, prompt_tokens: int | None = 50, done_reason: str = "stop", wait: float = 0.0) -> Answer:
    message = {"role": "assistant", "content": content}
    body = {"model": "m", "message": message, "done": True, "done_reason": done_reason}
    if prompt_tokens is not None:
        body["prompt_eval_count"] = prompt_tokens
    return Answer(200, json.dumps(body).encode(), wait)


def scored(score: object, reason: str = "because it is so") -> Answer:
    return chat(json.dumps({"reason": reason, "score": score}))


def error(status: int, text: str) -> Answer:
    return Answer(status, json.dumps({"error": text}).encode())


@dataclass
class Served:
    """A running server.

    Attributes:
        host: its address.
        chats: the requests to /api/chat, in order.
    """

    host: str
    chats: list[Request] = field(default_factory=list)


@contextmanager
def server(
    reply: Callable[[int, Request], Answer],
    models: tuple[str, ...] = ("m:latest",),
    model_info: Mapping[str, object] = {"llama.context_length": 4096},
    capabilities: tuple[str, ...] = ("completion",),
    version: str = "9.9.9",
) -> Iterator[Served]:
    """Serve until the context ends; `reply` gets the number of the request, from 1, and its body."""
    about = {"model_info": dict(model_info), "capabilities": list(capabilities)}
    stopped, lock = threading.Event(), threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # what is sent in several parts waits for the client's system, 40 ms each time

        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            digests = [{"model": name, "digest": "d" * 64} for name in models]
            body = {"version": version} if self.path == "/api/version" else {"models": digests}
            self.give(Answer(200, json.dumps(body).encode()))

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/api/show":
                self.give(Answer(200, json.dumps(about).encode()))
                return
            with lock:
                served.chats.append(request)
                number = len(served.chats)
            self.give(reply(number, request))

        def give(self, answer: Answer) -> None:
            stopped.wait(answer.wait)
            if answer.reset:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            try:
                self.send_response(answer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
            except OSError:  # the client did not wait
                self.close_connection = True

    class Quiet(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, *_: object) -> None: ...

    with Quiet(("127.0.0.1", 0), Handler) as running:
        served = Served(f"http://127.0.0.1:{running.server_port}")
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield served
        finally:  # else its thread polls a closed socket for ever, at full speed
            stopped.set()
            running.shutdown()
