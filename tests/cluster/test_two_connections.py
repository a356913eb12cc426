"""A device that connects to two hosts at once, again and again: the newer wins, no message has two effects."""

from __future__ import annotations

import asyncio

from tests.cluster.hosts import WholeHost
from tests.cluster.processes import numbers_told
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.wire.link.messages import Envelope, Event, Notify
from microclaw.wire.link.sequence import InboxCursor

TURNS = 12


class Flash:
    def __init__(self) -> None:
        self.inbox = InboxCursor()
        self.notes: list[str] = []


class Half(ScriptedDevice):
    """One of the two connections of a device whose flash is one: `flash.inbox`, and the notes that had an effect."""

    flash: Flash

    def _take(self, envelope: Envelope, epoch: bytes | None) -> None:
        cursor = self.flash.inbox
        seq = envelope.seq
        if isinstance(envelope.body, Notify) and seq is not None and (epoch != cursor.epoch or seq > cursor.seq):
            self.flash.notes.append(envelope.body.text)
            self.flash.inbox = InboxCursor(epoch, seq)
        super()._take(envelope, epoch)


async def test_the_newer_connection_wins_each_time_and_no_message_has_two_effects(
    east: WholeHost, west: WholeHost, lamp: ScriptedDevice, database_url: str
) -> None:
    flash, both = Flash(), list[Half]()
    for host in (east, west):
        both.append(Half(host.link, "", token=lamp.token, boot_id=lamp.boot_id, outbox=lamp.outbox))
        both[-1].flash = flash
    older: asyncio.Task[int | None] | None = None
    over = [asyncio.Event() for _ in range(TURNS)]
    for turn in range(TURNS):
        half, other = both[turn % 2], (west, east)[turn % 2]
        half.inbox = flash.inbox
        connected = asyncio.create_task(_connection(half, over[turn]))
        await half.until_ready()
        if older is not None:
            assert await older == 4409
        older = connected
        half.ready.clear()
        await other.ask("/v1/devices/lamp/notify", {"text": f"note {turn}"})
        await half.send(Event("tick", {"n": turn, "from": "lamp"}))
    await until(lambda: len(flash.notes) >= TURNS and not lamp.outbox.rows)
    over[-1].set()
    assert older is not None
    assert await older is None
    assert flash.notes == [f"note {turn}" for turn in range(TURNS)]
    for host in (east, west):
        await until(lambda host=host: not host.online())  # type: ignore[misc]
    assert numbers_told(database_url)["lamp"] == list(range(TURNS))


async def _connection(half: Half, over: asyncio.Event) -> int | None:
    """Its close code, or None when it was over first."""
    async with half.connected():
        closing, ending = asyncio.create_task(half.until_closed()), asyncio.create_task(over.wait())
        done, _ = await asyncio.wait([closing, ending], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if closing in done:
            return closing.result()
        closing.cancel()
    return None
