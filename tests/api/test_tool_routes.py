"""A client of POST /v1/tools leaves: what has changed nothing ends, what has begun is finished; both are recorded."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest
from tests.api.people_host import BLINK, PeopleHost

from microclaw.events import ApprovalAsked
from microclaw.wire.host_api import Result, decode_event

pytestmark = pytest.mark.asyncio(loop_scope="module")


@asynccontextmanager
async def calling(
    host: PeopleHost, tool: str, arguments: dict[str, object], *, who: str = "owner", foreign: bool = False
) -> AsyncIterator[asyncio.StreamReader]:
    """A call over a connection of its own; leaving the block closes it."""
    body = json.dumps({"arguments": arguments, "foreign": foreign}).encode()
    reader, writer = await host.begun(who, f"/v1/tools/{tool}", body)
    try:
        async with asyncio.timeout(60):
            yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def ended(host: PeopleHost, app: str) -> str:
    """The state in the journal of the call that was to install `app`, once it has ended."""
    query = "SELECT state FROM effects WHERE arguments LIKE ? AND state NOT IN ('planned', 'started')"
    with closing(sqlite3.connect(f"file:{host.settings.database}?mode=ro", uri=True)) as database:
        async with asyncio.timeout(60):
            while True:
                for (state,) in database.execute(query, (f'%"appName": "{app}"%',)):
                    return str(state)
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("awaits", "state", "installed"), [("HTTP/1.1 200", "dropped", False), ('"stage":"deploy"', "done", True)]
)
async def test_a_client_that_leaves_ends_its_call_before_the_effect_and_not_in_it(
    host: PeopleHost, awaits: str, state: str, installed: bool
) -> None:
    app = f"left{installed:d}"
    arguments: dict[str, object] = {"sourceCode": f"{BLINK}// {app}", "appName": app}
    async with calling(host, "deploy-wasm-app", arguments) as reader:
        while awaits.encode() not in (line := await reader.readline()):
            assert line
    assert await ended(host, app) == state
    assert (app in await host.apps()) == installed


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("uninstall-wasm-app", {"appName": "nobody"}),
        ("uninstall-wasm-app", {"appName": "nobody", "device": "nowhere"}),
        ("undo", {}),
        ("undo", {"change": 999_999}),
        ("gpio-set", {"pin": 200, "level": 1}),
        ("pwm-set", {"pin": 200, "duty": 1}),
        ("deploy-wasm-app", {"sourceCode": "no C", "appName": "x"}),
        ("schedule-add", {"when": "2001-01-01 10:00", "do": "turn on pin 4"}),
        ("schedule-add", {"when": "in 2 hours", "tool": "nothing", "arguments": {}}),
        ("schedule-remove", {"schedule": 99}),
        ("delete-file", {"path": "nothing.txt"}),
        ("delete-file", {"path": "../nothing.txt"}),
        ("write-file", {"path": ".hidden", "text": "x"}),
        ("write-file", {"path": "big.txt", "text": "\u00e4" * 200_000}),
        ("remember", {"text": "x", "device": "nowhere"}),
        ("remember", {"text": "  "}),
        ("say", {"text": "x", "person": "nobody"}),
        ("say", {"text": "x", "person": "bob"}),
        ("subagent-start", {"task": "x", "tools": ["nothing"]}),
        ("subagent-cancel", {"subagent": "nothing"}),
    ],
)
async def test_what_is_refused_anyway_is_not_asked_for(
    host: PeopleHost, tool: str, arguments: dict[str, object]
) -> None:
    async with calling(host, tool, arguments, who="ada", foreign=True) as reader:
        while True:
            line = await reader.readline()
            assert line
            event = decode_event(line) if line.startswith(b"{") else None
            assert not isinstance(event, ApprovalAsked), event
            if isinstance(event, Result):
                assert not event.value["ok"]
                return
