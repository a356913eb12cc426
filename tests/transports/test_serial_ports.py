"""A serial port, on a pseudo-terminal: what it does with its bytes, and how it is opened."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import Iterator

import pytest

from microclaw.transports.serial_ports import BytePort, open_serial_port

LIMIT_S = 60.0
Ends = tuple[int, str]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The far end's descriptor and the near end's path."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, os.ttyname(slave)
    os.close(slave)
    os.close(master)


async def read_all(port: BytePort, size: int) -> bytes:
    data = b""
    async with asyncio.timeout(LIMIT_S):
        while len(data) < size:
            data += await port.read()
    return data


async def test_more_than_the_buffer_holds_arrives_whole_and_in_order(ends: Ends) -> None:
    master, path = ends
    port = await open_serial_port(path)
    sent = bytes(n % 251 for n in range(300_000))

    def send() -> None:
        view = memoryview(sent)
        while view:
            view = view[os.write(master, view[:2048]) :]

    sending = asyncio.create_task(asyncio.to_thread(send), name="far end")
    assert await read_all(port, len(sent)) == sent
    await sending
    await port.close()


async def test_second_opening_of_a_port_is_refused(ends: Ends) -> None:
    _, path = ends
    port = await open_serial_port(path)
    with pytest.raises(OSError, match="lock"):
        await open_serial_port(path)
    await port.close()
    again = await open_serial_port(path)
    await again.close()
