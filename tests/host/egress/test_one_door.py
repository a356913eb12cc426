"""Every connection out of the host goes through egress: nowhere else in src is a client made, but where it is said."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

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
SDKS = frozenset(
    {
        *("AsyncAnthropic", "Anthropic", "AsyncOpenAI", "OpenAI", "GoogleProvider"),
        *("streamable_http_client", "sse_client"),
    }
)
"""Of others: each has to be given the client of the door."""
WHOLE = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "request", "stream"})
HTTP_MODULES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "aiohttp", "http.client",
                          "urllib.request", "websockets", "websockets.client", "telnetlib", "ftplib",
                          "smtplib"})  # fmt: skip
DOORS = ("host/egress/http_door.py", "host/egress/outgoing.py", "host/egress/proxy.py")
EXCEPTIONS = {
    "host/operations/connection.py": "the host's own API: its control socket, or the address after --host",
    "host/cluster/requests.py": "other hosts of the fleet: both ends show a certificate of its authority",
    "virtual/link_client/": "a device's end of the link: the host that a person names",
    "programs/py/libraries/": "modules of programs, which run on boards",
    "virtual/": "the virtual board, a process of its own (decision 0045)",
    "interfaces/mcp/client/connection.py": "MCP's library over a transport of transports.py, whose HTTP is the door's",
    "interfaces/mqtt/connection.py": "paho-mqtt, whose streams egress makes",
    "devices/transports/serial_ports.py": "a device's address, of a person or found in the LAN",
    "devices/transports/wasmachine_connection.py": "likewise",
    "devices/transports/subnet_probe.py": "looks for devices in this machine's own network",
}


def made_clients(source: str) -> Iterator[tuple[int, str]]:
    """Lines that name something that connects out, by its last word; types and the project's own classes do not."""
    if not any(name in source for name in CLIENTS | SDKS | HTTP_MODULES):
        return
    nodes = list(ast.walk(ast.parse(source)))
    names = {node.name: f"microclaw.{node.name}" for node in nodes if isinstance(node, ast.ClassDef)}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.ImportFrom):
                module = f"{node.module}."
            else:
                module = ""
            names |= {alias.asname or alias.name: module + alias.name for alias in node.names}
    types = (part for node in nodes for part in (getattr(node, "annotation", None), getattr(node, "returns", None)))
    typed = {id(inner) for part in types if part is not None for inner in ast.walk(part)}
    for node in nodes:
        if isinstance(node, ast.Call):
            name = _qualified(node.func, names).rpartition(".")[2]
            if name in SDKS and not any(keyword.arg == "http_client" for keyword in node.keywords):
                yield node.lineno, f"{name} without http_client"
        elif isinstance(node, ast.Attribute | ast.Name) and id(node) not in typed:
            module, _, name = _qualified(node, names).rpartition(".")
            if (name in CLIENTS and not module.startswith("microclaw")) or (name in WHOLE and module in HTTP_MODULES):
                yield node.lineno, name


def _qualified(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_qualified(node.value, names)}.{node.attr}"
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    return ""


def excepted(name: str) -> str | None:
    return next((one for one in EXCEPTIONS if name == one or (one.endswith("/") and name.startswith(one))), None)


def test_no_client_is_made_outside_of_the_door() -> None:
    wrong = []
    used = set()
    for path in SRC.rglob("*.py"):
        name = path.relative_to(SRC).as_posix()
        if name in DOORS:
            continue
        found = [f"{name}:{line}: {what}" for line, what in made_clients(path.read_text())]
        if found and (reason := excepted(name)) is not None:
            used.add(reason)
        else:
            wrong += found
    assert wrong == [], "use host/egress/http_door.py or host/egress/outgoing.py, or give the reason in EXCEPTIONS"
    assert used == set(EXCEPTIONS), "an exception that nothing needs"
