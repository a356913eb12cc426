"""`microclaw demo --cluster`: three hosts on three NATS servers; one is killed while a program goes to every board.

A balancer gives the boards one address for all hosts, as a DNS name or a load balancer does elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import Any, Final
from urllib.parse import urlsplit

from microclaw.cli.board_control import BoardControl
from microclaw.cli.child import Child
from microclaw.cli.demo import DemoFailed, Stage
from microclaw.cli.demo_boards import LOOK_EVERY_S, BoardFleet
from microclaw.client import DeviceChoice
from microclaw.terminal.page import Terminal
from microclaw.text import count_text

HOSTS: Final = 3
PATIENCE_S: Final = 120.0
A_BOARD_S: Final = 2.0  # a board's share of it, where there are many
ELSEWHERE_S: Final = 10.0
PROGRAM: Final = "blink"
PIN: Final = 2
SOURCE: Final = """#include "microclaw.h"

int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    for (;;) {
        delay(250);
        gpio_toggle(led);
    }
}
"""


def run_cluster_demo(stage: Stage, boards: int) -> int:
    stage.environ["TMPDIR"] = str(stage.home)  # what a killed host leaves goes with the home
    began_s = time.monotonic()
    with ExitStack() as running:
        demo = _ClusterDemo(stage, running, boards)
        demo.begin()
        demo.install()
        demo.look()
        took_s = time.monotonic() - began_s
        text = (
            f"demo passed: {HOSTS} hosts, 1 killed, {count_text(boards, 'board')}, each accounted for, {took_s:.0f} s"
        )
        stage.terminal.line(text)
    return 0


class _ClusterDemo:
    """What is running, and the steps of the story."""

    def __init__(self, stage: Stage, running: ExitStack, boards: int) -> None:
        self._stage = stage
        self._terminal: Terminal = stage.terminal
        self._running = running
        self._count = boards
        self._stages: list[Stage] = []
        self._hosts: list[Child] = []
        self._results: Sequence[Mapping[str, Any]] = ()
        self._balancer = _Balancer()
        self._patience_s = max(PATIENCE_S, A_BOARD_S * boards)

    def begin(self) -> None:
        """NATS, the hosts, the boards."""
        urls = self._running.enter_context(nats_servers(self._stage.home / "nats"))
        self._terminal.row("nats", f"three servers: {', '.join(urlsplit(url).netloc for url in urls)}")
        for number in range(1, HOSTS + 1):
            self._start_host(number, urls)
        port = self._running.enter_context(self._balancer.serving())
        self._terminal.row("balancer", f"boards connect to 127.0.0.1:{port}, which is any of the hosts")
        began_s = time.monotonic()
        fleet = BoardFleet(self._stage, None, link_port=port)
        self._running.enter_context(fleet).join(self._stages[0].client(), self._count)
        self._wait_online(self._count)
        for number in range(1, self._count + 1):
            self._stages[0].client().devices.label(f"board-{number}", ["fleet"])
        at = ", ".join(f"{count} at {name}" for name, count in sorted(self._places().items()))
        self._terminal.row("boards", f"{self._count} joined in {time.monotonic() - began_s:.1f} s: {at}")
        self._terminal.line()

    def install(self) -> None:
        """By label from the first host; the second is killed in the middle."""
        answer: list[dict[str, Any]] = []
        failed: list[Exception] = []

        def act() -> None:
            try:
                where, programs = DeviceChoice(labels=["fleet"]), self._stages[0].client().programs
                answer.append(programs.install(where, PROGRAM, SOURCE, within_s=self._patience_s))
            except Exception as exc:  # told by the demo's own thread
                failed.append(exc)

        installing = threading.Thread(target=act, name="install", daemon=True)
        installing.start()
        give_up = time.monotonic() + self._patience_s
        while self._installed() < max(1, self._count // 6) and installing.is_alive():
            if time.monotonic() > give_up:
                raise DemoFailed("no program was installed before the host was to be killed")
            time.sleep(LOOK_EVERY_S)
        was_there = self._places()["host-2"]
        killed_s = time.monotonic()
        self._hosts[1].kill()
        self._balancer.drop(1)
        boards = count_text(was_there, "board")
        self._terminal.row("host-2", f"killed (kill -9) with {boards}, while the program goes to {self._count}")
        self._wait_online(self._count, but_not="host-2")
        elsewhere_s = time.monotonic() - killed_s
        self._terminal.row("boards", f"all {self._count} connected elsewhere {elsewhere_s:.1f} s after", right="ok")
        if elsewhere_s > ELSEWHERE_S:
            self._terminal.row("", f"longer than the {ELSEWHERE_S:g} s that it should take")
        installing.join(self._patience_s)
        if failed or not answer:
            raise DemoFailed(f"the install ended without its table: {failed[0] if failed else 'it goes on'}")
        self._results = answer[0]["results"]

    def look(self) -> None:
        """The table against what each board itself says."""
        ends = Counter("installed" if "made" in row else row["error"]["code"] for row in self._results)
        told = {row["device"]: "made" in row for row in self._results}
        self._terminal.row("table", "; ".join(f"{count} {end}" for end, count in sorted(ends.items())))
        if len(told) != self._count:
            raise DemoFailed(f"the table has {len(told)} of {self._count} boards")
        there = {name: self._blinks(name) for name in told}
        false = [name for name, made in told.items() if made and not there[name]]
        if false:
            raise DemoFailed(f"told as installed, and nothing blinks there: {', '.join(false)}")
        doubtful = [row for row in self._results if "error" in row]
        unsure = [row for row in doubtful if there[row["device"]] and not _is_unknown(row["error"]["code"])]
        if unsure:
            names = ", ".join(f"{row['device']} ({row['error']['code']})" for row in unsure)
            raise DemoFailed(f"told as not installed, and it blinks: {names}")
        edges = "counted by each board's own clock"
        self._terminal.row("boards", f"{sum(there.values())} blink, {edges}; the table is true", right="ok")

    def _start_host(self, number: int, urls: Sequence[str]) -> None:
        home = self._stage.home / f"host-{number}"
        home.mkdir(mode=0o700)
        if number > 1:  # one authority for all: boards trust it, whichever host they reach
            shutil.copytree(self._stage.home / "host-1" / "identity", home / "identity")
        (home / "config.toml").write_text(f'[cluster]\nhost = "host-{number}"\n', encoding="utf-8")
        stage = replace(self._stage, home=home, environ={**self._stage.environ, "MICROCLAW_HOME": str(home)})
        host = stage.start_host(self._running, "--nats", ",".join(urls), "--link", "127.0.0.1:0")
        ready, took_s = host.wait_ready()
        self._stages.append(stage)
        self._hosts.append(host)
        self._balancer.targets.append(urlsplit(ready["link"]).port or 0)
        self._terminal.row(f"host-{number}", f"ready in {took_s:.1f} s (pid {host.pid})   api {ready['http']}")

    def _wait_online(self, count: int, *, but_not: str = "") -> None:
        """Until so many boards are connected to hosts, without that one."""
        give_up = time.monotonic() + self._patience_s
        while (online := sum(at for name, at in self._places().items() if name != but_not)) < count:
            if time.monotonic() > give_up:
                raise DemoFailed(f"{online} of {count} boards are online after {self._patience_s:g} s")
            time.sleep(LOOK_EVERY_S)

    def _places(self) -> Counter[str]:
        """Connected devices by host, as the first host sees them."""
        links = [row["link"] for row in self._stages[0].client().devices.list()]
        at = [(link["host"] or "host-1") for link in links if link is not None and link["online"]]
        return Counter(host[: len("host-1")] for host in at)

    def _installed(self) -> int:
        changes = self._stages[0].client().programs.changes(limit=self._count)
        return sum(row["state"] == "done" for row in changes)

    def _blinks(self, name: str) -> bool:
        with BoardControl(self._stage.home / f"{name}.sock") as board:
            return any(row.pin == PIN for row in board.edges(0).edges)


def _is_unknown(code: str) -> bool:
    """Whether the code says that nobody knows."""
    return code in ("outcome_unknown", "install_interrupted", "not_verified")


class _Balancer:
    """A TCP forwarder in a thread: each connection goes to the next host that takes it."""

    def __init__(self) -> None:
        self.targets: list[int] = []
        self._next = 0

    def drop(self, number: int) -> None:
        """That host is gone."""
        self.targets[number] = 0

    @contextmanager
    def serving(self) -> Iterator[int]:
        """Its port, as long as the block lasts."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="balancer", daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024), loop
        ).result()
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            loop.call_soon_threadsafe(server.close)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(len(self.targets)):
            self._next = (self._next + 1) % len(self.targets)
            if self.targets[self._next]:
                with contextlib.suppress(OSError):
                    far = await asyncio.open_connection("127.0.0.1", self.targets[self._next])
                    await asyncio.gather(_pump(reader, far[1]), _pump(far[0], writer))
                    return
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


@contextmanager
def nats_servers(folder: Path, count: int = 3) -> Iterator[list[str]]:
    """So many servers that are one NATS cluster with JetStream, on loopback; their addresses."""
    found = which("nats-server") or which("nats-server", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise DemoFailed("there is no nats-server on this machine", next_step="apt install nats-server")
    ports, routes = [free_port() for _ in range(count)], [free_port() for _ in range(count)]
    processes = []
    try:
        for number, (port, route) in enumerate(zip(ports, routes, strict=True), 1):
            home = folder / f"n{number}"
            home.mkdir(parents=True)
            around = ", ".join(f"nats://127.0.0.1:{each}" for each in routes)
            (home / "nats.conf").write_text(
                f'server_name: n{number}\nlisten: 127.0.0.1:{port}\njetstream {{ store_dir: "{home}" }}\n'
                f"cluster {{ name: demo, listen: 127.0.0.1:{route}, routes: [{around}] }}\n",
                encoding="utf-8",
            )
            with (home / "log").open("wb") as log:
                words = [found, "-c", str(home / "nats.conf")]
                processes.append(subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True))
        yield [f"nats://127.0.0.1:{port}" for port in ports]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def free_port() -> int:
    """Below those that the kernel gives to connections, so that none has it when the server starts."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(15_000, 32_000)))  # noqa: S311
            return int(probe.getsockname()[1])
