"""Virtual boards of a demo: processes that joined its host, each with a flash that outlives a power cut."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Self

from microclaw.cli.child import Child
from microclaw.cli.demo import BOARD, DemoFailed, Stage, uninterrupted
from microclaw.client import Client
from microclaw.durable import write_private
from microclaw.virtual_boards.process import board_environ

LOOK_EVERY_S: Final = 0.1
AT_ONCE: Final = 16  # boards that start at the same time


class BoardFleet:
    """`with BoardFleet(stage, keys) as fleet: fleet.join(client, 20)`; leaving stops every board.

    `keys` is the file with the public keys whose updates they trust, `link_port` where they connect on loopback, where
    that is not the host's own.
    """

    def __init__(self, stage: Stage, keys: Path | None, *, link_port: int | None = None) -> None:
        self._stage = stage
        self._keys = keys
        self._link_port = link_port
        self._links: dict[str, tuple[str, ...]] = {}
        self._boards: dict[str, Child] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for board in self._boards.values():
            board.ask_to_end()
        for board in self._boards.values():
            board.stop()

    def join(self, client: Client, count: int) -> None:
        """Start so many boards, each with a secret that pairs it, and wait until each process is ready."""
        for number in range(1, count + 1):
            name = f"board-{number}"
            made = client.post("/v1/devices/provision", {"name": name, "board": BOARD, "secret": True, "host": None})
            secret = self._stage.home / f"{name}.secret"
            write_private(secret, made["secret"].encode("ascii"))
            url = f"wss://{made['host']}:{self._link_port or made['port']}/link"
            self._links[name] = ("--link", url, "--link-ca-sha256", made["ca_sha256"])
            self._start(name, "--link-secret-file", str(secret))
            if number > AT_ONCE:
                self._boards[f"board-{number - AT_ONCE}"].wait_ready()
        for board in list(self._boards.values())[-AT_ONCE:]:
            board.wait_ready()

    def cut_power(self, names: Iterable[str]) -> None:
        """kill -9: nothing of the process goes on, and nothing is written any more."""
        for name in names:
            self._boards[name].kill()

    def power_on(self, names: Iterable[str]) -> None:
        """The same flash in a new process."""
        for name in names:
            self._start(name)
        for name in names:
            self._boards[name].wait_ready()

    def _start(self, name: str, *options: str) -> None:
        home = self._stage.home
        words = ["microclaw.virtual", "--name", name, "--board", BOARD, "--wasmachine", "0", "--serial", "none"]
        words += ["--flash", str(home / "boards" / name), "--control", str(home / f"{name}.sock")]
        words += [] if self._keys is None else ["--update-keys", str(self._keys)]
        words += ["--die-with-parent", *self._links[name], *options]
        environ = board_environ(self._stage.environ)
        with uninterrupted():
            self._boards[name] = Child(name, words, log=home / f"{name}.stderr", environ=environ)


def board_rows(client: Client) -> list[dict[str, Any]]:
    """What the host knows of each board's firmware and update."""
    rows: list[dict[str, Any]] = client.firmware.status()
    return rows


def wait_for_boards(client: Client, count: int, version: str | None, patience_s: float) -> list[dict[str, Any]]:
    """Wait until so many boards are online, take updates, and run the version, where one is given."""
    give_up = time.monotonic() + patience_s
    while True:
        rows = board_rows(client)
        well = [row for row in rows if _is_well(row, version)]
        if len(well) == count:
            return rows
        if time.monotonic() > give_up:
            lost = ", ".join(row["device"] for row in rows if row not in well) or f"{count - len(rows)} never came"
            wanted = f"online with {version}" if version else "online"
            raise DemoFailed(f"{len(well)} of {count} boards are {wanted} after {patience_s:g} s; not: {lost}")
        time.sleep(LOOK_EVERY_S)


def _is_well(row: Mapping[str, Any], version: str | None) -> bool:
    return bool(row["online"] and row["takes_updates"]) and version in (None, row["firmware"]["version"])
