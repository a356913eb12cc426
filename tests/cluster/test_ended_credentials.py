"""A token that was ended at one host, shown at another: at once, while it is cut off, and afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send
from tests.cluster.hosts_of_tests import wire_to

from microclaw.api.caller import BearerAuth
from microclaw.audit import no_record
from microclaw.auth.admission import Admission, open_admission
from microclaw.config.load import load_settings
from microclaw.errors import StoreUnreachable
from microclaw.store.devices import DeviceRow, DeviceTable
from microclaw.store.postgres import SharedDatabase


class Host:
    """What lets people in at a host, in front of a route that adds a device and one that reads."""

    def __init__(self, admission: Admission, database: SharedDatabase) -> None:
        self.admission = admission
        self.devices = DeviceTable(database)
        self._bearer = BearerAuth(inside=self._route, outside=None, tokens=admission.tokens)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if Request(scope).method == "POST":
            await self.devices.put(DeviceRow("lamp", "lamp", "virtual"))
        await JSONResponse({})(scope, receive, send)

    async def ask(self, method: str, secret: str) -> int:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {secret}".encode())]
        scope = {"type": "http", "method": method, "path": "/v1/devices", "headers": headers, "client": ("here", 1)}
        await self._bearer(scope, receive, send)
        return int(sent[0]["status"])


@asynccontextmanager
async def host_at(url: str, folder: Path, name: str) -> AsyncIterator[Host]:
    async with SharedDatabase.opened(url, name) as database:
        yield Host(await open_admission(load_settings({}, home=folder), database, no_record), database)


async def test_an_ended_token_changes_nothing_at_another_host(database_url: str, tmp_path: Path) -> None:
    async with (
        wire_to(database_url) as wire,
        host_at(database_url, tmp_path, "east") as east,
        host_at(wire.url, tmp_path, "west") as west,
    ):
        secrets = [await east.admission.tokens.create(name, "owner") for name in ("first", "second", "other")]
        first, second, other = secrets
        assert [await west.ask("POST", secret) for secret in secrets] == [200] * 3, "one that was just made is good"
        await west.devices.delete("lamp")
        await east.admission.tokens.remove("first")
        assert await west.ask("POST", first) == 401, "at once, whatever came in of the news"
        wire.cut()
        await east.admission.tokens.remove("second")
        for secret in (second, other):
            with pytest.raises(StoreUnreachable):
                await west.ask("POST", secret)
        await wire.mend()
        assert await west.ask("POST", second) == 401
        assert await west.ask("GET", second) == 401
        assert await east.devices.list() == ()
        assert await west.ask("POST", other) == 200
