"""On a running host: a trial ends with its caller's token, and slow bodies of a guest keep nobody else out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from tests.interfaces.api.people_host import BLINK, PeopleHost, people_host

from microclaw.interfaces.api.asgi_apps import REQUESTS_OF_ADDRESS, REQUESTS_OF_PERSON
from microclaw.interfaces.api.server import MAX_CONNECTIONS

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLOW = MAX_CONNECTIONS + 6
TIMEOUT_S = 60


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path_factory.mktemp("long") / "home", {"MICROCLAW_LIMITS__BODY_S": "10"}) as running:
        yield running


@pytest.mark.parametrize(
    ("who", "path", "most"), [("gus", "/v1/chat", REQUESTS_OF_PERSON), (None, "/v1/signin/code", REQUESTS_OF_ADDRESS)]
)
async def test_slow_bodies_keep_nobody_else_out_and_are_refused_in_the_form_of_all_errors(
    host: PeopleHost, who: str | None, path: str, most: int
) -> None:
    held = [await host.begun(who, path, b"{", 1_000) for _ in range(SLOW)]
    try:
        for _ in range(3):
            assert (await host.ask("owner", "GET", "/v1/status"))[0] == 200
            assert (await host.ask("ada", "GET", "/v1/devices"))[0] == 200
        refused = 0
        async with asyncio.timeout(TIMEOUT_S):
            for reader, _ in held:
                answer = await reader.read()
                head, _, body = answer.partition(b"\r\n\r\n")
                status = int(head.split()[1])
                code = json.loads(body)["error"]["code"]
                assert (status, code) in ((503, "overloaded"), (408, "timeout")), answer
                refused += status == 503
        assert refused >= SLOW - most
    finally:
        for _, writer in held:
            writer.transport.abort()


async def test_a_trial_ends_when_the_token_that_asked_for_it_is_removed(host: PeopleHost) -> None:
    fast = BLINK.replace("every(100,", "every(1,")
    body = json.dumps({"source": fast, "for_ms": 3_600_000}).encode()
    reader, writer = await host.begun("gus", "/v1/programs/try", body)
    async with asyncio.timeout(TIMEOUT_S):
        while b'"running"' not in (line := await reader.readline()):
            assert b'"failure"' not in line, line
        await asyncio.to_thread(host.client.delete, "/v1/tokens/gus")
        with suppress(ConnectionResetError):
            rest = await reader.read()
            assert b'"result"' not in rest
        jobs = [one for one in asyncio.all_tasks() if one.get_name().startswith("job:")]
        if jobs:
            await asyncio.wait(jobs)
    writer.close()
