"""Both clients against a real host with a virtual board, as a maker's script calls it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.api.people_host import PeopleHost, people_host

from microclaw.apps.device_operations import add_device, list_devices, remove
from microclaw.auth import questions
from microclaw.errors import NoHost
from microclaw.events import ApprovalAsked
from microclaw.operations.client import AsyncClient, Client
from microclaw.operations.connection import HostError

WITHIN_S = 120.0
BOARD = "virtual-1"
pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "async"]),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PeopleHost]:
    async with people_host(tmp_path_factory.mktemp("client") / "home") as running:
        yield running


async def done(call: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """The result of a client's method; one that blocks runs beside the host, which is in this process."""
    async with asyncio.timeout(WITHIN_S):
        if isinstance(call.__self__, AsyncClient):  # type: ignore[attr-defined]
            return await call(*given, **named)
        return await asyncio.to_thread(call, *given, **named)


async def test_what_a_member_may_not_do_alone_is_asked_and_decided(host: PeopleHost, kind: Any) -> None:
    """With `ask` the question comes to the script; an owner's yes lets the act go on."""
    asked: list[str] = []
    owner = kind(host.settings.control_socket)

    async def answered(question: ApprovalAsked) -> None:
        asked.append(question.text)
        (waiting,) = (await done(owner.call, questions.list_approvals)).approvals
        assert waiting.approval_id == question.approval_id
        await done(owner.call, questions.decide, approval_id=question.approval_id, approved=len(asked) > 1, wait_s=0)

    def ask(_client: Any, question: ApprovalAsked) -> Any:
        return answered(question) if kind is AsyncClient else asyncio.run(answered(question))

    await done(owner.call, add_device, name="shed", board="virtual", transports=["wasmachine://127.0.0.1:9"])
    ada = kind(host.http, token=host.secrets["ada"], ask=ask)
    with pytest.raises(HostError) as caught:
        await done(ada.call, remove, device="shed")
    assert caught.value.code == "permission_refused"
    assert (await done(ada.call, remove, device="shed")).removed == "shed"
    assert len(asked) == 2


async def test_a_host_that_stops_ends_the_events_and_then_every_call(tmp_path: Path, kind: Any) -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def read(client: Client) -> None:
        for event in client.events(edges=[BOARD], reconnect_s=0.0):
            if event.kind == "edges":
                loop.call_soon_threadsafe(begun.set)

    async def read_async(client: AsyncClient) -> None:
        async for event in client.events(edges=[BOARD], reconnect_s=0.0):
            if event.kind == "edges":
                begun.set()

    async with people_host(tmp_path / "home") as host:
        client = kind(host.settings.control_socket)
        work = read_async(client) if kind is AsyncClient else asyncio.to_thread(read, client)
        reading = asyncio.create_task(work, name="reads events")
        async with asyncio.timeout(WITHIN_S):
            await begun.wait()
    with pytest.raises(NoHost):
        async with asyncio.timeout(WITHIN_S):
            await reading
    with pytest.raises(NoHost) as caught:
        await done(client.call, list_devices)
    assert caught.value.code == "no_host"
