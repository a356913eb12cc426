"""Messages to a device: in order, not before their time, no audio that was dropped, and never without a limit."""

from __future__ import annotations

import asyncio

from microclaw.voice.xiaozhi.outgoing import MAX_WAITING, Outgoing


class Socket:
    def __init__(self) -> None:
        self.sent: list[str | bytes] = []
        self.came = asyncio.Event()
        self.gate: asyncio.Event | None = None

    async def send_str(self, data: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self.sent.append(data)
        self.came.set()

    async def send_bytes(self, data: bytes) -> None:
        self.sent.append(data)
        self.came.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.sent) < count:
                self.came.clear()
                await self.came.wait()


async def test_messages_go_in_order_and_what_waits_holds_up_what_follows() -> None:
    socket, outgoing = Socket(), Outgoing()
    running = asyncio.create_task(outgoing.run(socket))
    outgoing.put("start")
    outgoing.put(b"1", pause_s=0.05)
    outgoing.put(b"2")
    began_s = asyncio.get_running_loop().time()
    await socket.until(3)
    assert socket.sent == ["start", b"1", b"2"]
    assert asyncio.get_running_loop().time() - began_s >= 0.04
    running.cancel()


async def test_a_pause_begins_when_the_message_before_it_is_sent() -> None:
    """A busy host sends `start` late: the device empties its queue when it comes."""
    now_s = [0.0]
    socket, outgoing = Socket(), Outgoing(lambda: now_s[0])
    socket.gate = asyncio.Event()
    running = asyncio.create_task(outgoing.run(socket))
    outgoing.put("start")
    outgoing.put(b"1", pause_s=0.05)
    now_s[0] = 10.0
    socket.gate.set()
    await socket.until(1)
    for _ in range(10):
        await asyncio.sleep(0)
    assert socket.sent == ["start"]
    now_s[0] += 0.06
    await socket.until(2)
    running.cancel()


async def test_audio_that_was_dropped_is_never_sent() -> None:
    socket, outgoing = Socket(), Outgoing()
    running = asyncio.create_task(outgoing.run(socket))
    outgoing.put("start")
    outgoing.put(b"1", pause_s=60)
    outgoing.put("text")
    outgoing.drop_audio()
    outgoing.put("stop")
    await socket.until(3)
    assert socket.sent == ["start", "text", "stop"]
    running.cancel()


async def test_a_device_that_takes_nothing_is_given_up() -> None:
    socket, outgoing = Socket(), Outgoing()
    socket.gate = asyncio.Event()
    running = asyncio.create_task(outgoing.run(socket))
    for number in range(MAX_WAITING + 2):
        outgoing.put(f"{number}")
        await asyncio.sleep(0)
    socket.gate.set()
    async with asyncio.timeout(10):
        await running
    assert len(socket.sent) < MAX_WAITING
