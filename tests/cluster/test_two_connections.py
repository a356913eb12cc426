"""A device that connects to two hosts at once, again and again: the newer wins, no message has two effects."""

from __future__ import annotations

import asyncio

from tests.cluster.two_hosts import ClusterHost, link_id_of
from tests.link_server.scripted import ScriptedDevice
from tests.store.two_hosts import until

from microclaw.wire.link.codec import decode
from microclaw.wire.link.messages import Envelope, Event, Notify
from microclaw.wire.link.sequence import InboxCursor

TURNS = 12


class Half(ScriptedDevice):
    """One of the two connections of a device whose flash is one: `flash.inbox`, and the notes that had an effect."""

    flash: Flash

    def _take(self, envelope: Envelope, epoch: bytes | None) -> None:
        cursor = self.flash.inbox
        seq = envelope.seq
        if isinstance(envelope.body, Notify) and seq is not None and (epoch != cursor.epoch or seq > cursor.seq):
            self.flash.notes.append((envelope.id, envelope.body.text))
            self.flash.inbox = InboxCursor(epoch, seq)
        super()._take(envelope, epoch)


class Flash:
    def __init__(self) -> None:
        self.inbox = InboxCursor()
        self.notes: list[tuple[bytes, str]] = []


def halves(lamp: ScriptedDevice, *hosts: ClusterHost) -> list[Half]:
    flash, made = Flash(), []
    for host in hosts:
        half = Half(host.plane.plane.address, lamp.ca, folder=lamp.folder, token=lamp.token, boot_id=lamp.boot_id)
        half.flash, half.outbox = flash, lamp.outbox
        made.append(half)
    return made


async def test_the_newer_connection_wins_each_time_and_no_message_has_two_effects(
    east: ClusterHost, west: ClusterHost, lamp: ScriptedDevice
) -> None:
    both, texts = halves(lamp, east, west), []
    older: asyncio.Task[int | None] | None = None
    over = [asyncio.Event() for _ in range(TURNS)]
    for turn in range(TURNS):
        half, host = both[turn % 2], (west, east)[turn % 2]
        half.inbox = half.flash.inbox
        connected = asyncio.create_task(_connection(half, over[turn]))
        await half.until_ready()
        if older is not None:
            assert await older == 4409
        older = connected
        half.ready.clear()
        text = f"note {turn}"  # from the other host
        await host.link(link_id_of(host)).send(Notify(text, speak=False))
        texts.append(text)
        await half.send(Event("tick", {"n": turn}))
    for event in over[:-1]:
        event.set()
    last, first = both[(TURNS - 1) % 2], both[TURNS % 2]
    await until(lambda: len(last.flash.notes) >= TURNS and not lamp.outbox.rows)
    over[-1].set()
    assert older is not None
    assert await older is None
    assert [text for _, text in first.flash.notes] == texts
    for host in (east, west):
        await until(lambda host=host: not host.link(link_id_of(host)).anywhere)  # type: ignore[misc]
        events = await host.plane.plane.links.parts.events.after(0, 100)
        assert [_number(event.payload) for event in events] == list(range(TURNS))


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


def _number(payload: bytes) -> int:
    body = decode(payload).body
    assert isinstance(body, Event)
    return int(str(body.data["n"]))
