"""The demo's other forms: a spoken sentence, and a fleet that is updated in stages."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any, Final
from urllib.parse import urlsplit

from microclaw import __version__
from microclaw.devices.ota import operations as firmware
from microclaw.devices.ota.bundle import ABOUT, own_files, pack
from microclaw.devices.ota.keys import SigningKey
from microclaw.durable import replace_file
from microclaw.hardware.boards import load_board
from microclaw.interfaces.api.operations import read_status
from microclaw.interfaces.cli.demo_stage import BOARD, EDGES, PIN, DemoFailed, Rows, Stage
from microclaw.interfaces.cli.firmware_commands import send_release
from microclaw.interfaces.voice.engines.engine import RATE_HZ
from microclaw.programs.changes.device_operations import add_device
from microclaw.text import count_text
from microclaw.wire import board_control as control

SPOKEN: Final = "blink pin two every half second"
# Makes a download long enough to be cut; a board has room for 1 MiB.
DATA_BYTES: Final = 750_000
FIRMWARE: Final = "microclaw-virtual"
GOOD = "90.1.0"
BAD = "90.2.0"


def voice_demo(stage: Stage) -> Rows:
    """Say a sentence into a board's microphone: its pin blinks, and it answers aloud."""
    stage.count = 1
    _, took_s = stage.start_host("--link", "127.0.0.1:0")
    client = stage.client()
    facts = client.get("/v1/voice")
    if facts["state"] == "off" or facts["problem"]:
        raise DemoFailed(f"the host does not speak: {facts['problem']}; next: docs/voice.md")
    engines = {engine["role"]: engine["name"] for engine in reversed(facts["engines"])}
    yield "host", f"ready in {took_s:.1f} s   hears with {engines['asr']}, speaks with {engines['tts']}"
    (name,) = stage.join(client)
    board = stage.board(name)
    stage.until(lambda: board.ask(control.Link()).state == "connected", "the board is not linked")
    client.call(add_device, name=name, transports=stage.transports(name))
    yield "board", f"{name} is linked, with a microphone and a speaker"
    recording = stage.home / "said.wav"
    recording.write_bytes(asyncio.run(_speech()))
    yield "you", f"(spoken) {SPOKEN}"
    cursor = board.edges(0).cursor
    board.ask(control.Mic(str(recording), "wake"))

    def answered() -> Any:
        speaker = board.ask(control.Speaker())
        if speaker.said and not speaker.speaking and not speaker.listening:
            return speaker
        return None

    speaker = stage.until(answered, "nothing was answered")
    yield "heard", speaker.heard[-1] if speaker.heard else "nothing"
    yield "spoken", " ".join(speaker.said)
    edges, _ = stage.watch_pin(board, cursor)
    if len(edges) < EDGES:
        raise DemoFailed(f"pin {PIN} changed {len(edges)} times, {EDGES} were due: heard {speaker.heard}")
    yield "passed", f"spoken, heard, {len(edges)} edges, answered aloud"


async def _speech() -> bytes:
    """Return the sentence as flite speaks it, as a WAV file."""
    from microclaw.interfaces.voice.engines.flite import Flite
    from microclaw.interfaces.voice.engines.wav import wav_of
    from microclaw.interfaces.voice.resampling import Resampler

    resampler = Resampler(RATE_HZ)
    pcm = b""
    async for piece in Flite("rms").speak(SPOKEN):
        pcm += resampler.feed(piece.pcm, piece.rate_hz)
    return wav_of(pcm + resampler.rest(), RATE_HZ)


def fleet_demo(stage: Stage) -> Rows:
    """Update every board, with a power cut and a killed host; then a bad release, which stops at the first board."""
    client = stage.client()
    began_s = time.monotonic()
    key = SigningKey.generate()
    ready, took_s = stage.start_host("--link", "127.0.0.1:0")
    host = stage.children["host"]
    yield "host", f"ready in {took_s:.1f} s (pid {host.pid})   link {ready['link']}"
    client.call(firmware.trust, public=key.public.pem.decode(), name="demo")
    replace_file(stage.home / "fleet.pem", key.public.pem, mode=0o644)
    yield "key", f"{key.public.key_id} (RSA 3072); the private half never goes to the host"
    boards = stage.join(client, "--update-keys", str(stage.home / "fleet.pem"))
    yield _all_run(stage, __version__)

    yield _publish(stage, key, GOOD)
    number = _roll_out(stage, GOOD)
    yield _stage_row(stage, number, 1)
    yield from _cut_power(stage, boards)
    yield _stage_row(stage, number, 2)
    yield from _kill_host(stage, ready["link"])
    yield _stage_row(stage, number, 3, "done")
    yield _all_run(stage, GOOD)

    yield _publish(stage, key, BAD, fault="crash")
    yield from _stop_bad(stage)
    yield _all_run(stage, GOOD)

    yield _publish(stage, key, __version__)
    (undo,) = client.call(firmware.change_rollout, number=number, act="undo").rollouts
    yield "undo", f"rollout {undo.rollout} takes {number} back"
    yield _stage_row(stage, undo.rollout, 3, "done")
    yield _all_run(stage, __version__)
    duration_s = time.monotonic() - began_s
    yield "passed", f"{stage.count} boards, 1 power cut, 1 host killed, no board lost, {duration_s:.0f} s"


def _cut_power(stage: Stage, boards: dict[str, list[str]]) -> Rows:
    """Kill a board in its download and start it again; `boards` are the options of each."""
    (board,) = stage.until(lambda: _downloading(stage)[:1], "no board was seen in its download")
    stage.children[board.device].kill()
    yield "power", f"cut (kill -9) in the middle of the download: {board.device} at {board.offer.progress:.0%}"
    stage.start_board(board.device, *boards[board.device]).wait_ready()


def _kill_host(stage: Stage, link: str) -> Rows:
    """Kill the host while boards download, and start it again at the address that its boards know."""
    host = stage.children["host"]
    boards = stage.until(lambda: _downloading(stage), "no board was seen in its download")
    host.kill()
    yield "host", f"killed (kill -9, pid {host.pid}) while {count_text(len(boards), 'board')} updated"
    _, took_s = stage.start_host("--link", urlsplit(link).netloc)
    yield "host", f"back in {took_s:.1f} s"


def _stop_bad(stage: Stage) -> Rows:
    """Roll the bad release out, and check that only one board gets it and goes back."""
    client = stage.client()
    number = _roll_out(stage, BAD)
    yield _stage_row(stage, number, 1, "halted")
    counts = client.call(firmware.show_rollout, number=number).counts
    if counts["rolled_back"] != 1 or counts["waiting"] != stage.count - 1:
        raise DemoFailed(f"the bad update went on to more boards: {counts}")
    yield "", f"that board goes back by itself; {count_text(counts['waiting'], 'board')} were never offered {BAD}"
    rows = client.call(read_status).screen
    yield "status", "; ".join(row.text for row in rows if row.about == "rollout")


def _publish(stage: Stage, key: SigningKey, version: str, fault: str = "") -> tuple[str, str]:
    """Sign and publish this installation's files for boards, and data; `fault` is how a board fails when it starts."""
    chip = load_board(BOARD).chip.lower().replace("-", "")
    files = asyncio.run(own_files(chip, name=FIRMWARE, version=version, security_version=0))
    about = {**json.loads(files[ABOUT]), "fault": fault}
    # The version is the seed, so that the same release has the same bytes.
    data = random.Random(version).randbytes(DATA_BYTES)  # noqa: S311
    payload = pack({**files, ABOUT: json.dumps(about).encode(), "data.bin": data})
    release = send_release(
        stage.client(),
        payload,
        key.public.key_id,
        key.sign,
        say=lambda _: None,
        kind="files",
        name=FIRMWARE,
        board=chip,
        channel="stable",
        version=version,
        security_version=0,
        allow_downgrade=version == __version__,
    )
    note = ", made to crash when it starts" if fault else ""
    return "publish", f"{version}{note}: {release.size_bytes / 1000:,.0f} KB, signed"


def _roll_out(stage: Stage, version: str) -> int:
    started = stage.client().call(firmware.roll_out, version=version, stages="1,50%,100%", soak="1s", all=True)
    return started.rollout


def _stage_row(stage: Stage, number: int, part: int, state: str = "running") -> tuple[str, str, str]:
    """Wait until the rollout is after stage `part`, or over. Raises DemoFailed if its state is not `state` then."""

    def look() -> Any:
        rollout = stage.client().call(firmware.show_rollout, number=number)
        if rollout.stage > part or rollout.state != "running":
            return rollout
        return None

    rollout = stage.until(look, f"rollout {number} did not continue")
    if rollout.state != state:
        raise DemoFailed(f"rollout {number} is {rollout.state} in stage {part}: {rollout.reason}")
    end = ""
    if state != "running":
        end = f"; rollout {number} is {rollout.state}: {rollout.reason}"
    return f"stage {part}", f"{rollout.counts['healthy']} of {rollout.count} boards have it{end}", "ok"


def _downloading(stage: Stage) -> list[Any]:
    """Return the boards that have a part of the update in flash, but not all of it."""
    boards = []
    for device in stage.client().call(firmware.status).devices:
        offer = device.offer
        if offer and offer.state == "downloading" and 0 < offer.progress < 1:
            boards.append(device)
    return boards


def _all_run(stage: Stage, version: str) -> tuple[str, str, str]:
    """Wait until every board is online, takes updates and runs the version."""

    def look() -> bool:
        devices = stage.client().call(firmware.status).devices
        versions = [device.runs.version for device in devices if device.online and device.runs]
        return versions == [version] * stage.count

    stage.until(look, f"not all boards are online with {version}")
    return "boards", f"{stage.count} virtual ESP32-S3 online, each runs {version}", "ok"
