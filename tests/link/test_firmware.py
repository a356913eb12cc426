"""Rules of docs/protocols/link.md that a device keeps, tried on our firmware by a host of its own.

Whom it trusts: tests/firmware/test_trust.py. The virtual board: tests/virtual/link/.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import Firmware
from tests.firmware.conftest import as_flashed as as_flashed
from tests.firmware.conftest import board as board
from tests.link.end import BAD_CBOR, BREACHES, OF_A_HOST, End
from tests.link.plain_host import PlainHost, hosting

CALL = {"method": "device.info", "params": {}, "idempotent": False}


@pytest.fixture
async def host(board: Firmware, tmp_path: Path) -> AsyncIterator[PlainHost]:
    """The firmware runs, is paired with it and comes."""
    host = PlainHost()
    async with hosting(board, tmp_path, host), board.running():
        yield host


async def result(end: End, call: dict[str, Any], *, durable: bool = False, **more: Any) -> dict[str, Any]:
    say = end.say_durable if durable else end.say
    return await end.next("result", await say("call", call, **more))


async def test_breaches_end_the_connection_with_their_codes(host: PlainHost) -> None:
    for what, (message, code, error) in {**BREACHES, **OF_A_HOST}.items():
        if message in BAD_CBOR.values():
            continue  # each takes seconds here, and tests/firmware/test_cbor.py has them
        async with host.ready() as end:
            await end.socket.send(message)
            ended = await end.ended()
        assert ended == (code, error or ended[1]), what


async def test_what_a_later_version_says_is_ignored(host: PlainHost) -> None:
    """Also L-74."""
    async with host.ready() as end:
        assert (await end.ignores_a_later_version(b"\x03" + bytes(640)))["code"] == "unknown_type"
        await end.say("ui_state", {"thinking": False, "text": "x"})
        await end.say("asr_partial", {"stream": 7, "text": "x"})
        await end.say("tts_end", {"stream": 7, "reason": "done"})
        await end.alive()


async def test_l_77_what_belongs_to_no_fetch_is_ignored(host: PlainHost) -> None:
    async with host.ready() as end:
        for re in ({}, {"re": os.urandom(16)}):
            await end.say("fetched", {"status": 200, "headers": {}, "size": 1}, **re)
            await end.say("fetch_piece", {"data": b"x"}, **re)
            await end.say("error", {"code": "fetch_failed", "message": "x", "fatal": False}, **re)
        await end.alive()


async def test_calls_are_answered_as_the_page_says(host: PlainHost) -> None:
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


async def test_a_number_or_an_id_that_was_seen_has_no_second_effect(host: PlainHost) -> None:
    """L-61, L-62."""
    async with host.ready() as end:
        first = (await result(end, CALL, durable=True))["re"]
        await end.say("call", CALL, seq=host.numbers.tx_last, id=first)
        await end.acked()
        await end.say_durable("call", CALL, id=first)
        await end.acked()
        await result(end, CALL, durable=True)
        assert len(end.answers("result", first)) == 1


async def test_numbers_go_on_over_connections(host: PlainHost) -> None:
    """L-42, L-63, L-64, L-66."""
    async with host.ready() as end:
        end.acks = False
        first = await result(end, CALL, durable=True)
        hello = host.hello
        said = host.numbers.tx_last
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


async def test_a_host_that_answers_no_ping_is_left(host: PlainHost) -> None:
    """L-51."""
    host.heartbeat_s = 1
    async with host.ready() as end:
        end.is_deaf = True
        assert await end.ended() == (4408, "timeout")
        assert len([message for message in end.got if message["type"] == "ping"]) == 2


async def test_it_comes_back_no_earlier_than_it_was_told(host: PlainHost) -> None:
    """L-93."""
    async with host.ready(back_in_s=2):
        left_s = time.monotonic()
    async with host.ready():
        assert time.monotonic() - left_s >= 1.9
