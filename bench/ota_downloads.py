"""Devices that fetch a payload window by window, many in one process, for bench.ota_audio. They write nothing down.

`go` on standard input lets them fetch until `stop`; each time they have stopped, a line tells how many bytes came.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from typing import Any, Final

import uvloop

from bench.link_device import DeviceClient, connect_device
from microclaw.wire.link.frame import MAX_BLOB_BYTES
from microclaw.wire.link.messages import BlobRead

WINDOW_BYTES: Final = 16_384
NICE: Final = 10  # below the device that speaks, which shares their core: on boards each has its own
_AT_ONCE: Final = 8


async def main() -> None:
    """The first line of standard input says where: {port, tokens, ca, digest, size}."""
    os.nice(NICE)
    loop = asyncio.get_running_loop()
    facts = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    tls = ssl.create_default_context(cadata=facts["ca"])
    free = asyncio.Semaphore(_AT_ONCE)

    async def connect(token: str) -> DeviceClient:
        async with free:
            return await connect_device(facts["port"], token, tls)

    devices = await asyncio.gather(*(connect(token) for token in facts["tokens"]))
    print(json.dumps({"devices": len(devices)}), flush=True)
    fetching = asyncio.Event()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() != "go":
            continue
        fetching.set()
        works = [asyncio.create_task(_fetch(device, facts, fetching)) for device in devices]
        await loop.run_in_executor(None, sys.stdin.readline)
        fetching.clear()
        counts = await asyncio.gather(*works)
        print(json.dumps({"bytes": sum(counts), "least": min(counts), "most": max(counts)}), flush=True)


async def _fetch(device: DeviceClient, facts: dict[str, Any], fetching: asyncio.Event) -> int:
    """The payload again and again, the next window asked for when the last one is there; how many bytes came."""
    sha256 = bytes.fromhex(facts["digest"])
    size = facts["size"]
    got = 0
    offset = 0
    while fetching.is_set():
        length = min(WINDOW_BYTES, size - offset)
        frames = device.expect(-(-length // MAX_BLOB_BYTES))
        device.say(BlobRead(sha256, offset, WINDOW_BYTES))
        await frames
        got += length
        offset = (offset + length) % size
    return got


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
