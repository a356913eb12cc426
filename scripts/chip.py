"""The whole way on an emulated ESP32: flash, pair, programs, edges, power cut, update, the host killed, undo.

Run: make chip EMULATOR="qemu-system-xtensa -L ROMS" IMAGE=ESP32_GENERIC-….bin
Not part of `make test`: neither is in this repository. The emulator must have the machine `esp32` and its Wi-Fi
(`-nic user,model=esp32_wifi`). On a busy machine it is slow. Edges are timed by the board's own record and clock:
they are as far apart on a slow emulator as on a fast one.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from microclaw.errors import ConfigError
from microclaw.interfaces.cli.child import Child

FLASH_BYTES: Final = 4 << 20
DOWNLOAD: Final = ("-global", "driver=esp32.gpio,property=strap_mode,value=0x0f")  # BOOT held at reset
GPIO_OUT: Final = 0x3FF44004  # levels of pins 0 to 31 (ESP32 Technical Reference Manual, 4.12)
HOST_FROM_CHIP: Final = "10.0.2.2"  # the emulator's network: this machine's loopback
SSID: Final = "PICSimLabWifi"
PINS: Final = (4, 16, 2)  # one after another; the last one stays
PIN: Final = PINS[-1]
UPDATE: Final = "99.0.0"
SAMPLE_S: Final = 0.02
LOOK_AT_PIN_S: Final = 3.0
ALONE_S: Final = 40.0  # without a host
BLINKING: Final = 8  # edges at least, and in the time alone:
EDGES: Final = 60  # the board records 192, 48 s at 2 Hz
GAP_MS: Final = 2500  # of edges 250 ms apart: a TLS handshake stops programs for 1.6 s
START_GAP_MS: Final = 5000  # reading in what the link needs, after a start: 3.8 s
HEAP_LOSS_BYTES: Final = 1024  # that ESP-IDF's heap may be smaller after the programs
HOST_KILLS: Final = 5
ONLINE_S: Final = 180.0
EDGES_S: Final = 180.0
LOOK_S: Final = 5.0  # between two commands that ask whether it is online: one after another they starve the emulator
COMMAND_S: Final = 900.0
FLASH_RUNS: Final = 4
PROGRAMS: Final = Path(__file__).with_name("chip_programs.toml")
T = TypeVar("T")


class Failed(Exception):
    """A step did not find what it should."""


class Chip:
    """One emulated chip; its flash is a file, which outlives the process as a flash outlives the supply."""

    def __init__(self, emulator: str, folder: Path) -> None:
        self._emulator = emulator
        self._folder = folder
        self._flash = folder / "flash.bin"
        self._qmp = folder / "qmp"
        self._process: subprocess.Popen[bytes] | None = None
        self._control: TextIO | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.serial: int = probe.getsockname()[1]
        if not self._flash.exists():
            self._flash.write_bytes(b"\xff" * FLASH_BYTES)

    @property
    def port(self) -> str:
        return f"socket://127.0.0.1:{self.serial}"

    def power_on(self, *, download: bool = False) -> None:
        self._qmp.unlink(missing_ok=True)
        words = [
            *(*shlex.split(self._emulator), "-M", "esp32", "-display", "none", "-monitor", "none"),
            *("-nic", "user,model=esp32_wifi", "-drive", f"file={self._flash},if=mtd,format=raw"),
            *("-serial", f"tcp:127.0.0.1:{self.serial},server=on,wait=off"),
            *("-qmp", f"unix:{self._qmp},server=on,wait=off"),
            *(DOWNLOAD if download else ()),
        ]
        with (self._folder / "emulator.log").open("ab") as log:
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self._connect() or not self.is_on, 30, "the emulator opens its control socket")
        if not self.is_on:
            last = (self._folder / "emulator.log").read_text(errors="replace").strip()[-500:]
            raise Failed(f"the emulator ended at once: {last}")

    def _connect(self) -> bool:
        """Its control socket (QMP), kept open until the power is cut."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(30)
            sock.connect(str(self._qmp))
        except OSError:
            sock.close()
            return False
        self._control = sock.makefile("rw", encoding="utf-8")
        sock.close()  # the file has it now
        self._control.readline()  # the greeting
        self._ask("qmp_capabilities", {})
        return True

    def _ask(self, command: str, arguments: dict[str, Any]) -> Any:
        assert self._control is not None
        self._control.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._control.flush()
        while True:
            line = self._control.readline()
            if not line:
                raise Failed("the emulator closed its control socket")
            answer = json.loads(line)
            if "error" in answer:
                raise Failed(f"the emulator refuses {command}: {answer['error']}")
            if "return" in answer:
                return answer["return"]

    def power_cut(self) -> None:
        """kill -9: nothing of the chip gets a last word."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def level(self, pin: int) -> int:
        answer = self._ask("human-monitor-command", {"command-line": f"xp /1wx {GPIO_OUT:#x}"})
        return int(str(answer).split(":")[1], 16) >> pin & 1

    def moves(self, pin: int) -> bool:
        """Look at the output register every 20 ms: does the pin's level change?"""
        first = self.level(pin)
        end = time.monotonic() + LOOK_AT_PIN_S
        while time.monotonic() < end:
            if self.level(pin) != first:
                return True
            time.sleep(SAMPLE_S)
        return False


class Host:
    """`microclaw up` in a folder of its own, at the same port each time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
        self.environ = {**kept, "MICROCLAW_HOME": str(home)}
        self._link = "127.0.0.1:0"
        self._child: Child | None = None

    def start(self) -> None:
        words = ["microclaw", "--json", "up", "--port", "0", "--virtual", "0", "--link", self._link]
        words.append("--die-with-parent")
        self._child = Child("host", words, log=self.home / "stderr", environ=self.environ)
        ready, _ = self._child.wait_ready()
        self._link = str(ready["link"]).removeprefix("wss://").removesuffix("/link").replace("localhost", "127.0.0.1")

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def kill(self) -> None:
        """kill -9."""
        if self._child is not None:
            os.kill(self._child.pid, signal.SIGKILL)
            self.stop()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "microclaw", *words]

    def ask(self, *words: str) -> Any:
        """The document that a command prints; Failed with what it says."""
        command = self.command("--json", *words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, env=self.environ, check=False)
        if done.returncode != 0:
            raise Failed(f"microclaw {' '.join(words)}: {done.stdout.strip()} {done.stderr.strip()}")
        return json.loads(done.stdout)

    def run(self, file: Path) -> str:
        """Install a program, and return its proof; what is not verified runs all the same."""
        command = self.command("--json", "run", str(file), "-d", "chip")
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, env=self.environ, check=False)
        document = json.loads(done.stdout)
        if "error" in document:
            raise Failed(f"microclaw run {file.name}: {document['error']}")
        return str(document["evidence"]["text"])

    def begin_saying(self, sentence: str) -> subprocess.Popen[str]:
        command = self.command("--json", "chat", "--yes", sentence)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environ)

    def said(self, saying: subprocess.Popen[str]) -> str:
        """The answer. The host may find the blinking late, as the emulator stalls: the edges are counted here too."""
        stdout, stderr = saying.communicate(timeout=COMMAND_S)
        if stdout.startswith("{"):
            found = json.loads(stdout)
        else:
            found = {}
        if saying.returncode != 0 and found.get("error") != "not_verified":
            raise Failed(f"microclaw chat: {stdout.strip()} {stderr.strip()}")
        return str(found["answer"])

    def is_online(self, device: str) -> bool:
        return bool(self.ask("device", "show", device)["link"]["online"])

    def apps(self, device: str) -> list[dict[str, Any]]:
        return list(self.ask("app", "list", "-d", device)["apps"])


def until(look: Callable[[], T], seconds: float, what: str, every_s: float = 0.1) -> T:
    """Return what `look` finds, when it finds something; Failed after so long."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"{seconds:.0f} s are over, and it is not so that {what}")
        time.sleep(every_s)


def flash(chip: Chip, host: Host, image: Path) -> str:
    """The real command, again when it failed: it goes on where it was. A loaded emulator loses bytes of its cable."""
    has_image = False
    for run in range(1, FLASH_RUNS + 1):
        chip.power_cut()
        chip.power_on(download=not has_image)
        done, wrote = flash_once(chip, host, image)
        if done:
            return f"in run {run}"
        has_image |= wrote
    raise Failed(f"microclaw flash did not succeed in {FLASH_RUNS} runs")


def flash_once(chip: Chip, host: Host, image: Path) -> tuple[bool, bool]:
    """Did it succeed, and is the image written? The emulator has no RTS: then it is started again as a person would."""
    wrote = False
    words = ["flash", "--port", chip.port, "--image", str(image)]
    words += ["--name", "chip", "--board", "esp32-devkitc-v4", "--wifi", SSID, "--address", HOST_FROM_CHIP, "--yes"]
    process = subprocess.Popen(
        host.command(*words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=host.environ
    )
    assert process.stdout is not None
    for line in process.stdout:
        print(f"   {line.rstrip()}", flush=True)
        if "restart the board into its program" in line:
            wrote = True
            chip.power_cut()
            chip.power_on()
    return process.wait() == 0, wrote


def blinks(host: Host, pin: int = PIN, least: int = BLINKING, gap_ms: int = GAP_MS) -> str:
    """Wait for so many edges in the board's record of the pin. Raise Failed if the record has a gap, up to now."""

    def recorded() -> list[float]:
        record = host.ask("exec", "chip", "edges.read", "cursor=0")["result"]
        times = [edge["t_ms"] for edge in record["edges"] if edge["pin"] == pin]
        if len(times) < least:
            return []
        return [*times, record["now_ms"]]

    times = until(recorded, EDGES_S, f"pin {pin} has {least} edges", 1.0)
    longest = max(later - earlier for earlier, later in pairwise(times))
    if longest > gap_ms:
        raise Failed(f"pin {pin} had no edge for {longest:.0f} ms: {times}")
    return f"{len(times) - 1} edges, never more than {longest:.0f} ms apart"


def install(chip: Chip, host: Host, pin: int) -> str:
    """By a sentence, as the first act on an empty board or after an undo."""
    began = time.monotonic()
    before = chip.level(pin)
    saying = host.begin_saying(f"blink the led on pin {pin} twice a second")
    until(lambda: chip.level(pin) != before or saying.poll() is not None, COMMAND_S, f"there is an edge on pin {pin}")
    first = time.monotonic() - began
    answer = host.said(saying)
    return f"{answer}\n   first edge after {first:.1f} s; {blinks(host, pin)}; {json.dumps(memory(host))}"


def undo(chip: Chip, host: Host, pin: int) -> str:
    host.ask("app", "undo", "--yes")
    if host.apps("chip") or chip.moves(pin):
        raise Failed("the program is still there")
    return "no program, no edges"


def memory(host: Host) -> dict[str, Any]:
    return dict(host.ask("exec", "chip", "device.status")["result"]["values"])


def kinds(host: Host, folder: Path) -> str:
    """Install and remove a program of each kind. MicroPython's heap must not grow into the memory of Wi-Fi for it."""
    programs = tomllib.loads(PROGRAMS.read_text(encoding="utf-8"))
    first = memory(host)
    for name, source in programs.items():
        file = folder / f"{name}.py"
        file.write_text(source, encoding="utf-8")
        proof = host.run(file)
        conditions = [app["condition"] for app in host.apps("chip")]
        if conditions != ["running"]:
            raise Failed(f"{name} is not what runs: {conditions}")
        print(f"   {name}: {proof}; {json.dumps(memory(host))}", flush=True)
        host.ask("app", "uninstall", name)
    last = memory(host)
    if last["idf_free"] < first["idf_free"] - HEAP_LOSS_BYTES:
        raise Failed(f"ESP-IDF's heap had {first['idf_free']} bytes free, and has {last['idf_free']}")
    return f"before: {json.dumps(first)}; after: {json.dumps(last)}"


def online(host: Host, why: str) -> str:
    began = time.monotonic()
    until(lambda: host.is_online("chip"), ONLINE_S, f"the board came back to its host after {why}", LOOK_S)
    return f"online after {time.monotonic() - began:.1f} s"


def no_crash(host: Host) -> str:
    found = host.ask("device", "crashes")["crashes"]
    if found:
        raise Failed(f"crashes: {json.dumps(found)}")
    return "no crash"


def steps(chip: Chip, host: Host, image: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each step and what does it; what it returns is told."""
    key = host.home / "fleet.pem"
    yield "make the key of updates", lambda: host.ask("firmware", "keygen", "--out", str(key)) and None
    yield "flash an erased chip, pair it, and wait until it is online", lambda: flash(chip, host, image)
    yield "ask it what it is", lambda: json.dumps(host.ask("exec", "chip", "device.info"))
    yield "install and remove a program of each kind", lambda: kinds(host, host.home)
    for pin in PINS:
        yield f"say: blink the led on pin {pin} twice a second", partial(install, chip, host, pin)
        if pin != PIN:
            yield "undo", partial(undo, chip, host, pin)
    yield "no crash until here", lambda: no_crash(host)
    yield "switch the host off", host.stop
    yield "leave the board alone", lambda: time.sleep(ALONE_S)

    def back(gap_ms: int) -> str:
        host.start()
        return f"{online(host, 'its start')}; {blinks(host, least=EDGES, gap_ms=gap_ms)}"

    yield "switch the host on: the board comes back, and its record of the edges has no gap", partial(back, GAP_MS)

    def cut() -> str:
        host.stop()
        chip.power_cut()
        began = time.monotonic()
        chip.power_on()
        until(lambda: chip.moves(PIN), ONLINE_S, "the program started by itself")
        return f"it blinks again within {time.monotonic() - began:.1f} s"

    yield "cut the power, and give it back without a host", cut
    yield "leave the board alone", lambda: time.sleep(ALONE_S)
    yield "switch the host on: the record has no gap since the start", partial(back, START_GAP_MS)
    yield "no crash by the power cut", lambda: no_crash(host)

    def killed() -> str:
        host.kill()
        host.start()
        return f"{online(host, 'kill -9')}; {blinks(host)}"

    for number in range(1, HOST_KILLS + 1):
        yield f"kill -9 of the host, and a new one ({number} of {HOST_KILLS})", killed

    def update() -> str:
        board = host.ask("firmware", "status", "-d", "chip")["devices"][0]["runs"]["board"]
        host.ask("firmware", "publish", "--version", UPDATE, "--board", board, "--key", str(key))
        ended = host.ask("-d", "chip", "firmware", "update", UPDATE)
        if ended["results"][0]["offer"]["state"] != "healthy":
            raise Failed(json.dumps(ended))
        return f"{json.dumps(ended)}; {blinks(host)}"

    yield f"a signed update of our files to {UPDATE}", update
    yield "no crash by the host's end or the update", lambda: no_crash(host)
    yield "undo", lambda: undo(chip, host, PIN)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emulator", required=True, help="a command: qemu-system-xtensa -L ROMS")
    parser.add_argument("--image", required=True, type=Path, help="a stock MicroPython image for ESP32_GENERIC")
    parser.add_argument("--keep", type=Path, help="a folder for flash, logs and the host's data; none: a temporary one")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        folder = wanted.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chip-")))
        home = folder / "home"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        chip = Chip(wanted.emulator, folder)
        host = Host(home)
        stack.callback(chip.power_cut)
        stack.callback(host.stop)
        try:
            host.start()
            for number, (what, do) in enumerate(steps(chip, host, wanted.image), 1):
                print(f"{number}. {what}", flush=True)
                began = time.monotonic()
                found = do()
                print(f"   {found or 'done'} ({time.monotonic() - began:.1f} s)", flush=True)
        except (Failed, ConfigError, OSError, subprocess.TimeoutExpired) as exc:
            print(f"   FAILED: {exc}", flush=True)
            return 1
    print("all of it worked on the emulated chip")
    return 0


if __name__ == "__main__":
    sys.exit(main())
