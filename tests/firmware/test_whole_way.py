"""From a sentence to a board that goes on by itself: the real host, the firmware's own files, a chip that counts."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Ran, clean_environ, run_in
from tests.firmware.conftest import MICROPYTHON, PATIENCE_S, Firmware
from tests.virtual.py.bench import MODULES, Bench

from microclaw.boards.reader import load_board
from microclaw.cli.child import Child
from microclaw.virtual.board import Board
from microclaw.virtual.clock import RealClock

PIN = 4
HARD_RESET = 2  # virtual/py/modules/machine.py


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    if not MICROPYTHON.exists():
        pytest.skip("scripts/micropython.sh makes MicroPython's unix port")
    with Bench(Board(load_board("esp32-devkitc-v4"), RealClock()), tmp_path / "chip") as bench:
        yield bench


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
                await asyncio.sleep(0.2)  # the host tells nobody outside


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    host = Host(home)
    host.start()
    yield host
    host.stop()


async def until_edges(bench: Bench, more: int) -> list[tuple[float, int]]:
    """So many more edges of the pin, as (ms, level)."""
    first = bench.board.edges().next
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [edge for edge in bench.board.edges(first).records if edge.pin == PIN]
            if len(found) >= more:
                return [(edge.t_ms, edge.level) for edge in found]
            await asyncio.sleep(0.1)


async def test_a_sentence_blinks_without_the_host_and_after_a_power_cut_and_is_undone(
    bench: Bench, host: Host, tmp_path: Path
) -> None:
    file = tmp_path / "lamp.json"
    words = ["device", "provision", "lamp", "--board", "esp32-devkitc-v4", "--address", "127.0.0.1", "--file"]
    await host.answer(*words, str(file))
    made = json.loads(file.read_text())
    environ = {**os.environ, "MICROPYPATH": f"{MODULES}:.frozen", "MICROCLAW_BOARD": bench.address}
    board = Firmware(tmp_path / "board", boot="tests/firmware/on_bench/boot.py", environ=environ, restarts=HARD_RESET)
    facts = {"name": "esp32-devkitc-v4", "chip": "ESP32", "memory_floor": 0}
    told = {key: made[key] for key in ("host", "port", "ca_sha256", "secret")}
    board.write("settings.json", json.dumps({"board": facts, "ntp": "", **told}))
    async with board.running():
        await host.until_online()
        began = time.perf_counter()
        done = await host.answer("chat", "--yes", f"blink pin {PIN} twice a second")
        print(f"sentence to answer: {time.perf_counter() - began:.2f} s", done)
        assert [action["tool"] for action in done["actions"]] == ["deploy-wasm-app"]
        edges = await until_edges(bench, 5)
        assert {level for _, level in edges} == {0, 1}
        (app,) = (await host.answer("app", "list", "-d", "lamp"))["apps"]
        assert (app["name"], app["condition"], app["pins"]) == ("blink", "running", [PIN])

        await asyncio.to_thread(host.stop)
        assert len(await until_edges(bench, 4)) >= 4

        board.kill()
        bench.power_cut()
    async with board.running():
        assert len(await until_edges(bench, 4)) >= 4, "the program starts by itself, with no host to be seen"
        await asyncio.to_thread(host.start)
        await host.until_online()
        await host.answer("app", "undo")
        assert (await host.answer("app", "list", "-d", "lamp"))["apps"] == []
        report = await host.answer("doctor", "--report", "-d", "lamp")
        assert {check["part"]: check["outcome"] for check in report["checks"]}["call"].startswith("ok, "), report
        await host.ask("--yes", "exec", "lamp", "device.restart")  # its answer may be lost with the connection
        await host.until_online(connections=2)
    first = bench.board.edges().next
    assert not [e for e in bench.board.edges(first).records if e.pin == PIN]
