"""The firmware's own files are updated over the link: from /fw_a to /fw_b, and back where the new ones are no good."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.firmware.conftest import PATIENCE_S, SMALL, Firmware
from tests.firmware.ota_offers import NAME, offered, signer
from tests.firmware.programs import image
from tests.link.end import End, closing
from tests.link.plain_host import PlainHost, hosting
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from microclaw.devices.ota.bundle import pack

BOOT = "tests/firmware/simulated/boot_slots.py"
WELL = ["offered", "downloading", "verifying", "staged", "rebooting", "trial", "healthy"]
PIECE_BYTES = 1008
Message: TypeAlias = tuple[str, dict[str, Any]]
"""Its type and its body."""


class UpdateHost(PlainHost):
    """Its durable messages, as offers, wait until the board acks them; `serve` may refuse a window of the payload.

    `heard` has the bodies of what the board said, by type, each once.
    """

    def __init__(self, payload: bytes = b"") -> None:
        super().__init__()
        self.payload = payload
        self.heard: dict[str, list[dict[str, Any]]] = {}
        self.serve: Callable[[dict[str, Any]], bool] = lambda _window: True
        self.end: End | None = None
        self._seen: set[bytes] = set()
        self._said: list[Message] = []
        self._news = asyncio.Condition()

    async def say(self, *messages: Message) -> None:
        """Durable ones."""
        self._said += messages
        if self.end is not None:
            await self._catch_up(self.end)

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """The value of its result, which is one of success."""
        assert self.end is not None
        asked = await self.end.say("call", {"method": method, "params": params, "idempotent": False})
        end = self.end
        await self.until(lambda: bool(end.answers("result", asked)))
        result = end.answers("result", asked)[0]["body"]
        assert result["ok"], result
        return result["value"]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(holds)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return self.heard.get(kind, [])

    @property
    def boots(self) -> int:
        """The number of boots of the board that signed in; it signs in again in the same boot if a link breaks."""
        return len({hello["boot_id"] for hello in self.of("hello")})

    def states(self, version: str) -> list[str]:
        return [status["state"] for status in self.of("ota_status") if status["version"] == version]

    def logged(self, text: str) -> int:
        """The number of times that a program printed this."""
        return [line["text"] for line in self.of("log")].count(text)

    async def take(self, socket: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async with closing(End(socket, self.numbers)) as end:
                await self.greet(end)
                await self._catch_up(end)
                self.end = end
                try:
                    while True:
                        await end.take()
                        await self._hear_all(end)
                finally:
                    self.end = None
                    await self._hear_all(end)  # the last one too, whose ack did not go out

    async def answer(self, window: dict[str, Any]) -> None:
        assert self.end is not None
        begin = window["offset"]
        data = self.payload[begin : begin + window["length"]]
        for at in range(0, len(data), PIECE_BYTES):
            head = b"\x04" + window["sha256"][:8] + (begin + at).to_bytes(4, "big")
            await self.end.socket.send(head + data[at : at + PIECE_BYTES])

    async def _catch_up(self, end: End) -> None:
        for kind, body in self._said[self.numbers.tx_last :]:
            await end.say_durable(kind, body)

    async def _hear_all(self, end: End) -> None:
        for message in end.got:
            if message["id"] not in self._seen:
                self._seen.add(message["id"])
                await self._hear(message["type"], message["body"])

    async def _hear(self, kind: str, body: dict[str, Any]) -> None:
        self.heard.setdefault(kind, []).append(body)
        if kind == "blob_read" and self.end is not None and self.serve(body):
            await self.answer(body)
        async with self._news:
            self._news.notify_all()
        # A test that waits for this message looks before the next one is heard: a host that is slow reads many at once.
        await asyncio.sleep(0)


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


def offer(payload: bytes, number: int = 0, **changes: Any) -> Message:
    return "ota_offer", offered(payload, number, **changes)


def cancel(version: str) -> Message:
    return "ota_cancel", {"version": version}


# It leaves less than an update wants (22 KB) and more than calls need (9 KB), however much the firmware takes.
GREEDY = """
async def main(E):
    gc = E.module("gc")
    kept = []
    gc.collect()
    while gc.mem_free() > 15_000:
        await E.y()
        kept.append(bytearray(256))
        gc.collect()
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
        # It holds far more than it claims: while the new firmware begins, it may be ended for that, and starts again.
        await host.until(lambda: host.logged("full") >= 3)
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
    """Names stay in memory until the next start. Of 90,000 to 93,200 bytes an install has room, and an update not."""
    updatable.words = (str(SMALL), "-X", "heapsize=160K" if fits else "heapsize=91500")
    payload = pack(files(as_flashed, "1.4.0"))
    host = UpdateHost(payload)
    async with hosting(updatable, tmp_path, host), updatable.running(), asyncio.timeout(PATIENCE_S):
        await host.until(lambda: bool(host.of("hello")))
        await installed(host, image(tmp_path, "one", NAMES.format(names=3800 if fits else 1)))
        await host.say(offer(payload, board="esp32-small"))
        await host.until(lambda: host.boots == 2)
        if fits:
            await host.until(lambda: host.states("1.4.0")[-1:] == ["healthy"])
            assert host.logged("full") == 1
        else:
            await host.until(lambda: bool(host.of("error")))
        await host.until(lambda: host.logged("full") == 2)
    assert list(dict.fromkeys(host.states("1.4.0"))) == (WELL if fits else [])
    assert host.boots == (3 if fits else 2)


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
