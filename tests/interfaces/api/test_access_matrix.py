"""Every route x every caller, over real HTTP: who may is not turned away, who may not is, and nothing happened.

The routes are those of `microclaw.interfaces.api.access.every_route`: a route that is missing, or one that does not
exist, fails.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from microclaw.app import running_host
from microclaw.errors import UnknownName
from microclaw.host.auth.people import MQTT
from microclaw.host.auth.sign_ins import csrf_token
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import VoiceSettings
from microclaw.host.operations.client import Client
from microclaw.host.operations.operation import Access
from microclaw.host.store.people import Role
from microclaw.interfaces.api.access import ACCESS_BY_ROLE, PAGE_PATHS, access_of, every_route
from microclaw.interfaces.api.host import HostInfo

ALL: list[tuple[Access, str, str]] = [
    (access, route.split(" ")[0], route.split(" ")[1]) for access, route in every_route()
]
HEADS = [(access, "HEAD", path) for access, method, path in ALL if method == "GET"]
# Bodies that are signed or long, and an unknown language: tests/devices/ota and tests/agent/tasks have the real ones.
UNSEEN = {"POST /v1/firmware/releases", "POST /v1/rollouts", "POST /v1/tasks"}
TURNED_AWAY = {401, 403, 429}
DEVICE = "lamp"

# A body that would do something, by "METHOD path"; the others have none.
BODIES: dict[str, Any] = {
    "POST /v1/signin/code": {"code": "no-such-code"},
    "POST /v1/signin/password": {"name": "nobody", "password": "correct horse battery"},
    "POST /api/compile-wasm": {"name": "x.c", "source": "void on_init(void) {}"},
    "POST /v1/chat": {"text": "what can you do?"},
    "POST /v1/chat/{chat_id}/delivered": {"outbound_ids": [1]},
    "POST /v1/chat/completions": {"model": "microclaw", "messages": [{"role": "user", "content": "hello"}]},
    "POST /v1/tools/{name}": {"arguments": {}},
    "POST /v1/programs/check": {"source": "void on_init(void) {}"},
    "POST /v1/programs/try": {"source": "void on_init(void) {}", "for_ms": 100},
    "POST /v1/call": {"devices": [DEVICE], "method": "gpio.get", "arguments": {"pin": 2}},
    "POST /v1/devices/{device}/call": {"method": "gpio.get", "arguments": {"pin": 2}},
    "PATCH /v1/devices/{device}": {"name": "taken"},
    "PUT /v1/devices/{device}/labels": {"labels": ["taken"]},
    "PATCH /v1/devices/{device}/labels": {"labels": ["taken"]},
    "PUT /v1/devices/{device}/wiring": {"file": '[x]\npart = "led"\npin = 5'},
    "PATCH /v1/devices/{device}/wiring": {"add": ["x=led pin=5"]},
    "PATCH /v1/devices/{device}/parts/{part}": {"values": {"pressed": 1}},
    "POST /v1/devices/{device}/parts/{part}/do": {"verb": "press"},
    "POST /v1/devices/{device}/merge": {"other": "lamp-2"},
    "POST /v1/devices/{device}/notify": {"text": "hello"},
    "POST /v1/devices/{device}/apps": {"name": "x", "source": "void on_init(void) {}"},
    "POST /v1/apps": {"name": "x", "source": "void on_init(void) {}", "devices": [DEVICE]},
    "POST /v1/approvals/{approval_id}": {"approved": True},
    "PUT /v1/memory": {"text": "# Memory\n- taken over\n", "was": ""},
    "POST /v1/schedules": {"when": "every day at 08:00", "do": "say good morning"},
    "POST /v1/fleet/diff": {"programs": [], "devices": [DEVICE]},
    "POST /v1/fleet/apply": {"programs": [], "devices": [DEVICE], "digest": ""},
    "POST /v1/fleet/export": {},
    "POST /v1/apps/{name}/upgrade": {"source": "void on_init(void) {}", "devices": [DEVICE]},
    "POST /v1/devices/{device}/apps/{name}/upgrade": {"source": "void on_init(void) {}"},
    "POST /v1/devices/{device}/wifi": {"ssid": "taken"},
    "PUT /v1/firmware/payloads/{sha256}": {"offset": 0, "data": ""},
    "POST /v1/firmware/offers": {"release": "1", "devices": [DEVICE]},
    "POST /v1/voice/test": {"text": "hello"},
    "POST /v1/tasks": {"code": "print(1)", "language": "cobol"},
    "POST /v1/devices": {"name": "inner", "board": "virtual", "transports": ["virtual:/nowhere"]},
    "POST /v1/crashes/clear": {},
    "POST /v1/firmware/keys": {"public": "none", "name": "taken"},
    "POST /v1/people": {"name": "eve", "role": "owner"},
    "PATCH /v1/people/{name}": {"role": "owner"},
    "POST /v1/people/pair": {"code": "123456"},
    "PUT /v1/people/{name}/password": {"password": "correct horse battery"},
    "POST /v1/signin/links": {"person": "owner"},
    "POST /v1/tokens": {"name": "heir"},
    "POST /v1/devices/pair": {"code": "123456"},
    "POST /v1/devices/provision": {"name": "heir"},
}
REAL = {"name": DEVICE, "device": DEVICE, "switch": "stop", "act": "stop"}  # what a denied request would hit


class UnixConnection(HTTPConnection):
    """One to a control socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Column:
    """A caller: what it shows, and the access that it has. `csrf` None: it needs none; "" is one without."""

    name: str
    headers: dict[str, str]
    most: Access
    is_socket: bool = False
    is_wrong: bool = False
    lacks_csrf: bool = False

    def may(self, access: Access, method: str) -> bool:
        if self.is_wrong or (access is Access.SOCKET and not self.is_socket):
            return False
        if self.lacks_csrf and method not in ("GET", "HEAD") and access is not Access.OPEN:
            return False
        return access <= self.most or self.is_socket


class Matrix:
    def __init__(self, host: HostInfo, columns: list[Column]) -> None:
        self.host = host
        self.columns = columns

    def send(self, column: Column, method: str, path: str, filled: str) -> int:
        """The status alone: some answers never end."""
        connection: HTTPConnection
        if column.is_socket:
            connection = UnixConnection(self.host.settings.control_socket)
        else:
            address = urlsplit(str(self.host.http))
            connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
        body = BODIES.get(f"{method} {path}")
        if body is None and method in ("POST", "PUT", "PATCH"):
            body = {}
        if body is None:
            text = None
        else:
            text = json.dumps(body)
        try:
            connection.request(method, filled, text, {"Content-Type": "application/json", **column.headers})
            return connection.getresponse().status
        finally:
            connection.close()

    def state(self) -> str:
        """The host's state: every row of its store but times of use, and every file a person or device would miss."""
        with sqlite3.connect(f"file:{self.host.settings.database}?mode=ro", uri=True) as store:
            kept = [
                line for line in store.iterdump() if not re.match(r'INSERT INTO "?(sign_ins|person_tokens|usage)', line)
            ]
            ids = store.execute(
                "SELECT token_id FROM person_tokens UNION ALL SELECT sign_in_id FROM sign_ins"
            ).fetchall()
        memory = sorted((self.host.settings.home / "memory").rglob("*"))
        return "\n".join((*kept, repr(sorted(ids)), repr(memory)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Matrix]:
    settings = load_settings({}, home=tmp_path_factory.mktemp("matrix") / "home", http_port=0)
    async with running_host(replace(settings, voice=VoiceSettings())) as host:
        await host.devices.add(DEVICE, "virtual", ("virtual:/nowhere",))
        admission = host.admission
        roles: tuple[tuple[str, Role], ...] = (("rod", "read-only"), ("gus", "guest"), ("ada", "member"))
        for name, role in roles:
            await admission.people.add(name, role)
        tokens = {
            person.name: await admission.tokens.create(person.name, person.person_id)
            for person in admission.people.list()
        }
        scoped = {
            scope: await admission.tokens.create(f"{scope} of the owner", "owner", scope=scope)
            for scope in ("read", "chat", "act")
        }
        code = await admission.sign_ins.new_code()
        opened = await admission.sign_ins.with_code(code, address="127.0.0.1", agent="test")
        assert opened is not None
        cookie = {"Cookie": f"microclaw-{urlsplit(str(host.http)).port}={opened.secret}"}

        def bearer(secret: str) -> dict[str, str]:
            return {"Authorization": f"Bearer {secret}"}

        yield Matrix(
            host,
            [
                Column("nobody", {}, Access.OPEN),
                Column("a wrong token", bearer("mc_wrong"), Access.OPEN, is_wrong=True),
                Column("an ended session", {"Cookie": cookie["Cookie"] + "x"}, Access.OPEN),
                Column("read-only", bearer(tokens["rod"]), Access.LOOK),
                Column("guest", bearer(tokens["gus"]), Access.ASK),
                Column("member", bearer(tokens["ada"]), Access.ACT),
                Column("owner", bearer(tokens["owner"]), Access.OWN),
                Column("owner, scope read", bearer(scoped["read"]), Access.LOOK),
                Column("owner, scope chat", bearer(scoped["chat"]), Access.ASK),
                Column("owner, scope act", bearer(scoped["act"]), Access.ACT),
                Column("owner's session without its word", cookie, Access.OWN, lacks_csrf=True),
                Column("owner's session", {**cookie, "Microclaw-CSRF": csrf_token(opened.secret)}, Access.OWN),
                Column("control socket", {}, Access.OWN, is_socket=True),
            ],
        )


pytestmark = pytest.mark.asyncio(loop_scope="module")


def filled(path: str, value: Callable[[str], str]) -> str:
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: value(found[1]), path)


async def test_a_newline_behind_a_path_opens_nothing() -> None:
    for _, method, path in ALL:
        assert access_of(method, f"{path}\n") is Access.SOCKET


async def test_every_route_has_a_row_and_every_row_a_route(matrix: Matrix) -> None:
    client = Client(matrix.host.settings.control_socket)
    paths = (await asyncio.to_thread(client.get, "/api/openapi.json"))["paths"]
    there = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    rows = []
    for _, method, path in ALL:
        # MCP describes itself, and what is at a program's pages the program says.
        if path != "/mcp" and path not in PAGE_PATHS:
            rows.append(f"{method} {path.replace(':path', '')}")
    assert sorted(rows) == sorted(there)


async def test_who_may_not_is_turned_away_and_nothing_happens(matrix: Matrix) -> None:
    before = matrix.state()
    wrong = []
    for access, method, path in (*ALL, *HEADS):
        real = filled(path, lambda name: REAL.get(name, "1"))
        if "/people/{name}" in path:
            real = path.replace("{name}", "ada")
        if "/tokens/{name}" in path:
            real = path.replace("{name}", "ada")
        for column in matrix.columns:
            if not column.may(access, method):
                status = await asyncio.to_thread(matrix.send, column, method, path, real)
                if status not in TURNED_AWAY:
                    wrong.append((column.name, method, path, status))
    assert wrong == []
    assert matrix.state() == before


async def test_who_may_is_not_turned_away(matrix: Matrix) -> None:
    wrong = []
    malformed = set()
    last = ("/v1/signout",)  # it ends the session
    for access, method, path in sorted((*HEADS, *ALL), key=lambda row: row[2] in last):
        nowhere = filled(path, lambda name: {"switch": "stop", "act": "stop", "sha256": "0" * 64}.get(name, "99"))
        nowhere += {"/v1/memory/search": "?q=words", "/v1/firmware/manifest": "?board=none"}.get(path, "")
        for column in matrix.columns:
            if column.may(access, method):
                status = await asyncio.to_thread(matrix.send, column, method, path, nowhere)
                if status == 422:
                    malformed.add(f"{method} {path}")
                answers_401 = path in ("/v1/signin/code", "/v1/signin/password")  # a wrong code is 401 for everybody
                no_session = path == "/v1/signout" and "session" not in column.name  # 403: there is nothing to end
                if status == 500 or (status in TURNED_AWAY and not answers_401 and not no_session):
                    wrong.append((column.name, method, path, status))
    assert wrong == []
    assert malformed <= UNSEEN  # what is not read far enough proves less


async def test_an_automation_has_no_way_in_over_http(matrix: Matrix) -> None:
    assert matrix.host.admission.people.get(MQTT.person_id) is None
    with pytest.raises(UnknownName):
        await matrix.host.admission.tokens.create("mqtt", MQTT.person_id)
    with pytest.raises(UnknownName):
        await matrix.host.admission.sign_ins.new_code(MQTT.person_id)


async def test_the_strictest_of_several_rows_counts() -> None:
    assert access_of("POST", "/v1/rollouts/1/undo") is Access.OWN
    assert access_of("HEAD", "/v1/devices") is Access.LOOK
    assert access_of("GET", "/v1/models/a/b") is Access.ASK
    assert access_of("GET", "/v1/devices/a/b/c/d") is None
    assert access_of("POST", "/v1/devices/\n/call") is Access.ASK
    assert sorted(ACCESS_BY_ROLE.values()) == [Access.LOOK, Access.ASK, Access.ACT, Access.OWN]
