"""Servers on this machine: an Ollama server, llama.cpp's, MLflow's."""

import os
from urllib.request import getproxies_environment

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# as a server's own address has it; clients find this machine there
EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing is bound here


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host in LOOPBACK


def bypass_proxies() -> None:
    """Have this process, and those that it starts, reach servers on this machine without a proxy.

    A proxy that environment variables name (HTTP_PROXY, ALL_PROXY) cannot reach them. Ollama's own command and others
    written in Go know that; Python's HTTP clients want it said in NO_PROXY.
    """
    given = getproxies_environment()
    exempt = given.pop("no", "")
    if given and exempt.strip() != "*":
        missing = sorted((LOOPBACK | EVERYWHERE) - {name.strip() for name in exempt.split(",")})
        for name in ("NO_PROXY", "no_proxy"):  # clients differ in which one they read first
            os.environ[name] = ",".join(filter(None, [exempt, *missing]))
