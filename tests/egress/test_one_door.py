"""Every connection out of the host goes through egress: nowhere else in src is a client made, but where it is said."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import microclaw

SRC = Path(microclaw.__file__).parent
CLIENTS = frozenset(
    {
        "AsyncClient", "Client", "AsyncHTTPTransport", "HTTPTransport", "ClientSession", "HTTPConnection",
        "HTTPSConnection", "HTTP20Connection", "urlopen", "urlretrieve", "build_opener", "URLopener", "PoolManager",
        "AsyncConnectionPool", "ConnectionPool", "AsyncHTTPProxy", "HTTPProxy", "open_connection",
        "create_connection", "connect_tcp", "connect_ex", "sock_connect", "ClientProtocol", "FTP", "SMTP", "Telnet",
    }
)  # fmt: skip
SDKS = frozenset({"AsyncAnthropic", "Anthropic", "AsyncOpenAI", "OpenAI", "streamable_http_client", "sse_client"})
"""Of others: each has to be given the client of the door."""
WHOLE = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "request", "stream"})
HTTP_MODULES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "aiohttp", "http.client",
                          "urllib.request", "websockets", "websockets.client", "telnetlib", "ftplib",
                          "smtplib"})  # fmt: skip
DOORS = ("egress/http_door.py", "egress/outgoing.py", "egress/exchange.py")
EXCEPTIONS = {
    "cli/demo_forms.py": "the demo's balancer: to the hosts that it started, on loopback",
    "operations/connection.py": "the host's own API: its control socket, or the address after --host",
    "cluster/requests.py": "other hosts of the fleet: both ends show a certificate of its authority",
    "link_client/": "a device's end of the link: the host that a person names",
    "virtual/": "the virtual board, a process of its own (decision 0045)",
    "mcp/client/connection.py": "the library of MCP over a transport of transports.py, whose HTTP is the door's",
    "telemetry/mqtt_connection.py": "paho-mqtt, whose streams outgoing.connect makes",
    "transports/serial_ports.py": "a device's address, of a person or found in the LAN",
    "transports/wasmachine_connection.py": "likewise",
    "transports/subnet_probe.py": "looks for devices in this machine's own network",
}


def made_clients(source: str) -> Iterator[tuple[int, str]]:
    """Lines where something is made that connects out, by its last word; a class of the project's own does not."""
    if not any(name in source for name in CLIENTS | SDKS | HTTP_MODULES):
        return
    tree = ast.parse(source)
    aliases = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    from_http = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in HTTP_MODULES
        for alias in node.names
    }
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} | {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("microclaw.")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in own:
            continue
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                if _last(base, aliases) in CLIENTS:
                    yield node.lineno, _last(base, aliases)
        if not isinstance(node, ast.Call):
            continue
        name = _last(node.func, aliases)
        if name in CLIENTS:
            yield node.lineno, name
        elif name in SDKS and not any(keyword.arg == "http_client" for keyword in node.keywords):
            yield node.lineno, f"{name} without http_client"
        elif isinstance(node.func, ast.Attribute) and name in WHOLE:
            owner = node.func.value
            if isinstance(owner, ast.Name) and aliases.get(owner.id, owner.id) in HTTP_MODULES:
                yield node.lineno, f"{owner.id}.{name}"
        elif isinstance(node.func, ast.Name) and name in WHOLE and node.func.id in from_http:
            yield node.lineno, name


def _last(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return aliases.get(node.id, node.id).rpartition(".")[2] if isinstance(node, ast.Name) else ""


def excepted(name: str) -> str | None:
    return next((one for one in EXCEPTIONS if name == one or (one.endswith("/") and name.startswith(one))), None)


def test_no_client_is_made_outside_of_the_door() -> None:
    wrong, used = [], set()
    for path in SRC.rglob("*.py"):
        name = path.relative_to(SRC).as_posix()
        if name in DOORS:
            continue
        found = [f"{name}:{line}: {what}" for line, what in made_clients(path.read_text())]
        if found and (reason := excepted(name)) is not None:
            used.add(reason)
        else:
            wrong += found
    assert wrong == [], "use egress/http_door.py or egress/outgoing.py, or give the reason in EXCEPTIONS"
    assert used == set(EXCEPTIONS), "an exception that nothing needs"


@pytest.mark.parametrize(
    "line",
    [
        "import httpx2\nhttpx2.AsyncClient()",
        "import httpx2 as h\nh.get('http://x')",
        "from httpx2 import Client as C\nC()",
        "from httpx2 import post\npost('http://x')",
        "import urllib.request\nurllib.request.urlopen('http://x')",
        "from http.client import HTTPSConnection\nHTTPSConnection('x')",
        "import asyncio\nasyncio.open_connection('x', 1)",
        "import socket\nsocket.create_connection(('x', 1))",
        "import anyio\nanyio.connect_tcp('x', 1)",
        "from openai import AsyncOpenAI\nAsyncOpenAI(api_key='x')",
        "import httpx2\nclass Mine(httpx2.AsyncHTTPTransport): ...",
    ],
)
def test_the_rule_sees_it(line: str) -> None:
    assert list(made_clients(line))


def test_the_rule_leaves_others_alone() -> None:
    assert not list(made_clients("client.get('/x')\nAsyncOpenAI(http_client=bounded_client())\nsettings.get('a')"))
