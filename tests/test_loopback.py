"""A proxy of the environment is for servers elsewhere: those on this machine are asked directly."""

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
import requests

from medft.loopback import bypass_proxies, is_loopback

PROXY = "http://127.0.0.1:9"  # nobody listens


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("NO_PROXY", "no_proxy"):  # so that what is set is taken back
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("exempt", [None, "NO_PROXY", "no_proxy"])
def test_this_machine_is_asked_directly(
    server: int, variable: str, exempt: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, PROXY)
    if exempt:
        monkeypatch.setenv(exempt, "intranet.example")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{server}")
    bypass_proxies()
    for host in ("127.0.0.1", "localhost"):
        assert httpx.get(f"http://{host}:{server}").status_code == 204
        assert requests.get(f"http://{host}:{server}", timeout=9).status_code == 204
    with pytest.raises(httpx.ConnectError):  # elsewhere by the proxy, as before
        httpx.get("http://elsewhere.example")
    assert ("intranet.example" in os.environ["NO_PROXY"]) is bool(exempt)
    before = os.environ["NO_PROXY"]
    bypass_proxies()
    assert before == os.environ["NO_PROXY"] == os.environ["no_proxy"]


def test_what_is_set_stays_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    bypass_proxies()
    assert not {"NO_PROXY", "no_proxy"} & set(os.environ)
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "*")
    bypass_proxies()
    assert os.environ["NO_PROXY"] == "*" and "no_proxy" not in os.environ


def test_which_addresses_are_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    bypass_proxies()
    assert {"0.0.0.0", "::", "127.0.0.1"} <= set(os.environ["NO_PROXY"].split(",")), "a server's own way to say here"
    assert is_loopback("::1") and is_loopback("localhost") and not is_loopback("0.0.0.0")
