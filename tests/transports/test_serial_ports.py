"""A serial port, on a pseudo-terminal: what it does with its bytes, and how it is opened."""

from __future__ import annotations

import asyncio
import os
import pty
import tty

import pytest

from microclaw.transports.serial_ports import open_serial_port

LIMIT_S = 60.0


async def test_more_than_the_buffer_holds_arrives_in_order_and_a_port_is_opened_once() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    port = await open_serial_port(path)
    sent = bytes(n % 251 for n in range(300_000))

    def send() -> None:
        view = memoryview(sent)
        while view:
            view = view[os.write(master, view[:2048]) :]

    sending = asyncio.create_task(asyncio.to_thread(send), name="far end")
    received = b""
    async with asyncio.timeout(LIMIT_S):
        while len(received) < len(sent):
            received += await port.read()
    assert received == sent
    await sending
    with pytest.raises(OSError, match="lock"):
        await open_serial_port(path)
    await port.close()
    again = await open_serial_port(path)
    await again.close()
    for end in (slave, master):
        os.close(end)
