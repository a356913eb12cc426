import asyncio

from tests.firmware.conftest import SMALL
from tests.firmware.test_update import *


async def test_mem(updatable, as_flashed, tmp_path):
    updatable.words = (str(SMALL), "-X", "heapsize=160K")
    updatable.boot = "/tmp/boot_q.py"
    payload = bundle(files(as_flashed, "1.4.0"))
    print("PAYLOAD", len(payload), len(files(as_flashed, "1")))
    host = UpdateHost(payload)
    seen = []
    async with hosting_updates(updatable, tmp_path, host), updatable.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.hellos))

        async def one():
            n = len(host.results)
            host.call("device.info", {})
            await host.until(lambda: len(host.results) > n)
            r = host.results[-1]
            state = host.statuses[-1].state if host.statuses else "-"
            seen.append((state, r.value["heap_free"] if r.ok else str(r)))

        for _ in range(4):
            await one()
        await asyncio.sleep(11)
        host.say(offer(payload, board="esp32-small"))
        while not host.statuses or host.statuses[-1].state not in ("rebooting", "refused", "failed"):
            await one()
        await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
        await asyncio.sleep(12)
        for _ in range(4):
            await one()
    worst = {}
    for state, free in seen:
        worst.setdefault(state, []).append(free)
    for state, found in worst.items():
        print("MEM", state, len(found), min(found, key=lambda f: f if isinstance(f, int) else 0), found[:3])
    print(host.statuses)
    assert 0
