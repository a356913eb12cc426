"""Processes of engines in the sandbox, in each way that this machine has: what they cannot do, and that they work."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from tests.interfaces.voice.engines.conftest import PATIENT_S, Make, Say, descendants, loudness, seconds, spoken

from microclaw.host.sandbox.landlock import landlock_version
from microclaw.interfaces.voice.engines.engine_sandbox import PROCESSOR_S, EngineNeeds, installation, start_engine
from microclaw.interfaces.voice.engines.espeak import Espeak
from microclaw.interfaces.voice.engines.flite import Flite
from microclaw.programs.builds import confinement
from microclaw.readiness import is_readable

WAYS = [
    way
    for way, works in (("bubblewrap", confinement._bubblewrap_works()), ("landlock", landlock_version() > 0))
    if works
]
assert WAYS, "this machine has no way"
SENTENCE = "The lamp on pin two is on now, and it blinks every half second."


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    confinement.detect_confinement.cache_clear()
    monkeypatch.setattr(confinement, "_bubblewrap_works", lambda: request.param == "bubblewrap")
    if request.param == "none":
        monkeypatch.setattr(confinement, "landlock_version", lambda: 0)
    assert confinement.detect_confinement() == request.param
    yield request.param
    confinement.detect_confinement.cache_clear()


async def printed(*command: str, readable: tuple[Path, ...] = ()) -> bytes:
    needs = EngineNeeds(readable, processor_s=PROCESSOR_S)
    engine = await start_engine(command, needs, {"PATH": os.environ["PATH"]})
    try:
        output, _ = await engine.process.communicate(b"hello\n")
        return output
    finally:
        await engine.end()


async def by_python(code: str, *, readable: tuple[Path, ...] = ()) -> str:
    return (await printed(sys.executable, "-c", code, readable=readable)).decode().strip()


@pytest.mark.parametrize("way", [*WAYS, "none"], indirect=True)
async def test_engines_speak_and_hear_in_the_sandbox_and_speak_where_there_is_none(
    way: str, make: Make, say: Say
) -> None:
    for engine in (Flite(), Espeak()):
        assert await engine.health() is None
        pieces = await spoken(engine, SENTENCE)
        assert 2.5 < seconds(pieces) < 6
        assert loudness(pieces) > 300
    if way != "none":
        sentence = "blink pin two every half second"
        assert (await make().hear(say(sentence))).text == sentence


async def test_engines_that_are_told_to_read_a_file_of_the_home_do_not(way: str, tmp_path: Path) -> None:
    """Real programs: what they read here is what their sandbox lets them read."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    espeak = ("espeak-ng", "-f", str(secret), "--stdout", "-b", "1")
    flite = ("flite", "-ps", "-f", str(secret), "-o", "none")  # it prints the sounds
    assert len(await printed(*espeak, readable=(secret,))) > 10_000
    assert b"s iy k" in await printed(*flite, readable=(secret,))
    assert [await printed(*espeak), await printed(*flite)] == [b"", b""]


async def test_nothing_of_the_machine_is_read_or_written_no_socket_made_and_limits_are_set(
    way: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    places = [str(secret), "/etc/passwd", f"/proc/{os.getpid()}/environ"]
    code = f"""
import resource, socket, time
def attempt(act, *words):
    try:
        print('made', act(*words))
    except OSError:
        print('refused')
for place in {places!r}:
    attempt(lambda: open(place, 'rb').read(10))
for place in {[str(secret), str(tmp_path / "new"), f"/var/tmp/new-{os.getpid()}"]!r}:
    attempt(open, place, 'w')
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        attempt(socket.socket, family, kind)
# The host sets the limits as soon as the process runs, so on a busy machine they come a little later.
while resource.getrlimit(resource.RLIMIT_CPU)[1] == resource.RLIM_INFINITY:
    time.sleep(0.01)
names = ("DATA", "FSIZE", "NOFILE", "CORE", "CPU")
print(*(resource.getrlimit(getattr(resource, "RLIMIT_" + name))[1] for name in names))
"""
    limits = f"{1 << 30} {16 << 20} 256 0 120"
    assert (await by_python(code)).splitlines() == [*["refused"] * 18, limits]
    allowed = (await by_python(code, readable=(tmp_path,))).splitlines()
    assert allowed == ["made b'the secret'", *["refused"] * 17, limits]
    assert secret.read_text() == "the secret"


async def test_no_child_lives_on_when_an_engine_is_killed_or_crashes(way: str) -> None:
    code = "import os, subprocess, sys; subprocess.Popen(['sleep', '300']); print('on', flush=True); {}"
    crash = ["os.abort()"] if way == "bubblewrap" else []  # by Landlock what it leaves behind lives on
    for ending in ("import time; time.sleep(300)", *crash):
        before = set(descendants(os.getpid()))
        engine = await start_engine(
            (sys.executable, "-c", code.format(f"sys.stdin.readline(); {ending}")), EngineNeeds(), {"PATH": os.defpath}
        )
        assert engine.process.stdin is not None
        assert engine.process.stdout is not None
        assert await engine.process.stdout.readline() == b"on\n"
        ends = [os.pidfd_open(pid) for pid in descendants(os.getpid()) if pid not in before]
        assert len(ends) >= 2
        if ending in crash:
            engine.process.stdin.write(b"\n")
            await engine.process.wait()
        await engine.end()
        for end in ends:
            assert is_readable(end, PATIENT_S)
            os.close(end)


def test_a_start_that_is_cancelled_at_any_moment_leaves_no_process(way: str) -> None:
    """By the host's loop. A kill while bubblewrap still makes its namespaces must reach what is inside as well."""

    own = f"300.{os.getpid()}"

    async def cancelled(after: int) -> None:
        needs = EngineNeeds()
        starting = asyncio.create_task(start_engine(("sleep", own), needs, {"PATH": "/usr/bin:/bin"}))
        for _ in range(after):
            await asyncio.sleep(0)
        starting.cancel()
        try:
            engine = await starting
        except asyncio.CancelledError:
            return
        await engine.end()

    async def at_many_moments() -> None:
        for after in range(0, 60, 6):
            await cancelled(after)

    before = set(descendants(1))
    uvloop.run(at_many_moments())
    deadline = time.monotonic() + PATIENT_S
    while left := [
        words for pid, words in descendants(1).items() if pid not in before and words[-3:-1] == ["sleep", own]
    ]:
        assert time.monotonic() < deadline, left


def test_a_virtual_environment_and_its_python_are_seen_and_no_home(tmp_path: Path) -> None:
    base = tmp_path / "base"
    own = tmp_path / "own"
    for folder in (base / "bin", base / "lib", own / "bin", own / "lib"):
        folder.mkdir(parents=True)
    (base / "bin" / "python3").touch()
    (own / "pyvenv.cfg").touch()
    (own / "bin" / "python3").symlink_to(base / "bin" / "python3")
    seen = set(installation(own / "bin" / "python3"))
    assert seen == {own / "bin", own / "lib", own / "pyvenv.cfg", base / "bin", base / "lib"}
    assert list(installation(Path("/usr/bin/flite"))) == []
    assert shutil.which("flite") is not None
