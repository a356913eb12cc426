"""Rules of docs/protocols/link.md that a device keeps, tried on our firmware by a host of its own.

Whom it trusts: tests/firmware/test_trust.py. The virtual board: tests/virtual/link/.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import PATIENCE_S, Firmware
from tests.firmware.conftest import as_flashed as as_flashed
from tests.firmware.conftest import board as board
from tests.firmware.test_trust import paired
from tests.link.end import BAD_CBOR, BREACHES, OF_A_HOST, End, Numbers, closing
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from microclaw.auth.certificates import CONSTANT_NAME, new_authority, server_certificate

CALL = {"method": "device.info", "params": {}, "idempotent": False}


class Host:
    """The host that the firmware connects to; `ready()` is its next connection, after the greeting."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[tuple[ServerConnection, asyncio.Event]] = asyncio.Queue()
        self.numbers = Numbers()
        self.heartbeat_s = 15
        self.hello: dict[str, Any] = {}

    async def take(self, socket: ServerConnection) -> None:
        over = asyncio.Event()
        self.arrived.put_nowait((socket, over))
        await over.wait()

    @asynccontextmanager
    async def ready(self, *, rx_seq: int | None = None, back_in_s: int | None = 0) -> AsyncIterator[End]:
        """With `back_in_s` it ends with a `bye`, if it has not ended before."""
        async with asyncio.timeout(PATIENCE_S):
            socket, over = await self.arrived.get()
        try:
            async with closing(End(socket, self.numbers)) as end:
                await self.greet(end, rx_seq)
                yield end
                if back_in_s is not None and socket.state.name == "OPEN":
                    await end.say("bye", {"reason": "next", "retry_after_s": back_in_s})
        finally:
            over.set()

    async def greet(self, end: End, rx_seq: int | None) -> None:
        numbers, hello = self.numbers, (await end.next("hello"))["body"]
        self.hello = hello
        if hello["tx_epoch"] != numbers.rx_epoch:
            numbers.rx_epoch, numbers.rx_seq = hello["tx_epoch"], 0
        numbers.tx_last = hello["rx_seq"] if hello.get("rx_epoch") == numbers.tx_epoch else 0
        welcome: dict[str, Any] = {"session": os.urandom(16), "host": {"name": "h", "version": "1"}}
        welcome |= {"time_ms": time.time_ns() // 1_000_000, "heartbeat_s": self.heartbeat_s}
        welcome |= {"tx_epoch": numbers.tx_epoch, "rx_epoch": numbers.rx_epoch}
        welcome |= {"rx_seq": numbers.rx_seq if rx_seq is None else rx_seq}
        await end.say("welcome", {**welcome, "limits": {"control_bytes": 16_384, "audio_bytes": 2_048}})


@pytest.fixture
async def host(board: Firmware, tmp_path: Path) -> AsyncIterator[Host]:
    """The firmware runs, is paired with it and comes."""
    now, host = datetime.now(UTC), Host()
    authority = new_authority(now)
    (tmp_path / "server.pem").write_bytes(server_certificate(authority, [CONSTANT_NAME], [], now).to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    options: dict[str, Any] = {"subprotocols": [Subprotocol("microclaw.v1")], "compression": None, "max_size": None}
    async with serve(host.take, "127.0.0.1", 0, ssl=context, ping_interval=None, **options) as server:
        paired(board, authority, next(iter(server.sockets)).getsockname()[1])
        async with board.running():
            yield host


async def result(end: End, call: dict[str, Any], *, durable: bool = False, **more: Any) -> dict[str, Any]:
    say = end.say_durable if durable else end.say
    return await end.next("result", await say("call", call, **more))


async def test_breaches_end_the_connection_with_their_codes(host: Host) -> None:
    for what, (message, code, error) in {**BREACHES, **OF_A_HOST}.items():
        if message in BAD_CBOR.values():
            continue  # each takes seconds here, and tests/firmware/test_cbor.py has them
        async with host.ready() as end:
            await end.socket.send(message)
            ended = await end.ended()
        assert ended == (code, error or ended[1]), what


async def test_what_a_later_version_says_is_ignored(host: Host) -> None:
    """L-14, L-15, L-21, L-23, L-74."""
    async with host.ready() as end:
        await end.socket.send(b"\x7flater")
        await end.socket.send(b"\x03" + bytes(640))
        asked = await end.say("ping", {"n": 77, "t0": 5, "later": [1]}, later={"a": 1})
        pong = (await end.next("pong", asked))["body"]
        assert (pong["n"], pong["t0"]) == (77, 5)
        assert pong["t1"] <= pong["t2"]
        await end.say("of_a_later_version", {"a": [1]})
        asked = await end.say_durable("of_a_later_version", {})
        assert (await end.next("error", asked))["body"]["code"] == "unknown_type"
        await end.acked()
        await end.say("ui_state", {"thinking": False, "text": "x"})
        await end.say("asr_partial", {"stream": 7, "text": "x"})
        await end.say("tts_end", {"stream": 7, "reason": "done"})
        await end.alive()


async def test_calls_are_answered_as_the_page_says(host: Host) -> None:
    """L-70 to L-73."""
    async with host.ready() as end:
        first = await result(end, CALL)
        again = await result(end, CALL, id=first["re"])
        assert again["body"] == first["body"]
        assert "seq" not in first
        assert "seq" in await result(end, CALL, durable=True)
        for call, code in (({**CALL, "method": "no.such"}, "not_supported"), ({**CALL, "ttl_ms": 0}, "expired")):
            answer = (await result(end, call))["body"]
            assert (answer["ok"], answer["error"]["code"]) == (False, code)


async def test_a_number_or_an_id_that_was_seen_has_no_second_effect(host: Host) -> None:
    """L-61, L-62."""
    async with host.ready() as end:
        first = (await result(end, CALL, durable=True))["re"]
        await end.say("call", CALL, seq=host.numbers.tx_last, id=first)
        await end.acked()
        await end.say_durable("call", CALL, id=first)
        await end.acked()
        await result(end, CALL, durable=True)
        assert len(end.answers("result", first)) == 1


async def test_numbers_go_on_over_connections(host: Host) -> None:
    """L-42, L-63, L-64, L-66."""
    async with host.ready() as end:
        end.acks = False
        first = await result(end, CALL, durable=True)
        hello, said = host.hello, host.numbers.tx_last
    async with host.ready() as end:
        same = ("boot_id", "tx_epoch")
        assert [host.hello[key] for key in same] == [hello[key] for key in same]
        assert (host.hello["rx_epoch"], host.hello["rx_seq"]) == (host.numbers.tx_epoch, said)
        again = await end.next("result", first["re"])
        assert (again["id"], again["seq"]) == (first["id"], first["seq"])
    async with host.ready() as end:
        await result(end, CALL, durable=True)
        assert end.answers("result", first["re"]) == []
        await end.say("call", CALL, seq=host.numbers.tx_last + 9)
        assert await end.ended() == (4400, "sequence_gap")
    async with host.ready(rx_seq=2**40) as end:
        assert (await end.ended())[0] == 1000
    host.numbers.tx_epoch = os.urandom(8)  # L-65: a new epoch begins at 1
    async with host.ready() as end:
        assert host.hello["tx_epoch"] != hello["tx_epoch"]
        assert (await result(end, CALL, durable=True))["body"]["ok"]
        assert host.numbers.tx_last == 1


async def test_a_host_that_answers_no_ping_is_left(host: Host) -> None:
    """L-51."""
    host.heartbeat_s = 1
    async with host.ready() as end:
        end.is_deaf = True
        assert await end.ended() == (4408, "timeout")
        assert len([message for message in end.got if message["type"] == "ping"]) == 2


async def test_it_comes_back_no_earlier_than_it_was_told(host: Host) -> None:
    """L-93."""
    async with host.ready(back_in_s=2):
        pass
    left_s = time.monotonic()
    async with host.ready():
        assert time.monotonic() - left_s >= 1.9
