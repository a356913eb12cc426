"""Requests between hosts over HTTPS: who may ask, how much, and all that goes over them."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_type_hints

import msgspec
import pytest
from aiohttp import ClientError, ClientSession, TCPConnector
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.cluster.hosts import host_in
from tests.link_server.conftest import Published
from tests.store.two_hosts import until

from microclaw.api.jobs import Feed, Jobs
from microclaw.api.requests_elsewhere import RequestsElsewhere
from microclaw.api.waiting import KeptRequest, WaitingRequests
from microclaw.auth.approvals import Approvals
from microclaw.auth.certificates import HOSTS_NAME, KeyPair, device_certificate, host_certificate, new_authority
from microclaw.auth.people import OwnerAlone
from microclaw.boards import load_board
from microclaw.cluster import remote_calls
from microclaw.cluster.files import PIECE, SharedFiles
from microclaw.cluster.hosts import Hosts
from microclaw.cluster.live_events import MAX_WAITING, LiveEvents
from microclaw.cluster.questions import ClusterQuestions
from microclaw.cluster.remote_calls import CallRequest, DeviceCalls, RemoteCalls
from microclaw.cluster.requests import MAX_MESSAGE, HostGone, HostRequests
from microclaw.config.settings import Limits
from microclaw.devices.calls import (
    AppInstall,
    AppReply,
    AppRequest,
    AppRuns,
    AppState,
    AppStates,
    Call,
    DeviceFacts,
    EdgeLog,
    EdgesRead,
    GpioGet,
    GpioSet,
    LogLine,
    LogPage,
    LogsRead,
    WifiSet,
)
from microclaw.errors import (
    DeviceLied,
    DeviceTimeout,
    InstallInterrupted,
    MicroclawError,
    OutcomeUnknown,
    Overloaded,
    ProtocolError,
    StoreError,
    UnknownName,
)
from microclaw.events import LIVE_EVENTS, Alarm, Edge, LiveEvent
from microclaw.store.postgres import SharedDatabase
from microclaw.wire.host_api import Failure, StreamEvent

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
    made, places = list[Member](), dict[str, str]()
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


async def echo(body: bytes) -> AsyncGenerator[object, None]:
    yield body * 3


async def test_answers_come_as_they_are_made_and_end_with_who_asks(members: tuple[Member, Member]) -> None:
    a, b = members
    left = asyncio.Event()

    async def count(body: bytes) -> AsyncGenerator[object, None]:
        try:
            for number in range(1_000_000):
                yield body + b"%d" % number
                await asyncio.sleep(0)
        finally:
            left.set()

    b.requests.answer("count", bytes, count, is_stream=True)
    b.requests.answer("echo", bytes, echo)
    async with aclosing(a.requests.ask("b-0001", "count", b"n", bytes)) as some:
        assert [await anext(some) for _ in range(3)] == [b"n0", b"n1", b"n2"]
    await asyncio.wait_for(left.wait(), 60)
    body = b"x" * 1_500_000
    assert await a.answers("echo", body) == [body * 3]
    with pytest.raises(HostGone) as gone:
        await anext(a.requests.ask("nobody", "echo", b"", bytes))
    assert gone.value.unsent


async def test_errors_and_what_is_over_the_limit_are_told(members: tuple[Member, Member]) -> None:
    a, b = members

    async def fails(_: bytes) -> AsyncGenerator[object, None]:
        yield b"begun"
        raise OutcomeUnknown("cut off", next_step="look")

    async def breaks(_: bytes) -> AsyncGenerator[object, None]:
        raise LookupError("a secret")
        yield b""

    for what, work in (("echo", echo), ("fails", fails), ("breaks", breaks)):
        b.requests.answer(what, bytes, work)
    with pytest.raises(OutcomeUnknown) as unknown:
        await a.answers("fails")
    assert unknown.value.next_step == "look"
    with pytest.raises(OutcomeUnknown) as broken:
        await a.answers("breaks")
    assert "secret" not in broken.value.message
    refused = [("nothing", b""), ("echo", b"x" * (MAX_MESSAGE + 1)), ("echo", b"x" * (MAX_MESSAGE // 2)), ("echo", 5)]
    for what, message in refused:
        with pytest.raises(ProtocolError):
            await a.answers(what, message)
    with pytest.raises(ProtocolError):
        await a.answers("echo", b"on", str)
    assert await a.answers("echo", b"on") == [b"ononon"]


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

    async def ask_here(self, endpoint: str, call: Call[Any], _timeout_s: float) -> object:
        self.asked = (endpoint, call)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if isinstance(self.outcome, asyncio.Event):
            await self.outcome.wait()
            return None
        return self.outcome


def lamp_of(members: tuple[Member, Member]) -> tuple[Lamp, RemoteCalls]:
    lamp = Lamp()
    owner = lambda endpoint: cast("Any", lamp) if endpoint == "link:d-1" else None  # noqa: E731
    DeviceCalls(members[1].requests, owner, Counter())
    return lamp, RemoteCalls(members[0].requests, owner)


CALLS: list[tuple[Call[Any], object]] = [
    (AppInstall("blink", bytes(range(256)), kind="py", every_ms=5), None),
    (AppStates(), (AppState("a", "running", None, 1, 2, 3, (4,), AppRuns(1, 2, 3, 4)),)),
    (AppRequest("a", "/", {"a": 1, "b": 2.5, "c": True, "d": "é"}), AppReply(69, {"b": b"\x00", "s": "x", "n": 1})),
    (EdgesRead(2**52), EdgeLog((Edge(0.5, 4, 1), Edge(1.0, 4, 0)), 2, 0, 9.0)),
    (LogsRead(0), LogPage((LogLine(1.5, None, "on", 7),), 1, 0)),
]


async def test_calls_answers_and_errors_come_as_they_went(members: tuple[Member, Member]) -> None:
    lamp, remote = lamp_of(members)
    for call, lamp.outcome in CALLS:
        assert await remote.call("b-0001", "link:d-1", call, 60) == lamp.outcome
        assert lamp.asked == ("link:d-1", call)
    for lamp.outcome in (
        DeviceLied("é"),
        DeviceTimeout("é", next_step="look", foreign=True),
        InstallInterrupted("é", outcome="listed", next_step="look", silent=True),
    ):
        with pytest.raises(type(lamp.outcome)) as caught:
            await remote.call("b-0001", "link:d-1", GpioGet(4), 60)
        assert {**vars(caught.value), "foreign": caught.value.foreign} == {
            **vars(lamp.outcome), "foreign": lamp.outcome.foreign,
        }  # fmt: skip
    lamp.outcome = DeviceFacts({})
    with pytest.raises(ProtocolError):  # the answer of another call
        await remote.call("b-0001", "link:d-1", GpioGet(4), 60)


@pytest.mark.parametrize(
    "request_",
    [
        {"link_id": "d-1"},
        ("d-1", "gpio.set", 0.0, {"pin": 4, "level": 1}),
        ("d-1", "gpio.set", 1e9, {"pin": 4, "level": 1}),
        ("d-1", "gpio.set", float("nan"), {"pin": 4, "level": 1}),
        ("d-1", "system.exit", 1.0, {}),
        ("d-1", "gpio.set", 1.0, {"pin": "4", "level": 1}),
        ("d-1", "gpio.set", 1.0, {"pin": 4, "level": 1, "for_ms": 5}),
        ("d-1", "gpio.set", 1.0, [4, 1]),
        ("d-1", "gpio.set", 1.0, {"pin": 4, "level": 1}, 2),
        msgspec.Raw(b"\x94\xa3d-1\xa8gpio.set\x01" + b"\x91" * 200_000 + b"\x90"),
    ],
)
def test_what_is_no_call_is_refused(request_: object) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError, ProtocolError)):
        msgspec.msgpack.decode(msgspec.msgpack.encode(request_), type=CallRequest).call()


async def test_a_host_with_as_many_calls_as_it_serves_refuses_more_and_one_in_time_is_told(
    members: tuple[Member, Member], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_calls, "MAX_RUNNING", 2)
    lamp, remote = lamp_of(members)
    lamp.outcome = asyncio.Event()
    refused: list[tuple[Call[Any], type[MicroclawError]]] = [
        (GpioSet(4, 1), DeviceTimeout), (WifiSet("x"), OutcomeUnknown), (GpioGet(4), Overloaded),
    ]  # fmt: skip
    for call, error in refused:
        with pytest.raises(error) as caught:
            await remote.call("b-0001", "link:d-1", call, 0.3)
        assert type(caught.value) is error
    lamp.outcome.set()


async def test_what_waits_or_runs_for_a_request_is_found_at_any_host_unless_one_does_not_say(
    members: tuple[Member, Member],
) -> None:
    a, b = members
    ended = list[str]()
    async with asyncio.TaskGroup() as group:
        waiting, jobs = WaitingRequests(), Jobs(group, Limits())
        elsewhere = RequestsElsewhere(a.requests, WaitingRequests(), Jobs(group, Limits()), lambda: ended)
        questions = ClusterQuestions(a.requests, Approvals(timeout_s=60), OwnerAlone())
        for act in (
            elsewhere.find("token-2.77"),
            elsewhere.cancel("token-2.5"),
            questions.decide("12345678", approved=True, by="owner"),
        ):
            with pytest.raises(Overloaded):  # b does not know such requests
                await act
        RequestsElsewhere(b.requests, waiting, jobs, list)
        ClusterQuestions(b.requests, Approvals(timeout_s=60), OwnerAlone())
        with pytest.raises(UnknownName):
            await questions.decide("12345678", approved=True, by="owner")
        kept = KeptRequest("12345678", 200, b'{"removed":"lamp"}')
        waiting.keep("token-1.77", kept)
        assert await elsewhere.find("token-1.77") == kept
        assert await elsewhere.find("token-2.77") is None
        ended.append("c")
        with pytest.raises(UnknownName):
            await elsewhere.find("token-2.77")

        async def work(_feed: Feed) -> StreamEvent:
            await asyncio.get_running_loop().create_future()
            raise AssertionError

        feed = jobs.start("waits", work, token="token-1", number="token-1.5", cancellable=True)
        assert await elsewhere.cancel("token-1.5") == "cancelled"
        async with asyncio.timeout(60):
            (end,) = [event async for event in feed.read() if isinstance(event, Failure)]
        assert end.code == "cancelled"


@dataclass
class NotKnown:
    kind: str
    device: int = 5


def _example(kind: type[LiveEvent]) -> LiveEvent:
    values: dict[Any, Any] = {str: "é", int: 7, bool: True}
    hints = get_type_hints(kind)
    return kind(**{field.name: values.get(hints[field.name], "info") for field in fields(kind)})


async def test_every_kind_of_live_event_comes_to_the_other_host_and_not_back(members: tuple[Member, Member]) -> None:
    told = [_example(kind) for kind in LIVE_EVENTS]
    own, got = Published(), Published()
    counts = Counter[str](), Counter[str]()
    first, second = (
        LiveEvents(m.requests, m.hosts, one.add, count)
        for m, one, count in zip(members, (own, got), counts, strict=True)
    )
    async with first.serving(), second.serving():
        await until(lambda: first._readers and second._readers)
        for event in (NotKnown("nope"), NotKnown("alarm"), *told, LAST):  # a newer host's, and half of one
            first.share(cast("LiveEvent", event))
        while await got.until(LiveEvent) != LAST:
            pass
        second.share(LAST)
        assert await own.until(LiveEvent) == LAST
        assert not own
        here, there = counts
        assert (there["events_taken"], there["events_refused"]) == (len(told) + 1, 2)
        assert (here["events_taken"], here["events_dropped"]) == (1, 0)
        for _ in range(MAX_WAITING + 5):  # in one go: nobody reads meanwhile
            first.share(LAST)
        assert here["events_dropped"] >= 4
        await until(lambda: there["events_taken"] + 2 == here["events_sent"] - here["events_dropped"])


async def test_a_payload_that_one_host_took_is_fetched_whole_by_another(
    members: tuple[Member, Member], tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.write_bytes(bytes(range(256)) * (PIECE // 200))
    name = hashlib.sha256(here.read_bytes()).hexdigest()
    await SharedFiles(members[0].database).put(name, here)
    await SharedFiles(members[1].database).fetch(name, there)
    assert there.read_bytes() == here.read_bytes()
    await members[0].database.write(lambda sql: sql.execute("DELETE FROM payloads WHERE piece = 1"))
    with pytest.raises(StoreError):
        await SharedFiles(members[1].database).fetch(name, tmp_path / "half")
    assert not (tmp_path / "half").exists()
