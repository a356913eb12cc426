"""Requests between hosts over HTTPS: who may ask, how much, and all that goes over them."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import msgspec
import pytest
from aiohttp import ClientError, ClientSession, TCPConnector
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.devices.link.conftest import Published
from tests.host.cluster.hosts import host_in
from tests.host.store.two_hosts import until

from microclaw.devices.registry import remote_calls
from microclaw.devices.registry.calls import AppInstall, Call, EdgeLog, EdgesRead, GpioGet, GpioSet, WifiSet
from microclaw.devices.registry.remote_calls import DeviceCalls, RemoteCalls
from microclaw.errors import (
    DeviceTimeout,
    InstallInterrupted,
    OutcomeUnknown,
    Overloaded,
    ProtocolError,
    StoreError,
    UnknownName,
)
from microclaw.events import LIVE_EVENTS, Alarm, Edge, LiveEvent
from microclaw.hardware.boards import load_board
from microclaw.host.auth.certificates import HOSTS_NAME, KeyPair, device_certificate, host_certificate, new_authority
from microclaw.host.cluster.hosts import Hosts
from microclaw.host.cluster.live_events import MAX_WAITING, LiveEvents
from microclaw.host.cluster.payload_rows import PIECE, SharedFiles
from microclaw.host.cluster.requests import MAX_MESSAGE, HostGone, HostRequests
from microclaw.host.config.settings import Limits
from microclaw.host.store.postgres import SharedDatabase
from microclaw.interfaces.api.caller import Caller
from microclaw.interfaces.api.job_routes import JobService
from microclaw.interfaces.api.jobs import Feed, Jobs
from microclaw.interfaces.api.pending_requests import WaitingRequests
from microclaw.wire.host_api import StreamEvent

AUTHORITY = new_authority(datetime.now(UTC))
LAST = Alarm("", 1, "last", "")


@dataclass
class Member:
    database: SharedDatabase
    hosts: Hosts
    requests: HostRequests

    async def answers(self, what: str, message: object = b"", kind: Any = bytes) -> list[Any]:
        async with asyncio.timeout(60), aclosing(self.requests.ask("b-0001", what, message, kind)) as answers:
            return [one async for one in answers]


@pytest.fixture
async def members(database_url: str, tmp_path: Path) -> AsyncIterator[tuple[Member, Member]]:
    """The hosts a and b."""
    made = list[Member]()
    places = dict[str, str]()
    async with AsyncExitStack() as stack:
        for host_id in ("a-0001", "b-0001"):
            joining = host_in(database_url, host_id, calls=lambda host_id=host_id: places.get(host_id))  # type: ignore[misc]
            database, hosts = await stack.enter_async_context(joining)
            requests = HostRequests(hosts)
            places[host_id] = await stack.enter_async_context(requests.serving(AUTHORITY, "127.0.0.1", 0, tmp_path))
            made.append(Member(database, hosts, requests))
        for one in made:
            await until(lambda hosts=one.hosts: {f.calls for f in hosts.live.values()} == set(places.values()))  # type: ignore[misc]
        yield made[0], made[1]


async def test_answers_come_as_they_are_made_and_errors_and_what_is_over_the_limit_are_told(
    members: tuple[Member, Member],
) -> None:
    a, b = members
    left = asyncio.Event()

    async def count(body: bytes) -> AsyncGenerator[object, None]:
        try:
            for number in range(1_000_000):
                yield body + b"%d" % number
                await asyncio.sleep(0)
        finally:
            left.set()

    async def echo(body: bytes) -> AsyncGenerator[object, None]:
        if body == b"fail":
            raise OutcomeUnknown("cut off", next_step="look")
        if body == b"break":
            raise LookupError("a secret")
        yield body * 3

    b.requests.answer("count", bytes, count, is_stream=True)
    b.requests.answer("echo", bytes, echo)
    async with aclosing(a.requests.ask("b-0001", "count", b"n", bytes)) as some:
        assert [await anext(some) for _ in range(3)] == [b"n0", b"n1", b"n2"]
    await asyncio.wait_for(left.wait(), 60)  # it ends with who asks
    with pytest.raises(HostGone) as gone:
        await anext(a.requests.ask("nobody", "echo", b"", bytes))
    assert gone.value.unsent
    for message, step, text in ((b"fail", "look", "cut off"), (b"break", "", "")):
        with pytest.raises(OutcomeUnknown) as unknown:
            await a.answers("echo", message)
        assert (step or "") in (unknown.value.next_step or "")
        assert text in unknown.value.message
        assert "secret" not in unknown.value.message
    refused = [("nothing", b""), ("echo", b"x" * (MAX_MESSAGE + 1)), ("echo", b"x" * (MAX_MESSAGE // 2)), ("echo", 5)]
    for what, given in refused:
        with pytest.raises(ProtocolError):
            await a.answers(what, given)
    body = b"x" * 1_500_000
    assert await a.answers("echo", body) == [body * 3]


async def test_a_devices_certificate_and_none_open_nothing(members: tuple[Member, Member], tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def note(body: bytes) -> AsyncGenerator[object, None]:
        asked.append(body)
        yield body

    members[1].requests.answer("note", bytes, note)
    key = ec.generate_private_key(ec.SECP256R1())
    device = KeyPair(key, device_certificate(AUTHORITY, key.public_key(), "d-0123abcd", datetime.now(UTC)))
    other = host_certificate(new_authority(datetime.now(UTC)), "west")
    own = tmp_path / "own.pem"
    url = f"https://{members[0].hosts.live['b-0001'].calls}/note"
    found: list[int | str] = []
    for shown in (None, other, device, host_certificate(AUTHORITY, "x")):
        context = ssl.create_default_context(cadata=AUTHORITY.certificate.public_bytes(Encoding.PEM).decode())
        if shown is not None:
            own.write_bytes(shown.to_pem())
            context.load_cert_chain(own)
        async with ClientSession(connector=TCPConnector(ssl=context)) as session:
            try:
                async with session.post(url, data=msgspec.msgpack.encode(b"x"), server_hostname=HOSTS_NAME) as answer:
                    found.append(answer.status)
            except ClientError:
                found.append("refused")
    assert found == ["refused", "refused", 403, 200]
    assert asked == [b"x"], "by a host alone"


@dataclass
class Lamp:
    """A device of b that answers with `outcome`."""

    outcome: object = None
    asked: tuple[str, Call[Any]] | None = None
    board: object = load_board("virtual")
    name: str = "lamp"

    async def ask(self, endpoint: str, call: Call[Any], _timeout_s: float, *, here: bool) -> object:
        self.asked = (endpoint, call)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, asyncio.Event):
            await self.outcome.wait()
        return self.outcome


def lamp_of(members: tuple[Member, Member]) -> tuple[Lamp, RemoteCalls]:
    lamp = Lamp()
    owner = lambda endpoint: cast("Any", lamp) if endpoint == "link:d-1" else None  # noqa: E731
    DeviceCalls(members[1].requests, owner, Counter())
    return lamp, RemoteCalls(members[0].requests, owner)


async def test_errors_come_as_they_went_and_no_more_calls_than_a_host_serves(
    members: tuple[Member, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    lamp, remote = lamp_of(members)
    lamp.outcome = InstallInterrupted("é", outcome="listed", next_step="look", silent=True)
    with pytest.raises(InstallInterrupted) as caught:
        await remote.call("b-0001", "link:d-1", AppInstall("blink", bytes(range(256)), kind="py", every_ms=5), 60)
    assert vars(caught.value) == vars(lamp.outcome)
    assert lamp.asked == ("link:d-1", AppInstall("blink", bytes(range(256)), kind="py", every_ms=5))
    lamp.outcome = EdgeLog((Edge(0.5, 4, 1), Edge(1.0, 4, 0)), 2, 0, 9.0)
    assert await remote.call("b-0001", "link:d-1", EdgesRead(2**52), 60) == lamp.outcome
    lamp.outcome = asyncio.Event()
    calls: dict[Call[Any], type[Exception]] = {GpioSet(4, 1): DeviceTimeout, WifiSet("x"): OutcomeUnknown}
    for call, error in calls.items():
        with pytest.raises(error):
            await remote.call("b-0001", "link:d-1", call, 0.3)
    asking = asyncio.create_task(remote.call("b-0001", "link:d-1", EdgesRead(7), 60))
    await until(lambda: lamp.asked == ("link:d-1", EdgesRead(7)))
    monkeypatch.setattr(remote_calls, "MAX_RUNNING", 1)
    with pytest.raises(Overloaded):
        await remote.call("b-0001", "link:d-1", GpioGet(4), 60)
    asking.cancel()
    await asyncio.wait((asking,))
    lamp.outcome.set()


async def test_a_request_is_found_and_cancelled_at_any_host_and_unknown_only_when_all_have_said_so(
    members: tuple[Member, Member],
) -> None:
    ended = list[str]()
    async with asyncio.TaskGroup() as group:
        here, there = (Jobs(group, Limits()) for _ in members)
        first, second = (Caller("p-1", direct=False, source=f"token-{number}") for number in (1, 2))
        service = JobService(here, WaitingRequests(), members[0].requests, lambda: ended)
        for act in (service.find(second, "77"), service.cancel(second, "5")):
            with pytest.raises(Overloaded):  # b does not answer such questions
                await act
        JobService(there, WaitingRequests(), members[1].requests)
        with pytest.raises(UnknownName, match=r"has that number$"):
            await service.find(second, "77")
        ended.append("c")
        with pytest.raises(UnknownName, match="at c, which stopped"):
            await service.find(second, "77")

        async def work(_feed: Feed) -> StreamEvent:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        there.start("waits", work, by=replace(first, request="5"), cancellable=True)
        assert await service.cancel(first, "5") == "cancelled"


def _example(kind: type[LiveEvent]) -> LiveEvent:
    values: dict[Any, Any] = {str: "é", int: 7, bool: True}
    hints = get_type_hints(kind)
    fields = {}
    for name in kind.__struct_fields__:
        hint = hints[name]
        fields[name] = get_args(hint)[0] if get_origin(hint) is Literal else values[hint]
    return kind(**fields)


async def test_every_kind_of_live_event_comes_to_the_other_host_and_not_back(members: tuple[Member, Member]) -> None:
    told = [_example(kind) for kind in LIVE_EVENTS]
    own = Published()
    got = Published()
    counts = Counter[str](), Counter[str]()
    first, second = (
        LiveEvents(m.requests, m.hosts, one.add, count)
        for m, one, count in zip(members, (own, got), counts, strict=True)
    )
    async with first.serving(), second.serving():
        await until(lambda: first._readers and second._readers)
        for event in (*told, LAST):
            first.share(event)
        while await got.until(LiveEvent) != LAST:
            pass
        second.share(LAST)
        assert await own.until(LiveEvent) == LAST
        assert not own
        here, there = counts
        assert there["events_taken"] == len(told) + 1
        for _ in range(MAX_WAITING + 5):  # in one go: nobody reads meanwhile
            first.share(LAST)
        assert here["events_dropped"] >= 4


async def test_a_payload_that_one_host_took_is_fetched_whole_by_another(
    members: tuple[Member, Member], tmp_path: Path
) -> None:
    here = tmp_path / "here"
    there = tmp_path / "there"
    here.write_bytes(bytes(range(256)) * (PIECE // 200))
    name = hashlib.sha256(here.read_bytes()).hexdigest()
    await SharedFiles(members[0].database).put(name, here)
    await SharedFiles(members[1].database).fetch(name, there)
    assert there.read_bytes() == here.read_bytes()
    await members[0].database.write(lambda sql: sql.execute("DELETE FROM payloads WHERE piece = 1"))
    with pytest.raises(StoreError):
        await SharedFiles(members[1].database).fetch(name, tmp_path / "half")
    assert not (tmp_path / "half").exists()
