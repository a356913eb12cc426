"""`microclaw demo --fleet`: a good update reaches many virtual boards in stages, a bad one stops at the first board.

Power is cut on boards in the middle of a download, and the host is killed in the middle of the rollout: nobody is lost.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final
from urllib.parse import urlsplit

from microclaw import __version__
from microclaw.boards import load_board
from microclaw.cli.child import Child
from microclaw.cli.demo import BOARD, DemoFailed, Stage, uninterrupted
from microclaw.cli.demo_boards import LOOK_EVERY_S, BoardFleet, board_rows, wait_for_boards
from microclaw.cli.firmware_publish import new_manifest, send_release
from microclaw.cli.host_commands import screen_rows
from microclaw.client import DeviceChoice
from microclaw.durable import replace_file
from microclaw.ota.bundle import ABOUT, own_files, pack
from microclaw.ota.keys import SigningKey
from microclaw.ota.manifest import version_numbers
from microclaw.terminal.page import Terminal
from microclaw.text import count_text

FIRMWARE: Final = "microclaw-virtual"
"""What a virtual board's firmware calls itself (docs/protocols/virtual.md)."""
STAGES: Final = "1,50%,100%"
SOAK_S: Final = 1.0
DATA_BYTES: Final = 600_000
"""Beside our modules, so that a download takes long enough to be cut: a board has room for 1 MiB."""
PATIENCE_S: Final = 60.0
CUT_SHARE: Final = 6
"""One board of so many loses its power."""
POLL_S: Final = 0.02
_CHIP: Final = load_board(BOARD).chip.lower().replace("-", "")


def run_fleet_demo(stage: Stage, boards: int) -> int:
    stage.environ["TMPDIR"] = str(stage.home)  # what a killed host leaves goes with the home
    began_s = time.monotonic()
    with ExitStack() as running:
        demo = _FleetDemo(stage, running, boards)
        demo.begin()
        demo.roll_out_good()
        demo.roll_out_bad()
        demo.take_back()
        took_s = time.monotonic() - began_s
        cuts = count_text(demo.cuts, "power cut")
        stage.terminal.line(f"demo passed: {boards} boards, {cuts}, 1 host killed, nobody lost, {took_s:.0f} s")
    return 0


class _FleetDemo:
    """What is running, and the steps of the story; each prints its lines from what the host answers."""

    def __init__(self, stage: Stage, running: ExitStack, boards: int) -> None:
        self._stage = stage
        self._terminal: Terminal = stage.terminal
        self._running = running
        self._count = boards
        self._key = SigningKey.generate()
        self._link = "127.0.0.1:0"
        self._host: Child
        self._fleet: BoardFleet
        self._client = stage.client()
        self._good_number = 0
        self.cuts = 0
        major, minor, _ = version_numbers(__version__) or (0, 0, 0)
        self._good, self._bad = f"{major}.{minor + 1}.0", f"{major}.{minor + 2}.0"

    def begin(self) -> None:
        """The host, a first key, the boards that trust it."""
        self._start_host("ready")
        public = self._key.public
        self._client.post("/v1/firmware/keys", {"public": public.pem.decode(), "name": "demo"})
        replace_file(self._stage.home / "fleet.pub.pem", public.pem, mode=0o644)
        self._terminal.row("key", f"{public.key_id} (RSA 3072); the private half never goes to the host")
        began_s = time.monotonic()
        self._fleet = self._running.enter_context(BoardFleet(self._stage, self._stage.home / "fleet.pub.pem"))
        self._fleet.join(self._client, self._count)
        rows = wait_for_boards(self._client, self._count, None, PATIENCE_S)
        versions = ", ".join(sorted({row["firmware"]["version"] for row in rows}))
        took_s = time.monotonic() - began_s
        text = f"{len(rows)} virtual ESP32-S3 joined by the link in {took_s:.1f} s; firmware {versions}"
        self._terminal.row("boards", text)

    def roll_out_good(self) -> None:
        """It reaches every board, although power is cut and the host is killed."""
        self._publish(self._good)
        number = self._good_number = self._begin_rollout(self._good)
        self._end_stage(number, 1)
        self._cut_power(number, 2)
        self._end_stage(number, 2)
        if not self.cuts:  # on a fast machine downloads may be over before they are seen
            self._cut_power(number, 3)
        self._kill_host(number)
        one = self._end_stage(number, 3)
        if one["state"] != "done" or one["counts"]["healthy"] != self._count:
            raise DemoFailed(f"the rollout of {self._good} ended as {one['state']}: {one['reason']}")
        self._terminal.row("rollout", f"{number} is done: {one['reason']}", right="ok")
        self._terminal.line()

    def roll_out_bad(self) -> None:
        """It stops at its first board, which goes back by itself."""
        self._publish(self._bad, fault="crash")
        number = self._begin_rollout(self._bad)
        one = self._until(number, lambda one: one["state"] != "running")
        counts = one["counts"]
        if one["state"] != "halted" or counts["rolled_back"] != 1 or counts["waiting"] != self._count - 1:
            raise DemoFailed(f"the rollout of {self._bad} is {one['state']}: {one['reason'] or counts}")
        bad = one["failures"][0]
        self._terminal.row("stage 1", f"{bad['device']} does not come up, and goes back by itself: {bad['error']}")
        rest = count_text(counts["waiting"], "board")
        self._terminal.row("rollout", f"{number} is halted; {rest} were never offered {self._bad}", right="ok")
        told = [text for name, text in screen_rows(self._client.status()) if name == "rollout"]
        self._terminal.row("status", "; ".join(told))
        self._all_run(self._good)

    def take_back(self) -> None:
        """The good one, to the version that the boards were made with."""
        self._publish(__version__, allow_downgrade=True)
        (one,) = self._client.rollouts.undo(self._good_number)
        self._terminal.row("rollout", f"{one['rollout']} takes {self._good_number} back: rollout undo {one['undoes']}")
        one = self._until(one["rollout"], lambda one: one["state"] != "running")
        self._terminal.row("rollout", f"{one['rollout']} is {one['state']}: {one['reason']}", right="ok")
        self._all_run(__version__)

    def _all_run(self, version: str) -> None:
        rows = wait_for_boards(self._client, self._count, version, PATIENCE_S)
        self._terminal.row("boards", f"{len(rows)} of {self._count} online, each runs {version}", right="ok")
        self._terminal.line()

    # The host and its updates

    def _start_host(self, what: str) -> None:
        self._host = self._stage.start_host(self._running, "--link", self._link)
        ready, took_s = self._host.wait_ready()
        self._link = urlsplit(ready["link"]).netloc  # a killed one comes back where its boards look for it
        self._terminal.row("host", f"{what} in {took_s:.1f} s (pid {self._host.pid})   link {ready['link']}")

    def _publish(self, version: str, *, fault: str = "", allow_downgrade: bool = False) -> None:
        """Signed here, with a key that the host never sees."""
        payload = _payload(version, fault)
        manifest = new_manifest(
            payload,
            kind="files",
            name=FIRMWARE,
            board=_CHIP,
            channel="stable",
            version=version,
            security_version=0,
            key_id=self._key.public.key_id,
            allow_downgrade=allow_downgrade,
        )
        release = send_release(self._client, manifest, self._key.sign(manifest), payload, lambda _: None)
        size = f"{release['size_bytes'] / 1000:,.0f} KB"
        about = ", made to crash when it starts" if fault else ", boards may go back to it" if allow_downgrade else ""
        self._terminal.row("publish", f"{version}{about}: {size}, signed")

    def _begin_rollout(self, version: str) -> int:
        """Its number."""
        one = self._client.rollouts.start(version, DeviceChoice(all=True), stages=STAGES, soak_s=SOAK_S)
        stages = ", ".join(map(str, one["stages"]))
        text = f"{one['rollout']}: {version} to {one['count']} boards, in stages of {stages}"
        self._terminal.row("rollout", text)
        if one["count"] != self._count:
            raise DemoFailed(f"{one['count']} of {self._count} boards are in the rollout: {one['left_out']}")
        return int(one["rollout"])

    def _until(self, number: int, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The rollout when it is so, by the host's answers."""
        give_up = time.monotonic() + PATIENCE_S
        while not is_so(one := self._client.rollouts.get(number)):
            if time.monotonic() > give_up:
                raise DemoFailed(f"after {PATIENCE_S:g} s rollout {number} is {one['state']}: {one['counts']}")
            time.sleep(LOOK_EVERY_S)
        return one

    def _end_stage(self, number: int, stage: int) -> dict[str, Any]:
        one = self._until(number, lambda one: one["stage"] > stage or one["state"] != "running")
        size, before = one["stages"][stage - 1], one["stages"][stage - 2] if stage > 1 else 0
        boards = one["boards"][before:size]
        healthy = [each for each in boards if each["state"] == "healthy"]
        if len(healthy) < len(boards):
            raise DemoFailed(f"stage {stage}: {len(healthy)} of {len(boards)} boards are healthy: {one['reason']}")
        took_s = (max(each["ended_ms"] for each in boards) - min(each["offered_ms"] for each in boards)) / 1000
        text = f"{size} of {one['count']} boards have it: {len(healthy)} more, the last after {took_s:.1f} s"
        self._terminal.row(f"stage {stage}", text, right="ok")
        return one

    # What goes wrong on the way

    def _cut_power(self, number: int, stage: int) -> None:
        names = self._downloading(number, stage, max(1, self._count // CUT_SHARE))
        self._fleet.cut_power(names)
        rows = [row for row in board_rows(self._client) if row["device"] in names and _is_downloading(row)]
        if rows:
            cut = ", ".join(f"{row['device']} at {row['offer']['progress']:.0%}" for row in rows)
            self._terminal.row("power", f"cut (kill -9) in the middle of the download: {cut}")
        elif stage == 3:
            raise DemoFailed("no power was cut in the middle of a download: they were too fast")
        self.cuts += len(rows)
        self._fleet.power_on(names)

    def _kill_host(self, number: int) -> None:
        self._downloading(number, 3, 1)
        before = self._client.rollouts.get(number)["counts"]
        if not before["offered"]:
            raise DemoFailed("the rollout was through before the host could be killed", next_step="give more --boards")
        self._host.kill()
        boards = count_text(before["offered"], "board")
        self._terminal.row("host", f"killed (kill -9, pid {self._host.pid}) while {boards} updated")
        self._start_host("back")
        one = self._client.rollouts.get(number)
        counts = one["counts"]
        text = f"it goes on in stage {one['stage']}: {counts['healthy']} healthy, {counts['offered']} under way"
        self._terminal.row("", text)

    def _downloading(self, number: int, stage: int, wanted: int) -> list[str]:
        """At most `wanted` boards that are in the middle of their download in this stage, as soon as they are seen."""
        self._until(number, lambda one: one["stage"] >= stage or one["state"] != "running")
        seen: list[str] = []
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            found = [row["device"] for row in board_rows(self._client) if _is_downloading(row)]
            if len(found) >= wanted or (seen and len(found) <= len(seen)):
                return (found or seen)[:wanted]
            one = self._client.rollouts.get(number)
            if one["stage"] > stage or one["state"] != "running":
                return []
            seen = found
            time.sleep(POLL_S)
        raise DemoFailed(f"no board was seen in its download in stage {stage}")


def _is_downloading(row: Mapping[str, Any]) -> bool:
    """Whether something of the update is in flash, and not all of it."""
    offer = row["offer"]
    return offer is not None and offer["state"] == "downloading" and 0 < offer["progress"] < 1


def _payload(version: str, fault: str) -> bytes:
    """This installation's files for boards, and data; `fault` is what a virtual board fails by in its start."""
    with uninterrupted():  # a second at most: compilers that are broken off complain
        files = asyncio.run(own_files(_CHIP, name=FIRMWARE, version=version, security_version=0))
    about = {**json.loads(files[ABOUT]), "fault": fault}
    data = random.Random(version).randbytes(DATA_BYTES)  # noqa: S311 - the same release is the same bytes
    return pack({**files, ABOUT: json.dumps(about).encode(), "data.bin": data})
