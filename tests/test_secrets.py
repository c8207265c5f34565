"""Passwords and values of the environment are used, and shown to nobody."""

import base64
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from medft import secrets
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun
from medft.secrets import fill_passwords, hide, hide_passwords, keep_secret
from tests.composed import TINY
from tests.jobs.sweeps import finish, start
from tests.processes import free_port
from tests.runs.test_server import serve_mlflow

PASSWORD, VARIABLE = "S3CRET-of-mlflow", "t0psecret-value"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pw@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql+psycopg://me:p/w:d@x@host/db", "postgresql+psycopg://me:***@host/db"),
        ("at http://:pw@host failed (http://me:***@host)", "at http://:***@host failed (http://me:***@host)"),
        ("'http://me:pw@a','http://me:pw@b'", "'http://me:***@a','http://me:***@b'"),
        ("http://host:5000/me@here.org", "http://host:5000/me@here.org"),
        ("http://me@host, a@b.org: c", "http://me@host, a@b.org: c"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
    ],
)
def test_only_the_password_of_an_address_is_left_out(text: str, shown: str) -> None:
    assert hide_passwords(text) == shown
    assert hide_passwords(shown) == shown


def test_a_password_is_filled_in_where_all_else_is_the_same() -> None:
    known = ["http://me:pw@host:5000", "sqlite:///x"]
    assert fill_passwords("tracking.uri=http://me:***@host:5000", known) == "tracking.uri=http://me:pw@host:5000"
    for other in ("http://me:***@evil:5000", "http://you:***@host:5000", "http://me:***@host:50", "***"):
        assert fill_passwords(other, known) == other


def test_a_value_is_hidden_in_any_text_unless_it_is_short_or_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_known", {})
    for value in ("sesame-open", "1", str(tmp_path)):
        keep_secret(value, "${oc.env:X}")
    assert hide(f"1 sesame-open {tmp_path} http://a:b@c") == f"1 ${{oc.env:X}} {tmp_path} http://a:***@c"


class Guard(BaseHTTPRequestHandler):
    """Passes on what comes with the right password."""

    behind = ""

    def _pass_on(self) -> None:
        expected = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.end_headers()
            return
        headers = {key: value for key, value in self.headers.items() if key in ("Content-Type", "Accept")}
        request = urllib.request.Request(self.behind + self.path, body or None, headers, method=self.command)
        try:
            answer = urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error
        except OSError:
            self.send_response(502)
            self.end_headers()
            return
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, format: str, *values: object) -> None:
        """Nothing."""


@contextmanager
def guarded(address: str) -> Iterator[str]:
    """The address, with its password, at which only who knows that reaches a server."""
    Guard.behind = address
    with ThreadingHTTPServer(("127.0.0.1", 0), Guard) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://me:{PASSWORD}@127.0.0.1:{server.server_port}"
        server.shutdown()


# a tag, and an option of a reader that is not medft's
VARIABLES = ("+tracking.tags.key=${oc.env:SECRET_X}", "dataset.reader._target_=tests.jobs.faulty.Faulty",
             "+dataset.reader.fault=${oc.env:SECRET_X}")  # fmt: skip
ENVIRONMENT = {"SECRET_X": VARIABLE, "MEDFT_TEST_ARMED": "nowhere"}


def find_leaks(folder: Path, printed: str) -> list[str]:
    """Where a secret stands in a file below a folder, or in what was printed."""
    files = {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    texts = {**files, "the terminal": printed.encode()}
    encoded = base64.b64encode(f"me:{PASSWORD}".encode())
    words = (PASSWORD.encode(), VARIABLE.encode(), encoded)
    return [f"{name}: {word!r}" for name, text in texts.items() for word in words if word in text]


@pytest.mark.slow
@pytest.mark.parametrize("given", ["environment", "override"])
def test_no_secret_is_in_any_file_or_on_the_terminal(tmp_path: Path, given: str) -> None:
    root, printed, server = tmp_path / "root", "", tmp_path / "server"
    server.mkdir()
    database = f"sqlite:///{server / 'mlflow.db'}"

    def medft(*command: str, expected: int = 0, uri: str = "") -> str:
        nonlocal printed
        code, out = finish(start(*command, **ENVIRONMENT, **({"MLFLOW_TRACKING_URI": uri} if uri else {})))
        printed += out
        assert code == expected, out
        return out

    with serve_mlflow(server, free_port(), database) as address, guarded(address) as uri:
        places = [] if given == "environment" else [f"tracking.uri={uri}"]
        known = uri if given == "environment" else ""
        command = ("train", *TINY, *VARIABLES, *places)
        long = (*command, "trainer.max_epochs=8", "trainer.val_checks_per_epoch=1")

        # interrupted, gone on with by its id, judged and asked about afterwards
        process = start(*long, **ENVIRONMENT, **({"MLFLOW_TRACKING_URI": known} if known else {}))
        while not list(root.rglob("last.ckpt")):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        code, out = finish(process)
        printed += out
        assert code == 130, out
        (entry,) = RunIndex(root).list_entries()
        out = medft("train", f"resume={entry.run_id}", *places, uri=known)
        assert "goes on from" in out
        assert "MLflow has not all" not in out
        assert "cannot be had" not in out
        run = LocalRun(Path(entry.folder))
        assert run.state.status == "FINISHED"
        assert run.state.params["dataset.reader.fault"] == "${oc.env:SECRET_X}" == run.state.tags["key"]
        assert run.state.params["tracking.uri"] == uri.replace(PASSWORD, "***")
        medft("ask", "run=last", "What is gout?", *places, uri=known)

        if given == "environment":  # the jobs of a sweep have them from its environment
            medft("train", "-m", *command[1:], "seed=1,2", uri=known)
            folders = list(root.glob("outputs/*/*-sweep/seed=*"))
            assert [LocalRun(folder).state.status for folder in folders] == ["FINISHED"] * 2

        # what is wrong is told without them
        wrong = ("dataset=alpaca", "dataset.path=${oc.env:SECRET_X}")
        out = medft("train", *TINY, *places, *wrong, expected=2, uri=known)
        assert "error: dataset.path=${oc.env:SECRET_X}: no such file" in out

        # a run is made while the server is away, and delivered afterwards
        Guard.behind = f"http://127.0.0.1:{free_port()}"
        medft(*command, "seed=5", "tracking.patience=0", uri=known)
        Guard.behind = address
        assert "delivered: " in medft("sync", *places, uri=known)
        assert not RunIndex(root).list_pending()
    assert find_leaks(root, printed) == []
    assert find_leaks(server, "") == []
