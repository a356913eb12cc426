"""The lock of an address: one process at a time, and never a lock that outlives its holder."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from microclaw.errors import ConfigError, DeviceUnreachable
from microclaw.transports.address import AddressLock

HOLD = """
import asyncio, sys, pathlib
from microclaw.transports.address import AddressLock
lock = AddressLock(pathlib.Path(sys.argv[1]), "wasmachine://h:1")
asyncio.run(lock.acquire(5))
print("held", flush=True)
sys.stdin.read()
"""


async def test_lock_of_another_process_holds_until_that_process_ends(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(tmp_path), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    async with asyncio.timeout(60):
        assert await holder.stdout.readline() == b"held\n"
    lock = AddressLock(tmp_path, "wasmachine://h:1")
    with pytest.raises(DeviceUnreachable) as caught:
        await lock.acquire(0.05)
    assert caught.value.next_step
    elsewhere = AddressLock(tmp_path, "wasmachine://h:2")
    await elsewhere.acquire(0.05)
    elsewhere.release()
    holder.kill()
    await holder.wait()
    await lock.acquire(5)
    lock.release()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError):  # a folder that cannot be written is the operator's business
        await AddressLock(tmp_path / "file" / "locks", "a").acquire(0.05)
