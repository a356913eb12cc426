"""The demo's other forms: a spoken sentence, a fleet that is updated in stages, a cluster that loses a host."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import UNSET

from microclaw import __version__
from microclaw.api.operations import read_status
from microclaw.apps import operations as programs
from microclaw.apps.device_operations import add_device, label
from microclaw.boards import load_board
from microclaw.cli.demo import BOARD, EDGES, PIN, DemoFailed, Rows, Stage
from microclaw.cli.firmware_commands import release_manifest, send_release
from microclaw.cli.many_devices import known_devices
from microclaw.devices.calls import AppInstall
from microclaw.durable import replace_file
from microclaw.ota import operations as firmware
from microclaw.ota.bundle import ABOUT, own_files, pack
from microclaw.ota.keys import SigningKey
from microclaw.text import count_text
from microclaw.voice.engines.engine import RATE_HZ
from microclaw.wire import board_control as control

SPOKEN: Final = "blink pin two every half second"
DATA_BYTES: Final = 750_000  # makes a download long enough to be cut: a board has room for 1 MiB
GOOD, BAD = "90.1.0", "90.2.0"
HOSTS: Final = ("host-1", "host-2", "host-3")
UNKNOWN: Final = ("outcome_unknown", "install_interrupted", "not_verified")
SOURCE: Final = """#include "microclaw.h"
int main(void) { for (int led = gpio_open(2, GPIO_OUT);; delay(250)) gpio_toggle(led); }
"""


def voice(stage: Stage) -> Rows:
    """A sentence said into a board's microphone blinks its pin and is answered aloud."""
    stage.count = 1
    _, took_s = stage.start_host("--link", "127.0.0.1:0")
    client = stage.client()
    heard = client.get("/v1/voice")
    if heard["state"] == "off" or heard["problem"]:
        raise DemoFailed(f"the host does not speak: {heard['problem']}; next: microclaw voice setup")
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

    resampler, pcm = Resampler(RATE_HZ), b""
    async for piece in Flite("rms").speak(SPOKEN):
        pcm += resampler.feed(piece.pcm, piece.rate_hz)
    return wav_of(pcm + resampler.rest(), RATE_HZ)


def fleet(stage: Stage) -> Rows:
    """A good update reaches every board, with a power cut and a killed host; a bad one stops at the first board."""
    client, began_s, key = stage.client(), time.monotonic(), SigningKey.generate()
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
    manifest = release_manifest(
        payload, kind="files", name="microclaw-virtual", board=chip, channel="stable", version=version,
        security_version=0, key_id=key.public.key_id, allow_downgrade=version == __version__,
    )  # fmt: skip
    release = send_release(stage.client(), manifest, key.sign(manifest), payload, lambda _: None)
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
    end = "" if state == "running" else f"; rollout {number} is {one.state}: {one.reason}"
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


def cluster(stage: Stage) -> Rows:
    """Three hosts on a PostgreSQL server; one is killed while a program goes to every board."""
    began_s = time.monotonic()
    url = _postgres(stage)
    yield "postgres", f"one server: {urlsplit(url).netloc}"
    targets: list[int] = []
    for name in HOSTS:
        home = stage.home / name
        home.mkdir(mode=0o700)
        if targets:  # one authority for all: boards trust it, whichever host they reach
            shutil.copytree(stage.home / HOSTS[0] / "identity", home / "identity")
        (home / "config.toml").write_text(f'[cluster]\nhost = "{name}"\n', encoding="utf-8")
        ready, took_s = stage.start_host("--database", url, "--link", "127.0.0.1:0", home=name)
        targets.append(urlsplit(ready["link"]).port or 0)
        yield name, f"ready in {took_s:.1f} s (pid {stage.children[name].pid})   api {ready['http']}"
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    threading.Thread(target=lambda: asyncio.run(_balance(listener, targets)), daemon=True).start()
    yield "balancer", f"boards connect to 127.0.0.1:{listener.getsockname()[1]}, which is any of the hosts"
    client = stage.client(HOSTS[0])

    def places() -> Counter[str]:
        links = [one.link for one in known_devices(client) if AppInstall.method in one.capabilities]
        return Counter((link.host or HOSTS[0])[:6] for link in links if link is not None and link.online)

    boards = stage.join(client, port=listener.getsockname()[1])
    stage.until(lambda: places().total() == stage.count, "not all boards are online")
    for name in boards:
        client.call(label, device=name, labels=["fleet"])
    at = ", ".join(f"{count} at {name}" for name, count in sorted(places().items()))
    yield "boards", f"{stage.count} joined: {at}"

    patient = stage.client(HOSTS[0]).watching(within_s=120.0 + 2 * stage.count)
    installing = ThreadPoolExecutor(1).submit(
        patient.call_many, programs.install, labels=["fleet"], name="blink", source=SOURCE
    )
    few = max(1, stage.count // 6)

    def installed() -> int:
        return sum(row.state == "done" for row in client.call(programs.changes, limit=stage.count).changes)

    stage.until(lambda: installed() >= few, "nothing was installed")
    there, killed_s = places()[HOSTS[1]], time.monotonic()
    stage.children[HOSTS[1]].kill()
    targets[1] = 0
    yield HOSTS[1], f"killed (kill -9) with {count_text(there, 'board')}, while the program goes to {stage.count}"
    stage.until(lambda: places().total() - places()[HOSTS[1]] == stage.count, "not all boards are elsewhere")
    yield "boards", f"all {stage.count} connected elsewhere {time.monotonic() - killed_s:.1f} s after", "ok"
    results = installing.result().results
    codes = {row.device: "installed" if row.error is UNSET else row.error["code"] for row in results}
    if len(codes) != stage.count:
        raise DemoFailed(f"the install's table has {', '.join(codes)} of {stage.count} boards")
    yield "table", "; ".join(f"{count} {end}" for end, count in sorted(Counter(codes.values()).items()))
    blinks = {name: any(row.pin == PIN for row in stage.board(name).edges(0).edges) for name in codes}
    false = [name for name, code in codes.items() if code not in UNKNOWN and blinks[name] != (code == "installed")]
    if false:
        raise DemoFailed(f"the table is not true of {', '.join(false)}")
    yield "boards", f"{sum(blinks.values())} blink, counted by each board's own clock; the table is true", "ok"
    yield "passed", f"3 hosts, 1 killed, {stage.count} boards, each accounted for, {time.monotonic() - began_s:.0f} s"


def _postgres(stage: Stage) -> str:
    """A PostgreSQL server on loopback with an empty database, until the demo ends; its URL."""
    folders = [*sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True), stage.environ["PATH"]]
    initdb, postgres = (shutil.which(name, path=os.pathsep.join(folders)) for name in ("initdb", "postgres"))
    if initdb is None or postgres is None:
        raise DemoFailed("there is no PostgreSQL on this machine", next_step="apt install postgresql")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    is_root, before = os.geteuid() == 0, []  # PostgreSQL refuses to run as root, and may enter no folder of root's
    folder = Path(tempfile.mkdtemp(prefix="microclaw-postgres-", dir="/tmp" if is_root else None))  # noqa: S108
    stage.running.callback(shutil.rmtree, folder, ignore_errors=True)
    if is_root:
        shutil.chown(folder, "postgres")
        before = ["runuser", "-u", "postgres", "--"]
    data = ["-D", str(folder / "data")]
    made = [*before, initdb, *data, "-U", "microclaw", "-A", "trust", "-E", "UTF8", "--locale", "C"]
    subprocess.run(made, check=True, capture_output=True, cwd=folder)
    with (stage.home / "postgres.log").open("wb") as log:
        words = [*before, postgres, *data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-k", str(folder)]
        server = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, cwd=folder)
    for last in (server.wait, server.terminate, stage.stop):  # called from the last to the first
        stage.running.callback(last)
    return f"postgresql://microclaw@127.0.0.1:{port}/postgres"


async def _balance(listener: socket.socket, targets: list[int]) -> None:
    """Forward each connection to the next host that takes it; a port of 0 is gone."""
    turns = itertools.count()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError), closing(writer):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for turn in itertools.islice(turns, len(targets)):
            with suppress(OSError):
                far = await asyncio.open_connection("127.0.0.1", targets[turn % len(targets)])
                await asyncio.gather(pump(reader, far[1]), pump(far[0], writer))
                return
        writer.close()

    await (await asyncio.start_server(forward, sock=listener)).serve_forever()
