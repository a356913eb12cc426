"""`microclaw firmware` as people run it: a fleet from its first key on, and who signs elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import json
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Ran, run_in
from tests.flash.images import program
from tests.link_server.real_host import RealHost, real_host
from tests.link_server.scripted import PATIENCE_S, ScriptedDevice
from tests.ota.conftest import vector_key
from tests.ota.test_serving import fetch

from microclaw.cli.firmware_signing import run_sign_command
from microclaw.cli.main import main
from microclaw.errors import ConfigError
from microclaw.ota.bundle import unpack
from microclaw.ota.keys import PublicKey, read_public_key
from microclaw.ota.manifest import KeyChange, Release, read_manifest
from microclaw.wire.link.messages import Hello, OtaFacts, OtaOffer, OtaStatus, Software

__all__ = ["real_host"]


class Board:
    """A board that checks and takes what it is offered, as docs/protocols/ota.md says."""

    def __init__(self, device: ScriptedDevice, key: PublicKey) -> None:
        self.device = device
        self.key = key
        self.keys = [key.key_id]
        self.version = "1.3.0"
        self.files: dict[str, bytes] = {}
        self.offers = 0
        self.updated = asyncio.Event()
        self.on_trial: str | None = None

    @asynccontextmanager
    async def here(self) -> AsyncIterator[None]:
        ready = asyncio.Event()
        living = asyncio.create_task(self._live(ready), name="board")
        try:
            await ready.wait()
            yield
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)

    async def _live(self, ready: asyncio.Event) -> None:
        """One start of the board after the other."""
        while True:
            async with self.device.connected(self._hello()):
                await self.device.until_ready()
                if self.on_trial is not None:
                    for state in ("trial", "healthy"):
                        await self.device.send(OtaStatus(self.on_trial, state, 1))
                    self.on_trial = None
                    self.updated.set()
                ready.set()
                await self._work()

    def _hello(self) -> Hello:
        facts = OtaFacts("esp32-small", "stable", ("files",), tuple(self.keys), 0)
        usual = self.device.hello()
        return Hello(
            usual.boot_id, Software("microclaw-micropython", self.version), usual.board, usual.capabilities,
            usual.tx_epoch, 0, "power_on", ota=facts,
        )  # fmt: skip

    async def _work(self) -> None:
        """Until the board restarts into an update."""
        while self.on_trial is None:
            envelope = await self.device.got.get()
            if not isinstance(envelope.body, OtaOffer):
                continue
            self.offers += 1
            offer = envelope.body
            self.key.verify(offer.manifest, offer.signature)
            manifest = read_manifest(offer.manifest)
            if isinstance(manifest, KeyChange):
                self.keys = [one for one in self.keys if one not in manifest.remove] + [k.key_id for k in manifest.add]
                await self.device.send(OtaStatus(manifest.version, "healthy", 1))
                continue
            await self._update(manifest)

    async def _update(self, manifest: Release) -> None:
        say = self.device.send
        await say(OtaStatus(manifest.version, "offered", 0))
        await say(OtaStatus(manifest.version, "downloading", 0))
        payload = await fetch(self.device, bytes.fromhex(manifest.sha256), manifest.size)
        assert hashlib.sha256(payload).hexdigest() == manifest.sha256
        self.files, self.version = unpack(payload), manifest.version
        for state in ("verifying", "staged", "rebooting"):
            await say(OtaStatus(manifest.version, state, 1))
        self.on_trial = manifest.version


async def run(home: Path, *words: str, code: int = 0) -> Ran:
    ran = await asyncio.to_thread(run_in, home, *words)
    assert ran.code == code, ran
    return ran


async def document(home: Path, *words: str, code: int = 0) -> Any:
    return json.loads((await run(home, *words, "--json", code=code)).out)


async def test_a_fleet_from_its_first_key_on(real_host: RealHost, tmp_path: Path) -> None:
    home, secret = real_host.home, tmp_path / "fleet.pem"
    made = await document(home, "firmware", "keygen", "--out", str(secret))
    assert made["known_to_host"]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    key = read_public_key(tmp_path / "fleet.pub.pem")
    board = Board(await real_host.device("lamp"), key)
    ours = ("firmware", "publish", "--board", "esp32-small", "--key", str(secret))
    published = await document(home, *ours, "--version", "1.4.0", "--security-version", "2")
    assert published["release"]["kind"] == "files"
    async with board.here():
        ran = await run(home, "firmware", "update", "1.4.0", "-d", "lamp")
        assert "lamp: 1.4.0 healthy" in ran.out
        assert json.loads(board.files["about.json"])["version"] == "1.4.0"
        assert "start.mpy" in board.files

    # Once more with the device away; the host is killed before it comes back, and nothing is offered twice.
    published = await document(home, *ours, "--version", "1.5.0")
    assert published["release"]["security_version"] == 2
    ran = await run(home, "firmware", "update", "1.5.0", "-d", "lamp")
    assert "waits until the device is back" in ran.out
    real_host.kill()
    real_host.start()
    board.device.address = real_host.address
    body = {"release": "1.5.0", "devices": ["lamp"]}
    again = await asyncio.to_thread(real_host.client.post, "/v1/firmware/offers", body)
    assert again["results"][0]["offer"]["state"] == "waiting"
    board.updated.clear()
    async with board.here():
        async with asyncio.timeout(PATIENCE_S):
            await board.updated.wait()

        # Another key, and the first one no more.
        second = vector_key("second", tmp_path)
        public = tmp_path / "second.pub.pem"
        public.write_bytes(second.public.pem)
        chosen = ("-d", "lamp", "--yes")
        await run(home, "firmware", "keys", "add", str(public), "--sign-with", str(secret), *chosen)
        assert board.keys == [key.key_id, second.public.key_id]
        assert (board.offers, board.version) == (3, "1.5.0")
        board.key = second.public
        remove = ("firmware", "keys", "remove", key.key_id, "--sign-with", str(tmp_path / "second.pem"), *chosen)
        await run(home, *remove)
        assert board.keys == [second.public.key_id]
    async with board.here():
        late = await run(home, "firmware", "update", "1.4.0", "-d", "lamp", code=1)
        assert "does not trust the key" in late.out
        assert "next: with a key that it trusts" in late.out
        same = await document(home, "firmware", "update", "1.5.0", "-d", "lamp")
        assert same["results"] == [{"device": "lamp", "already": "1.5.0"}]
    shown = (await run(home, "firmware", "status")).out
    assert "microclaw-micropython 1.5.0" in shown
    log = (await run(home, "audit")).out
    for kind in ("firmware.key", "firmware.published", "firmware.offered"):
        assert kind in log

    # An image goes by its own name, or by that of our firmware where it is MicroPython's; no board runs another one.
    image = tmp_path / "application.bin"
    whole = ("firmware", "publish", "--board", "esp32", "--key", str(tmp_path / "second.pem"), "--image", str(image))
    image.write_bytes(program(0, "sensor-node", "1.6.0"))
    refused = (await run(home, *whole, code=1)).err
    assert "the image calls itself sensor-node, and each esp32 here runs microclaw-micropython" in refused
    image.write_bytes(program(0, "micropython", "v1.26.1"))
    made = await document(home, *whole, "--version", "1.6.0", "--revision", "b2")
    assert (made["release"]["name"], made["release"]["revisions"]) == ("microclaw-micropython", ["b2"])
    refused = (await run(home, "firmware", "update", "1.6.0", "-d", "lamp", code=1)).out
    assert "does not know its revision" in refused or "takes files" in refused
    assert (await document(home, "firmware", "withdraw", "1.6.0", "--yes"))["called_off"] == []


SIGNER = "import sys;from pathlib import Path;from tests.ota.conftest import vector_key;"


def test_a_manifest_is_signed_elsewhere_and_checked_before_it_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path / "home"))
    out, public = tmp_path / "release.json", tmp_path / "first.pub.pem"
    key = vector_key("first", tmp_path)
    public.write_bytes(key.public.pem)
    words = ["firmware", "publish", "--version", "1.4.0", "--board", "esp32-small", "--public-key", str(public)]
    assert main([*words, "--manifest-only", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["payload"] == f"{out}.payload"
    manifest = out.read_bytes()
    read = read_manifest(manifest)
    assert isinstance(read, Release)
    assert read.key_id == key.public.key_id
    signature = tmp_path / "signature"
    signature.write_bytes(key.sign(manifest))
    files = ["--manifest", str(out), "--signature", str(signature)]
    publish, verify = ["firmware", "publish", *files], ["firmware", "verify", *files, "--public-key", str(public)]
    assert main(verify) == 0
    assert main(publish) == 3  # all is right, and no host runs
    assert "no host" in capsys.readouterr().err
    beside = tmp_path / "release.json.payload"
    beside.write_bytes(beside.read_bytes() + b"x")
    assert main(publish) == 1
    assert "not the one of the manifest" in capsys.readouterr().err
    out.write_bytes(manifest + b" ")
    assert main(verify) == 1
    assert "is not of these bytes" in capsys.readouterr().err


def test_a_sign_command_gets_the_manifest_and_gives_the_signature(tmp_path: Path) -> None:
    key = vector_key("first", tmp_path)
    code = f"{SIGNER}sys.stdout.buffer.write(vector_key('first',Path({str(tmp_path)!r})).sign(sys.stdin.buffer.read()))"
    signature = run_sign_command(f'{sys.executable} -c "{code}"', b"manifest")
    key.public.verify(b"manifest", signature)


def test_openssl_signs_what_boards_verify(tmp_path: Path) -> None:
    key = vector_key("first", tmp_path)
    command = (
        f"openssl dgst -sha256 -sign {tmp_path / 'first.pem'} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32"
    )
    key.public.verify(b"manifest", run_sign_command(command, b"manifest"))


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("false", "gave 0 bytes"), ("echo signed", "gave 7 bytes"), ("cat /dev/zero", "gave 385 bytes"),
        ("no-such-signer", "cannot start"), ("", "cannot start"), ("unclosed '", "cannot start"),
        ("tail -f /dev/null", "within 0.5 s"),
    ],
)  # fmt: skip
def test_a_sign_command_that_does_not_sign_is_told(command: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        run_sign_command(command, b"manifest", limit_s=0.5)


def test_a_board_that_there_is_not_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    ran = run_in(tmp_path, "firmware", "publish", "--version", "1.4.0", "--board", "esp32s9")
    assert ran.code == 1
    assert "--board is one of esp32, esp32s2" in ran.err


def test_a_key_is_locked_and_never_overwritten(tmp_path: Path) -> None:
    home, out, word = tmp_path / "home", tmp_path / "key.pem", tmp_path / "word"
    word.write_text("open sesame\n")
    ran = run_in(home, "firmware", "keygen", "--out", str(out), "--password", f"@{word}")
    assert ran.code == 0, ran
    assert "lost" in ran.out
    assert "ENCRYPTED" in out.read_text()
    before = out.read_bytes()
    ran = run_in(home, "firmware", "keygen", "--out", str(out))
    assert (ran.code, out.read_bytes()) == (1, before)
