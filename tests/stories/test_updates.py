"""Signed updates: from the first key on, signed elsewhere, cut in the middle, refused, in stages, and reverted."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.stories.conftest import TIMEOUT_S, Host, Ran, running_host, started, until
from tests.stories.link_board import Board, paired

from microclaw.devices.ota import operations as firmware
from microclaw.host.operations.connection import HostError
from microclaw.host.store.firmware import ENDED

FIRMWARE = ("--board", "esp32s3", "--name", "microclaw-virtual")


@dataclass
class Fleet:
    """A host, a folder with its signing keys, and a board that trusts the first of them."""

    host: Host
    folder: Path
    board: subprocess.Popen[str]
    pid: int = 0

    @property
    def key(self) -> Path:
        return self.folder / "fleet.pem"

    def publish(self, version: str, *words: str, key: Path | None = None) -> Ran:
        signed = ("--key", str(key or self.key))
        return self.host.run("firmware", "publish", "--version", version, *FIRMWARE, *words, *signed)

    def start_board(self) -> None:
        """The board lamp, with what is in its flash."""
        words = ("virtual", "--join", "--name", "lamp", "--serial", "none", "--flash", str(self.folder / "flash"))
        self.board = started(self.host.home, "--json", *words)
        assert self.board.stdout is not None
        self.pid = int(json.loads(self.board.stdout.readline())["pid"])
        until(lambda: self.lamp()["online"])

    def stop_board(self, *, cut: bool = False) -> None:
        """Switch it off, or cut its power."""
        if cut:
            os.kill(self.pid, signal.SIGKILL)
        else:
            self.board.terminate()
        self.board.wait()
        assert self.board.stdout is not None
        self.board.stdout.close()

    def lamp(self) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.host.client.get("/v1/firmware/status")["devices"]
        rows = {row["device"]: row for row in found}
        return rows.get("lamp", {"online": False})

    def runs(self, version: str) -> None:
        """The board runs this version, which may be an older one."""
        assert self.publish(version, "--allow-downgrade").code == 0
        assert self.host.run("firmware", "update", version, "-d", "lamp").code == 0
        assert self.version == version

    @property
    def version(self) -> str:
        return str(self.lamp()["runs"]["version"])


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with running_host(folder / "home", "--virtual", "0") as host:
        made = host.run("firmware", "keygen", "--out", str(folder / "fleet.pem"), "--json")
        assert (made.code, made.json["known_to_host"]) == (0, True)
        assert (folder / "fleet.pem").stat().st_mode & 0o777 == 0o600
        found = Fleet(host, folder, None)  # type: ignore[arg-type]
        try:
            found.start_board()
            yield found
        finally:
            found.stop_board()


def test_an_update_is_published_offered_and_healthy(fleet: Fleet) -> None:
    assert fleet.publish("1.1.0").code == 0
    done = fleet.host.run("firmware", "update", "1.1.0", "-d", "lamp", "--json")
    assert (done.code, done.json["results"][0]["offer"]["state"]) == (0, "healthy")
    assert fleet.version == "1.1.0"


def test_who_signs_elsewhere_is_believed_by_the_signature_alone(fleet: Fleet) -> None:
    """The signer is a program of its own, as a token's is."""
    pss = "-sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"
    stranger = fleet.folder / "stranger.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(stranger), "3072"], check=True, capture_output=True)
    releases = len(fleet.host.client.call(firmware.list_releases).releases)
    public = str(fleet.folder / "fleet.pub.pem")
    words = ("firmware", "publish", "--version", "1.2.0", *FIRMWARE, "--public-key", public)
    for key, code in ((stranger, 1), (fleet.key, 0)):
        ran = fleet.host.run(*words, "--sign-command", f"openssl dgst -sha256 -sign {key} {pss}")
        assert ran.code == code, ran.err
        assert len(fleet.host.client.call(firmware.list_releases).releases) == releases + (code == 0)


def test_a_board_whose_power_is_cut_in_the_middle_is_whole_and_ends_healthy(fleet: Fleet) -> None:
    before = fleet.version
    assert fleet.publish("1.2.1").code == 0
    assert fleet.host.run("firmware", "update", "1.2.1", "-d", "lamp", "--no-follow").code == 0
    until(lambda: (fleet.lamp()["offer"] or {}).get("state") not in (None, "waiting"), 60)
    fleet.stop_board(cut=True)
    fleet.start_board()
    assert fleet.version in (before, "1.2.1")
    until(lambda: fleet.lamp()["offer"]["state"] in ENDED)
    assert (fleet.lamp()["offer"]["state"], fleet.version) == ("healthy", "1.2.1")


def test_an_older_version_is_refused_unless_it_was_signed_to_be_one(fleet: Fleet) -> None:
    before = fleet.version
    assert fleet.publish("0.0.1").code == 0
    assert fleet.host.run("firmware", "update", "0.0.1", "-d", "lamp").code == 1
    assert fleet.version == before
    fleet.runs("0.0.2")


def test_what_the_board_does_not_trust_or_is_not_for_it_is_not_offered(fleet: Fleet) -> None:
    other = fleet.folder / "other.pem"
    assert fleet.host.run("firmware", "keygen", "--out", str(other)).code == 0
    assert fleet.host.run("firmware", "keygen", "--out", str(fleet.folder / "same.pem"), "--name", "other").code == 0
    assert [key.name for key in fleet.host.client.call(firmware.list_keys).keys] == ["fleet", "other"]
    assert fleet.publish("1.3.0", key=other).code == 0
    assert fleet.publish("1.3.1", "--channel", "beta").code == 0
    before = fleet.lamp()
    for version in ("1.3.0", "1.3.1"):
        [row] = fleet.host.client.call(firmware.update, release=version, devices=("lamp",)).results
        assert row.error is not None
    with pytest.raises(HostError) as unknown:
        fleet.host.client.call(firmware.update, release="9.9.9", devices=("lamp",))
    assert unknown.value.code == "unknown_name"
    assert [fleet.lamp()[key] for key in ("offer", "runs")] == [before["offer"], before["runs"]]


def test_a_board_trusts_another_key_and_no_key_takes_itself_away(fleet: Fleet) -> None:
    def change(*words: str) -> int:
        return fleet.host.run("firmware", "change-keys", *words, "--key", str(fleet.key), "-d", "lamp", "-y").code

    [first] = fleet.lamp()["runs"]["keys"]
    assert change("--add", str(fleet.folder / "other.pub.pem")) == 0
    assert len(fleet.lamp()["runs"]["keys"]) == 2
    assert [change("--remove", wrong) for wrong in (first, "f" * 16)] == [1, 1]  # its own, and one that nobody trusts
    [other] = {*fleet.lamp()["runs"]["keys"]} - {first}
    assert change("--remove", other) == 0
    assert fleet.lamp()["runs"]["keys"] == [first]


def rollout(host: Host, number: int) -> str:
    """The state of a rollout."""
    return host.client.call(firmware.show_rollout, number=number).state


def test_a_rollout_is_taken_back_to_what_its_boards_ran(fleet: Fleet) -> None:
    fleet.runs("0.0.3")
    assert fleet.publish("1.4.0").code == 0
    started = fleet.host.run("firmware", "rollout", "1.4.0", "-d", "lamp", "--soak", "1s", "-y", "--json")
    assert started.code == 0, started.err
    number = started.json["rollout"]
    until(lambda: rollout(fleet.host, number) == "done")
    assert fleet.version == "1.4.0"
    assert fleet.host.run("firmware", "rollouts", str(number), "--do", "undo", "-y").code == 0
    until(lambda: fleet.version == "0.0.3" and fleet.lamp()["offer"]["state"] == "healthy")


async def fails(board: Board, key_id: str, offers: list[str], ready: asyncio.Event) -> None:
    """A board that takes no update well."""
    ota = {"board": "esp32s3", "channel": "stable", "kinds": ["files"], "keys": [key_id], "security_version": 0}
    runs = {"name": "microclaw-virtual", "version": "1.0.0"}
    async with board.greeted("device.info", firmware=runs, ota=ota) as link:
        ready.set()
        offer = await link.next("ota_offer")
        version = json.loads(offer["body"]["manifest"])["version"]
        offers.append(version)
        for state, error in (("offered", {}), ("failed", {"error": "flash_error"})):
            await link.say_durable("ota_status", {"version": version, "state": state, "progress": 0, **error})
        await link.ended()


async def test_a_rollout_stops_itself_at_the_first_board_that_fails(fleet: Fleet, tmp_path: Path) -> None:
    host = fleet.host
    offers: list[str] = []
    assert (await asyncio.to_thread(fleet.publish, "1.5.0")).code == 0
    key_id = fleet.lamp()["runs"]["keys"][0]
    boards = []
    for name in ("paper", "stone"):
        ready = asyncio.Event()
        boards.append(asyncio.create_task(fails(await paired(host, tmp_path, name), key_id, offers, ready)))
        async with asyncio.timeout(TIMEOUT_S):
            await ready.wait()
    words = ("firmware", "rollout", "1.5.0", "-d", "paper", "-d", "stone", "--stages", "1,100%", "--soak", "1s", "-y")
    started = await asyncio.to_thread(host.run, *words, "--json")
    assert started.code == 0, started.err
    number = started.json["rollout"]
    await asyncio.to_thread(until, lambda: rollout(host, number) != "running")
    assert await asyncio.to_thread(rollout, host, number) == "halted"
    assert offers == ["1.5.0"]
    for board in boards:
        board.cancel()
    await asyncio.gather(*boards, return_exceptions=True)
