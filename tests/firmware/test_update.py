"""The firmware's own files are updated over the link: from /fw_a to /fw_b, and back where the new ones are no good."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.conftest import PATIENCE_S, SMALL, Firmware
from tests.firmware.ota_offers import Signer, manifest, packed, signer
from tests.firmware.programs import image
from tests.firmware.update_host import Message, UpdateHost
from tests.link.plain_host import hosting

from microclaw.ota.bundle import pack

BOOT = "tests/firmware/simulated/boot_slots.py"
NAME = "microclaw-micropython"
WELL = ["offered", "downloading", "verifying", "staged", "rebooting", "trial", "healthy"]


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


def offer(payload: bytes, number: int = 0, **changes: Any) -> Message:
    values = {
        "name": NAME,
        "board": "esp32",
        "sha256": hashlib.sha256(payload).hexdigest(),
        "size": len(payload),
        "created": "2025-01-01T00:00:00Z",
        "expires": "2099-01-01T00:00:00Z",
        "key_id": key(number).key_id,
    }
    data = packed(manifest(**values | changes))
    return "ota_offer", {"manifest": data, "signature": key(number).sign(data)}


def cancel(version: str) -> Message:
    return "ota_cancel", {"version": version}


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
    payload = pack(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    async with hosting(updatable, tmp_path, host), updatable.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.of("hello")))
        await installed(host, image(tmp_path, "one", GREEDY))
        await host.say(offer(payload, 1, version="1.3.0", board="esp32-small"))
        await host.until(lambda: host.states("1.3.0") == ["refused"])
        await host.until(lambda: host.logged("full") == 2)
        await host.say(offer(payload, board="esp32-small"))
        await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
        await host.until(lambda: host.logged("full") == 3)
    ends = [event["data"] for event in host.of("event") if event["name"] == "app.exit"]
    assert ends == [{"app": "one", "kind": "update"}] * 2
    assert host.of("error") == []
    assert list(dict.fromkeys(host.states("1.4.0"))) == WELL


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
    payload = pack(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    async with hosting(updatable, tmp_path, host), updatable.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.of("hello")))
        await installed(host, image(tmp_path, "one", NAMES.format(names=3800 if fits else 1)))
        await host.say(offer(payload, board="esp32-small"))
        await host.until(lambda: len(host.of("hello")) == 2)
        if fits:
            await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
            assert host.logged("full") == 1
        else:
            await host.until(lambda: bool(host.of("error")))
        await host.until(lambda: host.logged("full") == 2)
    assert list(dict.fromkeys(host.states("1.4.0"))) == (WELL if fits else [])
    assert len(host.of("hello")) == (3 if fits else 2)


async def installed(host: UpdateHost, program: bytes) -> None:
    """It runs and has said "full"."""
    digest = hashlib.sha256(program).digest()
    await host.call("apps.begin", {"name": "one", "kind": "py", "size": len(program), "sha256": digest})
    await host.call("apps.write", {"offset": 0, "data": program})
    await host.call("apps.commit", {})
    await host.until(lambda: host.logged("full") == 1)


async def test_a_connection_that_breaks_and_a_board_that_is_killed_go_on_where_they_were(
    updatable: Firmware, as_flashed: Path, tmp_path: Path
) -> None:
    payload = pack(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    broken: list[int] = []

    def serve(window: dict[str, Any]) -> bool:
        offset = window["offset"]
        if len(broken) < 3 and offset and offset not in broken:
            broken.append(offset)
            assert host.end is not None
            updatable.kill() if len(broken) == 2 else host.end.socket.transport.abort()
            return False
        return True

    host.serve = serve
    async with hosting(updatable, tmp_path, host), asyncio.timeout(PATIENCE_S):
        for _ in range(2):
            async with updatable.running():
                await host.say(*([] if host.hello else [offer(payload)]))
                await host.until(lambda: len(broken) == 2 or host.states("1.4.0")[-1:] == ["healthy"])
                if len(broken) == 2:
                    assert updatable.process is not None
                    await updatable.process.wait()
                    broken.append(-1)
    assert host.states("1.4.0")[-1] == "healthy"
    offsets = [window["offset"] for window in host.of("blob_read")]
    assert offsets == sorted(offsets), "nothing is loaded twice"


REFUSED: dict[str, tuple[int, dict[str, Any]]] = {  # the key's number, the manifest's changes
    "old_version": (0, {"version": "0.9.0"}),
    "wrong_revision": (0, {"version": "1.2.0", "revisions": ["b1", "b3"]}),
    "no_slot": (0, {"version": "1.2.1", "kind": "image"}),
    "unknown_key": (1, {"version": "1.2.2"}),
    "wrong_board": (0, {"version": "1.3.1", "board": "esp32s3"}),
}


async def test_what_the_board_may_not_take_is_refused_and_an_offer_that_is_called_off_is_given_up(
    updatable: Firmware, as_flashed: Path, tmp_path: Path
) -> None:
    """The first is called off while the board is away (`firmware list --withdraw`)."""
    payload = pack(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    host.serve = lambda window: window["offset"] < 32768
    await host.say(offer(payload, version="1.1.0"))
    await host.say(cancel("1.1.0"))
    async with hosting(updatable, tmp_path, host), asyncio.timeout(PATIENCE_S):
        updatable.write("settings.json", json.dumps({**updatable.read("settings.json"), "revision": "b2"}))
        async with updatable.running():
            await host.until(lambda: host.states("1.1.0")[-1:] == ["idle"])
            assert "failed" not in host.states("1.1.0")
            assert not (updatable.folder / "ota/payload").exists()
            await host.say(offer(payload, version="1.3.0"))
            await host.until(lambda: "downloading" in host.states("1.3.0"))
            for number, changes in REFUSED.values():  # the other one goes on
                await host.say(offer(payload, number, **changes))
            await host.say(offer(payload, version="1.4.0", revisions=["b2"]))
            await host.until(lambda: "downloading" in host.states("1.4.0"))
            await host.say(cancel("1.4.0"))
            await host.until(lambda: host.states("1.4.0")[-1:] == ["idle"])
    told = {s["version"]: (s["state"], str(s.get("error")).split(":")[0]) for s in host.of("ota_status")}
    assert told.pop("1.1.0") == told.pop("1.4.0") == ("idle", "cancelled")
    assert told.pop("1.3.0") == ("idle", "superseded")
    assert told == {str(changes["version"]): ("refused", code) for code, (_, changes) in REFUSED.items()}
    facts = host.hello["ota"]
    assert (facts["revision"], facts["kinds"]) == ("b2", ["files"])
    assert sorted(path.name for path in (updatable.folder / "ota").iterdir()) == ["state"]
