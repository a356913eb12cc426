"""The firmware's own files are updated over the link: from /fw_a to /fw_b, and back where the new ones are no good."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import PATIENCE_S, SMALL, Firmware
from tests.firmware.ota_offers import Signer, manifest, packed, signer
from tests.firmware.programs import image
from tests.firmware.test_update_cuts import bundle
from tests.firmware.update_host import UpdateHost, hosting_updates

from microclaw.wire.link.messages import BlobRead, OtaCancel, OtaOffer

BOOT = "tests/firmware/simulated/boot_slots.py"
NAME = "microclaw-micropython"
MOST_BYTES = 12 * 1024
KEPT_ANSWERS = 16  # firmware/fw/calls.py
WELL = ["offered", *["downloading"] * 4, "verifying", "staged", "rebooting", "trial", "healthy"]


@pytest.fixture
def updatable(board: Firmware, as_flashed: Path) -> Firmware:
    """As `microclaw flash` leaves it: /fw_a whole, one key."""
    board.boot = BOOT
    for path in as_flashed.iterdir():
        put(board.folder / "fw_a" / path.name, path.read_bytes())
    put(board.folder / "fw_a/about.json", about("1.0.0", 0))
    put(board.folder / "fw_a/whole", b"")
    told = json.dumps({"keys": {signer().key_id: signer().n}, "channel": "stable", "serial": 0}).encode()
    put(board.folder / "keys.json", told + b"\n" + hashlib.sha256(told).hexdigest().encode())
    return board


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def about(version: str, security_version: int) -> bytes:
    return json.dumps({"name": NAME, "version": version, "security_version": security_version}).encode()


def files(as_flashed: Path, version: str, **more: bytes) -> dict[str, bytes]:
    found = {path.name: path.read_bytes() for path in sorted(as_flashed.iterdir())}
    return found | {"about.json": about(version, 3)} | {name.replace("_", "."): data for name, data in more.items()}


def key(number: int) -> Signer:
    return signer(number) if number else signer()


def offer(payload: bytes, number: int = 0, **changes: Any) -> OtaOffer:
    values = {
        "name": NAME,
        "board": "esp32",
        "sha256": hashlib.sha256(payload).hexdigest(),
        "size": len(payload),
        "created": "2025-01-01T00:00:00Z",
        "expires": "2099-01-01T00:00:00Z",
        "key_id": key(number).key_id,
    }
    return signed(packed(manifest(**values | changes)), number)


def signed(data: bytes, number: int = 0) -> OtaOffer:
    return OtaOffer(data, key(number).sign(data))


async def test_the_updater_takes_at_most_12_kb_of_a_board_without_psram(
    updatable: Firmware, as_flashed: Path, tmp_path: Path
) -> None:
    """32 bits, 160 KB of heap: asked while the update waits for a window, while one comes, and while it unpacks."""
    updatable.boot = "tests/firmware/simulated/boot_names.py"
    updatable.words = (str(SMALL), "-X", "heapsize=160K")
    payload = bundle(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    waiting = stopping_at(host, 65536)
    async with hosting_updates(updatable, tmp_path, host), updatable.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.hellos))
        for _ in range(KEPT_ANSWERS + 1):  # the board keeps its last answers: they are no part of what is measured
            before = await free(host)
        host.say(offer(payload, board="esp32-small"))
        await host.until(lambda: bool(waiting))
        taken = {"waiting": [before - await free(host)], "downloading": [], "verifying": []}
        host.answer(waiting[0])
        while (state := host.states("1.4.0")[-1]) in taken:
            taken[state].append(before - await free(host))
        await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
    most = {state: max(found) for state, found in taken.items()}
    assert max(most.values()) <= MOST_BYTES
    assert {window.length for window in host.windows[:-1]} == {4096}
    assert host.states("1.4.0") == WELL


GREEDY = """
async def main(E):
    kept = []
    for _ in range(68):
        await E.y()
        kept.append(bytearray(1024))
    E.print("full")
    await E.sleep(1000)
"""


async def test_programs_stop_for_an_update_that_needs_their_memory_and_start_again(
    updatable: Firmware, as_flashed: Path, tmp_path: Path
) -> None:
    updatable.words = (str(SMALL), "-X", "heapsize=160K")
    payload = bundle(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    async with hosting_updates(updatable, tmp_path, host), updatable.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.hellos))
        await installed(host, image(tmp_path, "one", GREEDY))
        host.say(offer(payload, 1, version="1.3.0", board="esp32-small"))
        await host.until(lambda: host.states("1.3.0") == ["refused"])
        await host.until(lambda: host.logs.count("full") == 2)
        host.say(offer(payload, board="esp32-small"))
        await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
        await host.until(lambda: host.logs.count("full") == 3)
    assert [data for name, data in host.events if name == "app.exit"] == [{"app": "one", "kind": "update"}] * 2
    assert host.errors == []
    assert host.states("1.4.0") == WELL


NAMES = """
class Kept:
    pass

async def main(E):
    for n in range({names}):
        await E.y()
        setattr(Kept(), "name_%d" % n, None)
    E.print("full")
    await E.sleep(1000)
"""


@pytest.mark.parametrize("fits", [True, False])
async def test_a_board_whose_memory_is_short_for_good_restarts_once_for_an_update_with_its_programs_held_back(
    updatable: Firmware, as_flashed: Path, tmp_path: Path, fits: bool
) -> None:
    """Names stay in memory until the next start."""
    updatable.words = (str(SMALL), "-X", "heapsize=160K" if fits else "heapsize=88K")
    payload = bundle(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    async with hosting_updates(updatable, tmp_path, host), updatable.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.hellos))
        await installed(host, image(tmp_path, "one", NAMES.format(names=3800 if fits else 1)))
        host.say(offer(payload, board="esp32-small"))
        await host.until(lambda: len(host.hellos) == 2)
        if fits:
            await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
            assert host.logs.count("full") == 1
        else:
            await host.until(lambda: bool(host.errors))
        await host.until(lambda: host.logs.count("full") == 2)
    assert host.states("1.4.0") == (WELL if fits else [])
    assert len(host.hellos) == (3 if fits else 2)


def stopping_at(host: UpdateHost, offset: int) -> list[BlobRead]:
    """The window that the host does not answer by itself, once it was asked for."""
    waiting: list[BlobRead] = []

    def serve(_host: UpdateHost, window: BlobRead) -> bool:
        if window.offset == offset:
            waiting.append(window)
        return window.offset != offset

    host.serve = serve
    return waiting


async def installed(host: UpdateHost, program: bytes) -> None:
    """It runs and has said "full"."""
    digest = hashlib.sha256(program).digest()
    await result(host, "apps.begin", {"name": "one", "kind": "py", "size": len(program), "sha256": digest})
    await result(host, "apps.write", {"offset": 0, "data": program})
    await result(host, "apps.commit", {})
    await host.until(lambda: host.logs.count("full") == 1)


async def free(host: UpdateHost) -> int:
    return int((await result(host, "device.info", {}))["heap_free"])


async def result(host: UpdateHost, method: str, params: dict[str, Any]) -> Any:
    before = len(host.results)
    host.call(method, params)
    await host.until(lambda: len(host.results) > before)
    assert host.results[-1].ok, host.results[-1]
    return host.results[-1].value


async def test_a_connection_that_breaks_and_a_board_that_is_killed_go_on_where_they_were(
    updatable: Firmware, as_flashed: Path, tmp_path: Path
) -> None:
    payload = bundle(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    broken: list[int] = []

    def serve(host: UpdateHost, window: BlobRead) -> bool:
        if len(broken) < 3 and window.offset and window.offset not in broken:
            broken.append(window.offset)
            updatable.kill() if len(broken) == 2 else host.cut()
            return False
        return True

    host.serve = serve
    async with hosting_updates(updatable, tmp_path, host), asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            async with updatable.running():
                host.say(offer(payload)) if not host.hellos else None
                await host.until(lambda: len(broken) == 2 or host.states("1.4.0")[-1:] == ["healthy"])
                if len(broken) == 2:
                    assert updatable.process is not None
                    await updatable.process.wait()
                    broken.append(-1)
    assert host.states("1.4.0")[-1] == "healthy"
    offsets = [window.offset for window in host.windows]
    assert offsets == sorted(offsets), "nothing is loaded twice"


async def test_what_the_board_may_not_take_is_refused_and_an_update_can_be_cancelled(
    updatable: Firmware, as_flashed: Path, tmp_path: Path
) -> None:
    """One is called off while the board is away (`firmware list --withdraw`): it never begins."""
    payload = bundle(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    host.serve = lambda _host, window: window.offset < 32768
    host.say(offer(payload, version="1.1.0"))
    host.say(OtaCancel("1.1.0"))
    async with hosting_updates(updatable, tmp_path, host), of_revision(updatable, "b2"), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: host.states("1.1.0")[-1:] == ["idle"])
        assert (host.statuses[-1].error, "failed" in host.states("1.1.0")) == ("cancelled", False)
        assert not (updatable.folder / "ota/payload").exists()
        host.say(offer(payload, version="0.9.0"))
        host.say(offer(payload, version="1.2.0", revisions=["b1", "b3"]))
        host.say(offer(payload, version="1.2.1", kind="image"))
        host.say(offer(payload, 1))
        host.say(offer(payload, version="1.3.0"))
        await host.until(lambda: len(host.windows) > 2)
        host.say(offer(payload, version="1.3.1", board="esp32s3"))  # the other one goes on
        host.say(offer(payload, version="1.4.0", revisions=["b2"]))
        await host.until(lambda: "downloading" in host.states("1.4.0"))
        host.say(OtaCancel("1.4.0"))
        await host.until(lambda: host.states("1.4.0")[-1:] == ["idle"])
    told = {(status.version, status.state): status.error for status in host.statuses}
    assert (told["0.9.0", "refused"] or "").startswith("old_version")
    assert (told["1.2.0", "refused"] or "").startswith("wrong_revision")
    assert (told["1.2.1", "refused"] or "").startswith("no_slot")
    assert host.hellos[-1].ota is not None
    assert (host.hellos[-1].ota.revision, list(host.hellos[-1].ota.kinds)) == ("b2", ["files"])
    assert (told["1.4.0", "refused"] or "").startswith("unknown_key")
    assert (told["1.3.1", "refused"] or "").startswith("wrong_board")
    assert (told["1.3.0", "idle"] or "").startswith("superseded")
    assert (told["1.4.0", "idle"] or "") == "cancelled"
    assert sorted(path.name for path in (updatable.folder / "ota").iterdir()) == ["state"]


@asynccontextmanager
async def of_revision(board: Firmware, revision: str) -> AsyncIterator[None]:
    """It runs, told of its revision as `microclaw flash` tells it."""
    board.write("settings.json", json.dumps({**board.read("settings.json"), "revision": revision}))
    async with board.running():
        yield
