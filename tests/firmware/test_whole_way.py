"""From a sentence to a board that goes on by itself: the real host and the firmware's own files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Ran, clean_environ, run_in
from tests.firmware.conftest import PATIENCE_S, Firmware

from microclaw.auth.provisioning import Provision
from microclaw.cli.child import Child

PIN = 4


class Host:
    """`microclaw up` in a folder of its own, at the same port each time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.link = "127.0.0.1:0"
        self._stack = ExitStack()

    def start(self) -> None:
        words = ["microclaw", "--json", "up", "--port", "0", "--virtual", "0", "--link", self.link]
        child = Child("host", [*words, "--die-with-parent"], log=self.home / "stderr", environ=clean_environ(self.home))
        self._stack.enter_context(child)
        ready = child.wait_ready()[0]
        self.link = str(ready["link"]).removeprefix("wss://").removesuffix("/link").replace("localhost", "127.0.0.1")

    def stop(self) -> None:
        self._stack.close()

    async def ask(self, *words: str) -> Ran:
        return await asyncio.to_thread(run_in, self.home, *words)

    async def answer(self, *words: str) -> Any:
        ran = await self.ask("--json", *words)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    async def until_online(self, connections: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                shown = await self.ask("--json", "device", "show", "lamp")  # unknown until it is paired
                link = json.loads(shown.out)["link"] if shown.code == 0 else {"online": False}
                if link["online"] and link["connections"] >= connections:
                    return
                await asyncio.sleep(1)  # the host tells nobody outside, and each question is a process


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    host = Host(home)
    host.start()
    yield host
    host.stop()


def edges(pins: Path) -> list[str]:
    """Every level that the pin took."""
    return [line.split()[1] for line in pins.read_text().splitlines() if line.startswith(f"{PIN} ")]


async def until_edges(pins: Path, more: int) -> None:
    """The pin changed so many more times."""
    before = len(edges(pins))
    async with asyncio.timeout(PATIENCE_S):
        while len(edges(pins)) < before + more:  # noqa: ASYNC110 - the chip tells nobody
            await asyncio.sleep(0.1)


async def test_a_sentence_blinks_without_the_host_and_after_a_power_cut_and_is_undone(
    board: Firmware, host: Host, tmp_path: Path
) -> None:
    file, pins = tmp_path / "lamp.json", tmp_path / "pins"
    words = ["device", "provision", "lamp", "--board", "esp32-devkitc-v4", "--address", "127.0.0.1", "--file"]
    await host.answer(*words, str(file))
    made = json.loads(file.read_text())
    pins.touch()
    board.environ["MICROCLAW_PINS"] = str(pins)
    board.told(Provision(made["host"], made["port"], made["ca_sha256"], made["secret"]))
    async with board.running():
        await host.until_online()
        done = await host.answer("chat", "--yes", f"blink pin {PIN} twice a second")
        assert [action["tool"] for action in done["actions"]] == ["deploy-wasm-app"]
        await until_edges(pins, 5)
        assert set(edges(pins)) == {"0", "1"}
        (app,) = (await host.answer("app", "list", "-d", "lamp"))["apps"]
        assert (app["name"], app["condition"], app["pins"]) == ("blink", "running", [PIN])
        await asyncio.to_thread(host.stop)
        await until_edges(pins, 4)
        board.kill()
    async with board.running():
        await until_edges(pins, 4)  # the program starts by itself, with no host to be seen
        await asyncio.to_thread(host.start)
        await host.until_online()
        await host.answer("app", "undo")
        assert (await host.answer("app", "list", "-d", "lamp"))["apps"] == []
        report = await host.answer("doctor", "--report", "-d", "lamp")
        assert {check["part"]: check["outcome"] for check in report["checks"]}["call"].startswith("ok, "), report
        before = len(edges(pins))
        await host.ask("--yes", "exec", "lamp", "device.restart")  # its answer may be lost with the connection
        await host.until_online(connections=2)
        assert len(edges(pins)) == before
