"""A host in this process with a virtual board, four people and a token for each. Holds no test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from tests.interfaces.api.answer_forms import AnswerForms
from tests.stores import new_store

from microclaw.app import running_host
from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.virtual_boards.process import VirtualBoardProcess
from microclaw.host.auth.people import People
from microclaw.host.auth.tokens import PersonTokens
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import AgentSettings, Settings
from microclaw.host.operations.client import Client
from microclaw.host.store.database import Database
from microclaw.host.store.people import PeopleTable, Person, PersonTokenTable
from microclaw.wire.host_api import StreamEvent, decode_event

DOCUMENT = "/api/openapi.json"
BLINK = """
#include "microclaw.h"
static int led;
static void tick(void) { gpio_toggle(led); }
void on_init(void) { led = gpio_open(2, GPIO_OUT); every(100, tick); }
"""


@dataclass(frozen=True)
class PeopleHost:
    """`secrets` has a token for owner, ada (member), bob (member) and gus (guest)."""

    settings: Settings
    http: str
    secrets: Mapping[str, str]
    devices: Registry

    @property
    def client(self) -> Client:
        """The owner's, on the control socket."""
        return Client(self.settings.control_socket)

    @property
    def device(self) -> Device:
        return self.devices.get("virtual-1")

    async def kept(self, channel: str) -> list[str]:
        """The names of the channel's conversations."""
        found = (await self.socket("GET", "/v1/sessions"))["sessions"]
        return [one["name"] for one in found if one["name"].startswith(f"{channel}_")]

    async def ask(
        self, who: str | None, method: str, path: str, body: Mapping[str, Any] | None = None, *, waits: bool = True
    ) -> tuple[int, Any]:
        """Status and JSON answer of one request to the API; an answer has the fields of the OpenAPI document."""
        status, content = await asyncio.to_thread(self._ask, who, method, path, body, waits=waits)
        answer = json.loads(content)
        if status < 300 and path != DOCUMENT:
            (await asyncio.to_thread(AnswerForms.of, self._document)).check(method, path, status, answer)
        return status, answer

    async def stream(self, who: str, path: str, body: Mapping[str, Any], method: str = "POST") -> list[StreamEvent]:
        status, content = await asyncio.to_thread(self._ask, who, method, path, body)
        assert status == 200, content
        return [decode_event(line) for line in content.splitlines()]

    async def socket(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of one request of the owner on the control socket."""
        client = self.client
        if method == "GET":
            act = client.get
        else:
            act = partial(client.post, body=body)
        answer: dict[str, Any] = await asyncio.to_thread(act, path)
        if path != DOCUMENT:
            (await asyncio.to_thread(AnswerForms.of, self._document)).check(method, path, None, answer)
        return answer

    async def begun(
        self, who: str | None, path: str, body: bytes, length: int | None = None, *more: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection of a POST whose head says `length`; the body is written as far as it is given."""
        address = urlsplit(self.http)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        lines = [f"POST {path} HTTP/1.1", f"Host: {address.netloc}", "Content-Type: application/json", *more]
        if who is not None:
            lines.append(f"Authorization: Bearer {self.secrets[who]}")
        lines += [f"Content-Length: {len(body) if length is None else length}", "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        return reader, writer

    async def waiting(self, count: int = 1) -> list[dict[str, Any]]:
        """The questions that wait, once there are so many."""
        async with asyncio.timeout(60):
            while True:
                found: list[dict[str, Any]] = (await self.socket("GET", "/v1/approvals"))["approvals"]
                if len(found) >= count:
                    return found

    async def apps(self) -> list[str]:
        return [app["name"] for app in (await self.socket("GET", "/v1/apps"))["apps"]]

    def _document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._ask("owner", "GET", DOCUMENT, None)[1])
        return found

    def _ask(
        self, who: str | None, method: str, path: str, body: Mapping[str, Any] | None, *, waits: bool = True
    ) -> tuple[int, bytes]:
        address = urlsplit(self.http)
        headers = {"Content-Type": "application/json", **({"Prefer": "wait=60"} if waits else {})}
        if who is not None:
            headers["Authorization"] = f"Bearer {self.secrets.get(who, who)}"
        connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


@asynccontextmanager
async def people_host(
    home: Path,
    environ: Mapping[str, str] | None = None,
    agent: AgentSettings | None = None,
    clock: Literal["real", "virtual"] = "real",
) -> AsyncIterator[PeopleHost]:
    """`clock` is the board's: on the virtual one its time passes only by requests to advance."""
    settings = replace(load_settings(environ or {}, home=home, http_port=0), agent=agent or AgentSettings())
    secrets = await _people_and_tokens(settings)
    async with VirtualBoardProcess(clock=clock) as board, running_host(settings) as host:
        await host.devices.add("virtual-1", "virtual", board.ready.transports)
        assert host.http is not None
        yield PeopleHost(settings, host.http, secrets, host.devices)


async def _people_and_tokens(settings: Settings) -> dict[str, str]:
    async with Database.open(new_store(settings.database)) as database:
        table = PeopleTable(database)
        for name in ("ada", "bob", "gus"):
            await table.put(Person(f"p-{name}", name, "guest" if name == "gus" else "member"), 1)
        people = await People.open(database)
        tokens = PersonTokens(PersonTokenTable(database), people)
        return {person.name: await tokens.create(person.name, person.person_id) for person in people.list()}
