"""Who may ask the server: pages of its own, under a name of this machine."""

import socket
from collections.abc import Collection, Mapping
from urllib.parse import SplitResult, urlsplit

import psutil
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medft.loopback import EVERYWHERE, LOOPBACK, is_loopback

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def list_host_names(host: str) -> set[str]:
    """The names and addresses under which a page of this server is asked for. One of another name that resolves to this
    machine (DNS rebinding) is not among them.
    """
    names = {host, *LOOPBACK}
    if not is_loopback(host):
        names |= {socket.gethostname(), socket.getfqdn()}
        names |= {each.address.split("%")[0] for card in psutil.net_if_addrs().values() for each in card}
    return {name.lower() for name in names} - {*EVERYWHERE, "", "*"}


class SecureHeaders:
    """Has the browser load nothing from anywhere else, and show the page in no other."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to what is answered."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class OwnPages:
    """Refuses what is asked under another name, and a POST of any other page: browsers say where it comes from."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on what may be asked."""
        if scope["type"] == "http" and (refusal := self._refuse(scope["method"], Headers(scope=scope))):
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refuse(self, method: str, headers: Mapping[str, str]) -> JSONResponse | None:
        host = headers.get("host", "")
        if _split(f"//{host}").hostname not in self._hosts:
            return JSONResponse({"error": f"this server has another name than {host or 'none'}"}, 400)
        if method not in ("GET", "HEAD") and _split(headers.get("origin", "")).netloc != host:
            return JSONResponse({"error": "only the page of this server may ask"}, 403)
        return None


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # a bracket that is not closed
        return urlsplit("")
