"""Requests between hosts over HTTPS: who may ask, how much, and what becomes of them when a host is away."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import ClientError, ClientSession, TCPConnector
from cryptography.hazmat.primitives.asymmetric import ec
from tests.cluster.two_hosts import ClusterHost, Fleet
from tests.store.two_hosts import until

from microclaw.auth.certificates import HOSTS_NAME, KeyPair, device_certificate, host_certificate, new_authority
from microclaw.cluster.requests import MAX_MESSAGE, HostGone
from microclaw.errors import MicroclawError, OutcomeUnknown, ProtocolError


async def echo(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body * 3


async def answers(host: ClusterHost, other: ClusterHost, what: str, body: bytes = b"") -> list[bytes]:
    async with asyncio.timeout(60):
        return [one async for one in host.requests.ask(other.host_id, what, body)]


async def test_answers_come_as_they_are_made_and_end_with_who_asks(east: ClusterHost, west: ClusterHost) -> None:
    left = asyncio.Event()

    async def count(body: bytes) -> AsyncGenerator[bytes, None]:
        try:
            for number in range(1_000_000):
                yield body + b"%d" % number
                await asyncio.sleep(0)
        finally:
            left.set()

    west.requests.handlers |= {"count": count, "echo": echo}
    async with aclosing(east.requests.ask(west.host_id, "count", b"n")) as some:
        assert [await anext(some) for _ in range(3)] == [b"n0", b"n1", b"n2"]
    await asyncio.wait_for(left.wait(), 60)
    body = b"x" * 1_500_000
    assert await answers(east, west, "echo", body) == [body * 3]
    with pytest.raises(HostGone) as gone:
        await anext(east.requests.ask("nobody", "echo", b""))
    assert gone.value.unsent


async def test_errors_and_what_is_over_the_limit_are_told(east: ClusterHost, west: ClusterHost) -> None:
    async def fails(_body: bytes) -> AsyncGenerator[bytes, None]:
        yield b"begun"
        raise OutcomeUnknown("cut off", next_step="look")

    async def breaks(_body: bytes) -> AsyncGenerator[bytes, None]:
        raise LookupError("a secret")
        yield b""

    west.requests.handlers |= {"echo": echo, "fails": fails, "breaks": breaks}
    with pytest.raises(OutcomeUnknown) as unknown:
        await answers(east, west, "fails")
    assert unknown.value.next_step == "look"
    with pytest.raises(MicroclawError) as broken:
        await answers(east, west, "breaks")
    assert "secret" not in broken.value.message
    for what, body in [("nothing", b""), ("echo", b"x" * (MAX_MESSAGE + 1)), ("echo", b"x" * (MAX_MESSAGE // 2))]:
        with pytest.raises(ProtocolError):
            await answers(east, west, what, body)
    assert await answers(east, west, "echo", b"on") == [b"ononon"]


async def test_a_devices_certificate_and_none_open_nothing(east: ClusterHost, fleet: Fleet, tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def note(body: bytes) -> AsyncGenerator[bytes, None]:
        asked.append(body)
        yield body

    east.requests.handlers["note"] = note
    await until(lambda: east.hosts.standing()[0].facts.calls)
    authority, key = fleet.authority(), ec.generate_private_key(ec.SECP256R1())
    device = KeyPair(key, device_certificate(authority, key.public_key(), "d-0123abcd", datetime.now(UTC), 7))
    other = host_certificate(new_authority(datetime.now(UTC), 9), "west")
    own = tmp_path / "own.pem"
    for shown, outcome in [
        (None, "refused"),
        (other, "refused"),
        (device, 403),
        (host_certificate(authority, "x"), 200),
    ]:
        context = ssl.create_default_context(cadata=east.plane.ca)
        if shown is not None:
            own.write_bytes(shown.to_pem())
            context.load_cert_chain(own)
        assert await posted(context, east) == outcome
    assert asked == [b"x"], "by a host alone"


async def posted(context: ssl.SSLContext, host: ClusterHost) -> int | str:
    url = f"https://{host.hosts.standing()[0].facts.calls}/note"
    async with ClientSession(connector=TCPConnector(ssl=context)) as session:
        try:
            async with session.post(url, data=b"x", server_hostname=HOSTS_NAME) as answer:
                await answer.read()
                return answer.status
        except ClientError:
            return "refused"
