"""A foreign client's HTTP: the standard library alone, with any header, and answers as they came."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from tests.stories.conftest import BLINK, TIMEOUT_S, Host


def blink(pin: int) -> str:
    """A C program that toggles the pin ten times a second."""
    return BLINK.replace("PIN", str(pin)).replace("HALF_MS", "100")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        found: str = self.json["error"]["code"]
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The objects of a stream of JSON lines."""
        return [json.loads(line) for line in self.body.splitlines() if line.strip()]

    @property
    def last(self) -> dict[str, Any]:
        """The last line of a stream, which says what came of the act."""
        return self.lines[-1]


@dataclass(frozen=True, slots=True)
class Door:
    """Requests to one address with one token."""

    address: str
    token: str | None = None

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """`body` as JSON, or as it is where it is bytes; `Content_Type` is the header Content-Type."""
        parts = urlsplit(self.address)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if sent is not None:
            named.setdefault("Content-Type", "application/json")
        if self.token is not None:
            named.setdefault("Authorization", f"Bearer {self.token}")
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, sent, {name: value for name, value in named.items() if value})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.ask("POST", path, {} if body is None else body, **headers)


def door(host: Host, token: str | None = None) -> Door:
    """The host's API over TCP."""
    return Door(str(host.facts["http"]), token)


def member_of(host: Host, name: str, role: str = "member", scope: str = "all") -> Door:
    """A new person of that role, by a token."""
    if role != "owner":
        host.client.post("/v1/people", {"name": name, "role": role})
    made = host.client.post(
        "/v1/tokens", {"name": f"of-{name}", "person": "owner" if role == "owner" else name, "scope": scope}
    )
    return door(host, str(made["secret"]))


def level(host: Host, pin: int, board: str = "virtual-1") -> int:
    """The pin's level as the board says it."""
    return host.level(board, pin)


def running(host: Host) -> list[str]:
    """The programs that run."""
    return [app["name"] for app in host.client.get("/v1/apps")["apps"] if app["condition"] == "running"]
