"""The demo's other forms: a spoken sentence, and a fleet that is updated in stages."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any, Final
from urllib.parse import urlsplit

from microclaw import __version__
from microclaw.api.operations import read_status
from microclaw.apps.device_operations import add_device
from microclaw.boards import load_board
from microclaw.cli.demo import BOARD, EDGES, PIN, DemoFailed, Rows, Stage
from microclaw.cli.firmware_commands import send_release
from microclaw.durable import replace_file
from microclaw.ota import operations as firmware
from microclaw.ota.bundle import ABOUT, own_files, pack
from microclaw.ota.keys import SigningKey
from microclaw.text import count_text
from microclaw.voice.engines.engine import RATE_HZ
from microclaw.wire import board_control as control

SPOKEN: Final = "blink pin two every half second"
DATA_BYTES: Final = 750_000  # makes a download long enough to be cut: a board has room for 1 MiB
GOOD = "90.1.0"
BAD = "90.2.0"


def voice(stage: Stage) -> Rows:
    """A sentence said into a board's microphone blinks its pin and is answered aloud."""
    stage.count = 1
    _, took_s = stage.start_host("--link", "127.0.0.1:0")
    client = stage.client()
    heard = client.get("/v1/voice")
    if heard["state"] == "off" or heard["problem"]:
        raise DemoFailed(f"the host does not speak: {heard['problem']}; next: docs/voice.md")
    first = {one["role"]: one["name"] for one in reversed(heard["engines"])}
    yield "host", f"ready in {took_s:.1f} s   hears with {first['asr']}, speaks with {first['tts']}"
    (name,) = stage.join(client)
    board = stage.board(name)
    stage.until(lambda: board.ask(control.Link()).state == "connected", "the board is not linked")
    client.call(add_device, name=name, transports=stage.transports(name))
    yield "board", f"{name} is linked, with a microphone and a speaker"
    said = stage.home / "said.wav"
    said.write_bytes(asyncio.run(_speech()))
    yield "you", f"(spoken) {SPOKEN}"
    cursor = board.edges(0).cursor
    board.ask(control.Mic(str(said), "wake"))

    def answered() -> Any:
        state = board.ask(control.Speaker())
        return state if state.said and not state.speaking and not state.listening else None

    state = stage.until(answered, "nothing was answered")
    yield "heard", state.heard[-1] if state.heard else "nothing"
    yield "spoken", " ".join(state.said)
    seen, _ = stage.watch_pin(board, cursor)
    if len(seen) < EDGES:
        raise DemoFailed(f"pin {PIN} changed {len(seen)} times, {EDGES} were due: heard {state.heard}")
    yield "passed", f"spoken, heard, {len(seen)} edges, answered aloud"


async def _speech() -> bytes:
    """The sentence as flite says it, as a WAV file."""
    from microclaw.voice.engines.flite import Flite
    from microclaw.voice.engines.wav import wav_of
    from microclaw.voice.resampling import Resampler

    resampler = Resampler(RATE_HZ)
    pcm = b""
    async for piece in Flite("rms").speak(SPOKEN):
        pcm += resampler.feed(piece.pcm, piece.rate_hz)
    return wav_of(pcm + resampler.rest(), RATE_HZ)


def fleet(stage: Stage) -> Rows:
    """A good update reaches every board, with a power cut and a killed host; a bad one stops at the first board."""
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
    (cut,) = stage.until(lambda: _downloading(stage)[:1], "no board was seen in its download")
    stage.children[cut.device].kill()
    yield "power", f"cut (kill -9) in the middle of the download: {cut.device} at {cut.offer.progress:.0%}"
    stage.start_board(cut.device, *boards[cut.device]).wait_ready()
    yield _stage_row(stage, number, 2)
    under_way = stage.until(lambda: _downloading(stage), "no board was seen in its download")
    host.kill()
    yield "host", f"killed (kill -9, pid {host.pid}) while {count_text(len(under_way), 'board')} updated"
    _, took_s = stage.start_host("--link", urlsplit(ready["link"]).netloc)  # where its boards look for it
    yield "host", f"back in {took_s:.1f} s"
    yield _stage_row(stage, number, 3, "done")
    yield _all_run(stage, GOOD)

    yield _publish(stage, key, BAD, fault="crash")
    halted = _roll_out(stage, BAD)
    yield _stage_row(stage, halted, 1, "halted")
    counts = client.call(firmware.show_rollout, number=halted).counts
    if counts["rolled_back"] != 1 or counts["waiting"] != stage.count - 1:
        raise DemoFailed(f"the bad update went on to more boards: {counts}")
    yield "", f"that board goes back by itself; {count_text(counts['waiting'], 'board')} were never offered {BAD}"
    yield "status", "; ".join(row.text for row in client.call(read_status).screen if row.about == "rollout")
    yield _all_run(stage, GOOD)

    yield _publish(stage, key, __version__)
    (back,) = client.call(firmware.change_rollout, number=number, act="undo").rollouts
    yield "undo", f"rollout {back.rollout} takes {number} back"
    yield _stage_row(stage, back.rollout, 3, "done")
    yield _all_run(stage, __version__)
    yield "passed", f"{stage.count} boards, 1 power cut, 1 host killed, nobody lost, {time.monotonic() - began_s:.0f} s"


def _publish(stage: Stage, key: SigningKey, version: str, fault: str = "") -> tuple[str, str]:
    """This installation's files for boards and data, signed here; `fault` is how a board fails in its start."""
    chip = load_board(BOARD).chip.lower().replace("-", "")
    files = asyncio.run(own_files(chip, name="microclaw-virtual", version=version, security_version=0))
    about = {**json.loads(files[ABOUT]), "fault": fault}
    data = random.Random(version).randbytes(DATA_BYTES)  # noqa: S311 - the same release is the same bytes
    payload = pack({**files, ABOUT: json.dumps(about).encode(), "data.bin": data})
    release = send_release(
        stage.client(), payload, key.public.key_id, key.sign, lambda _: None, kind="files", name="microclaw-virtual",
        board=chip, channel="stable", version=version, security_version=0, allow_downgrade=version == __version__,
    )  # fmt: skip
    note = ", made to crash when it starts" if fault else ""
    return "publish", f"{version}{note}: {release.size_bytes / 1000:,.0f} KB, signed"


def _roll_out(stage: Stage, version: str) -> int:
    started = stage.client().call(firmware.roll_out, version=version, stages="1,50%,100%", soak="1s", all=True)
    return started.rollout


def _stage_row(stage: Stage, number: int, part: int, state: str = "running") -> tuple[str, str, str]:
    """Wait until the rollout is behind that stage, or over. DemoFailed where its state is another one."""

    def look() -> Any:
        one = stage.client().call(firmware.show_rollout, number=number)
        return one if one.stage > part or one.state != "running" else None

    one = stage.until(look, f"rollout {number} goes on")
    if state == "running":
        end = ""
    else:
        end = f"; rollout {number} is {one.state}: {one.reason}"
    if one.state != state:
        raise DemoFailed(f"rollout {number} is {one.state} in stage {part}: {one.reason}")
    return f"stage {part}", f"{one.counts['healthy']} of {one.count} boards have it{end}", "ok"


def _downloading(stage: Stage) -> list[Any]:
    """The boards that have something of the update in flash, and not all of it."""
    offers = [(row, row.offer) for row in stage.client().call(firmware.status).devices]
    return [row for row, offer in offers if offer and offer.state == "downloading" and 0 < offer.progress < 1]


def _all_run(stage: Stage, version: str) -> tuple[str, str, str]:
    """Wait until every board is online, takes updates and runs the version."""

    def look() -> bool:
        rows = [row.runs.version for row in stage.client().call(firmware.status).devices if row.online and row.runs]
        return rows == [version] * stage.count

    stage.until(look, f"not all boards are online with {version}")
    return "boards", f"{stage.count} virtual ESP32-S3 online, each runs {version}", "ok"
