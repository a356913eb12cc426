"""Durable messages for one device from several hosts: in order, each once, and who waits for an ack hears of it."""

from __future__ import annotations

import asyncio

from tests.cluster.two_hosts import ClusterHost, link_id_of, sees_after_ready, sees_lamp_elsewhere
from tests.link_server.scripted import ScriptedDevice

from microclaw.wire.link.messages import Notify
from microclaw.wire.link.sequence import InboxCursor


async def _send(host: ClusterHost, texts: list[str]) -> list[asyncio.Future[None]]:
    link = host.link(link_id_of(host))
    return [await link.send(Notify(text, speak=False)) for text in texts]


async def _got(device: ScriptedDevice, count: int) -> list[str]:
    """The texts of its next notes, whose numbers follow each other."""
    envelopes = [await device.next_envelope(Notify) for _ in range(count)]
    numbers = [envelope.seq for envelope in envelopes]
    assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + count))
    return [envelope.body.text for envelope in envelopes if isinstance(envelope.body, Notify)]


async def test_messages_of_two_hosts_come_in_order_and_once(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    of_east, of_west = [f"e{n}" for n in range(100)], [f"w{n}" for n in range(100)]
    async with lamp.connected():
        await lamp.until_ready()
        await sees_lamp_elsewhere(west)
        acked = [*await asyncio.gather(_send(east, of_east), _send(west, of_west))]
        got = await _got(lamp, 200)
        async with asyncio.timeout(60):
            await asyncio.gather(*acked[0], *acked[1])
    assert [text for text in got if text[0] == "e"] == of_east
    assert [text for text in got if text[0] == "w"] == of_west
    assert lamp.got.empty()


async def test_what_another_host_kept_for_an_absent_device_comes_with_its_next_connection(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    await sees_after_ready(west, lamp)
    (acked,) = await _send(west, ["from the west"])
    await _send(east, ["from the east"])
    async with lamp.connected():
        assert sorted(await _got(lamp, 2)) == ["from the east", "from the west"]
        async with asyncio.timeout(60):
            await acked


async def test_a_device_that_changes_hosts_gets_each_message_once(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    texts = [f"n{n}" for n in range(60)]
    got: list[str] = []
    acked: list[asyncio.Future[None]] = []
    for turn, host in enumerate((west, east, west)):
        lamp.address = host.plane.plane.address
        async with lamp.connected():
            await lamp.until_ready()
            acked += await _send(west, texts[turn * 20 : turn * 20 + 20])
            got += await _got(lamp, 20)
            async with asyncio.timeout(60):
                await asyncio.gather(*acked[: turn * 20])  # those before came with the greeting
    assert got == texts
    assert lamp.got.empty()


async def test_an_ack_is_told_also_when_the_messages_were_numbered_anew(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    async with lamp.connected():
        await lamp.until_ready()
        before = await _send(west, ["one", "two"])
        assert await _got(lamp, 2) == ["one", "two"]
        async with asyncio.timeout(60):
            await asyncio.gather(*before)
    lamp.inbox = InboxCursor()  # its flash was erased: the host begins a new epoch
    await west.until(lambda: not west.link(link_id_of(west)).anywhere)
    (acked,) = await _send(west, ["three"])
    async with lamp.connected():
        assert await _got(lamp, 1) == ["three"]
        async with asyncio.timeout(60):
            await acked
