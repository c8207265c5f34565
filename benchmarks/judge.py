"""Rows judged a second, one and four requests at a time, on a server that takes exactly 200 ms for an answer.

    python -m benchmarks judge [--rows 100] [--repeats 5] [--figure FILE.png]

- client: the peer. The official client in a plain loop, as a notebook would do it, replies read with json.loads.
- medft 1, medft 4: `judge_predictions` with `judge.concurrency` 1 and 4, replies checked, verdicts kept on disk.

The server is in a process of its own and answers any number of requests at once, each after 200 ms: what is measured
is what judging adds to the waiting, and whether four requests really wait together. Printed are medians.
"""

import argparse
import http.server
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from benchmarks._figure import draw_bars

SECONDS = 0.2
REPLY = json.dumps({"reason": "It names the joints.", "score": 70})


class Handler(http.server.BaseHTTPRequestHandler):
    """Ollama's three addresses that the judge asks."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        models = [{"model": "m:latest", "digest": "d" * 64}]
        self.give({"version": "0"} if self.path == "/api/version" else {"models": models})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/show":
            self.give({"model_info": {"x.context_length": 8192}})
            return
        time.sleep(SECONDS)
        message = {"role": "assistant", "content": REPLY}
        self.give({"model": "m", "message": message, "done": True, "prompt_eval_count": 100})

    def give(self, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()


def serve(ready: Connection) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        ready.send(running.server_port)
        running.serve_forever()


def with_client(host: str, rows: int) -> None:
    import ollama

    client = ollama.Client(host=host)
    for row in range(rows):
        messages = [{"role": "user", "content": f"Question {row}. Give a score as JSON."}]
        reply = client.chat(model="m", messages=messages, format="json", options={"temperature": 0, "seed": 123})
        assert 0 <= json.loads(reply.message.content or "")["score"] <= 100


def with_medft(concurrency: int) -> Callable[[str, int], None]:
    from medft.config.compose import compose_config
    from medft.evaluation.judges.base import Judge
    from medft.evaluation.judging.judge_run import judge_predictions
    from medft.evaluation.predictions import Prediction
    from medft.metrics.metric import AnswerScores

    def judge(host: str, rows: int) -> None:
        overrides = ["judge=ollama", "judge.model=m", f"judge.host={host}", "judge.controls=0",
                     f"judge.concurrency={concurrency}"]  # fmt: skip
        options = compose_config(overrides).judge
        assert isinstance(options, Judge)
        judge = options.prepare()
        assert judge is not None
        answer = AnswerScores("a", False, 3.5, 7, 0, 30, 1, 2, {"rougeL": 0.5})
        answers = [Prediction(str(n), "g", str(n), f"Question {n}", "", "e", None, answer) for n in range(rows)]
        with tempfile.TemporaryDirectory() as cache:
            assert judge_predictions(judge, answers, Path(cache)).counts["scored"] == rows

    return judge


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--figure", type=Path, help="where to draw it: a PNG, PDF or SVG")
    arguments = parser.parse_args()
    rows = arguments.rows
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    server.start()
    host = f"http://127.0.0.1:{here.recv()}"
    who = {"client": with_client, "medft 1": with_medft(1), "medft 4": with_medft(4)}
    speeds: dict[str, list[float]] = {name: [] for name in who}
    for _ in range(arguments.repeats):
        for name, judge in who.items():
            judge(host, 2)  # imports, connections
            started = time.perf_counter()
            judge(host, rows)
            speeds[name].append(rows / (time.perf_counter() - started))
    server.terminate()
    speed = {name: median(each) for name, each in speeds.items()}
    versions = ", ".join(f"{name} {version(name)}" for name in ("medft", "ollama", "httpx"))
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{rows} rows, {SECONDS * 1000:.0f} ms an answer, {machine}, {versions}")
    print("| who | rows/s | to client | to medft 1 |\n|---|---|---|---|")
    for name, rate in speed.items():
        print(f"| {name} | {rate:.2f} | {rate / speed['client']:.2f} | {rate / speed['medft 1']:.2f} |")
    if arguments.figure:
        draw_bars(speed, f"Judging on a server that takes {SECONDS * 1000:.0f} ms", arguments.figure, "rows")


if __name__ == "__main__":
    main()
