"""The whole way on an emulated ESP32: flash, pair, a sentence, edges counted, host off, power cut, host back, undo.

Run: make chip EMULATOR=/path/to/qemu-system-xtensa IMAGE=/path/to/ESP32_GENERIC-….bin. Not part of `make test`: neither
is in this repository. The emulator must have the machine `esp32` and its Wi-Fi (`-nic user,model=esp32_wifi`).
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from microclaw.cli.child import Child
from microclaw.errors import ConfigError

FLASH_BYTES: Final = 4 << 20
DOWNLOAD: Final = ("-global", "driver=esp32.gpio,property=strap_mode,value=0x0f")  # BOOT held at reset
GPIO_OUT: Final = 0x3FF44004  # levels of pins 0 to 31 (ESP32 Technical Reference Manual, 4.12)
HOST_FROM_CHIP: Final = "10.0.2.2"  # the emulator's network: this machine's loopback
SSID: Final = "PICSimLabWifi"
PIN: Final = 2
SAMPLE_S: Final = 0.02
COUNT_S: Final = 5.0
ONLINE_S: Final = 180.0
COMMAND_S: Final = 900.0
FLASH_RUNS: Final = 4
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
        until(lambda: self._runs() or not self.is_on, 30, "the emulator opens its control socket")
        if not self.is_on:
            last = (self._folder / "emulator.log").read_text(errors="replace").strip()[-500:]
            raise Failed(f"the emulator ended at once: {last}")

    def _runs(self) -> bool:
        try:
            with self._control() as ask:
                return bool(ask("query-status", {})["running"])
        except (OSError, ValueError):
            return False

    def power_cut(self) -> None:
        """kill -9: nothing of the chip gets a last word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def is_on(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def edges(self, pin: int, seconds: float) -> int:
        """How often the pin's level in the output register changed, looked at every 20 ms."""
        with self._control() as ask:
            last, found = None, 0
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                answer = ask("human-monitor-command", {"command-line": f"xp /1wx {GPIO_OUT:#x}"})
                level = int(str(answer).split(":")[1], 16) >> pin & 1
                found += last is not None and level != last
                last = level
                time.sleep(SAMPLE_S)
        return found

    @contextmanager
    def _control(self) -> Iterator[Callable[[str, dict[str, Any]], Any]]:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(str(self._qmp))
            lines = sock.makefile("rw", encoding="utf-8")
            lines.readline()  # the greeting

            def ask(command: str, arguments: dict[str, Any]) -> Any:
                lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
                lines.flush()
                while True:
                    answer = json.loads(lines.readline())
                    if "error" in answer:
                        raise Failed(f"the emulator refuses {command}: {answer['error']}")
                    if "return" in answer:
                        return answer["return"]

            ask("qmp_capabilities", {})
            yield ask


class Host:
    """`microclaw up` in a folder of its own, at the same port each time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        kept = {k: v for k, v in os.environ.items() if not k.endswith(("_API_KEY", "_BASE_URL"))}
        self.environ = {**kept, "MICROCLAW_HOME": str(home)}
        self._link = "127.0.0.1:0"
        self._child: Child | None = None

    def start(self) -> None:
        words = ["microclaw.cli", "--json", "up", "--port", "0", "--virtual", "0", "--link", self._link]
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
        return [sys.executable, "-m", "microclaw.cli", *words]

    def ask(self, *words: str) -> Any:
        """The document that a command prints; Failed with what it says."""
        command = self.command("--json", *words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, env=self.environ, check=False)
        if done.returncode != 0:
            raise Failed(f"microclaw {' '.join(words)}: {done.stdout.strip()} {done.stderr.strip()}")
        return json.loads(done.stdout)

    def say(self, sentence: str) -> str:
        """The answer. The host may find the blinking late, as the emulator stalls: the edges are counted here too."""
        command = self.command("--json", "chat", "--yes", sentence)
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, env=self.environ, check=False)
        found = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        if done.returncode != 0 and found.get("error") != "not_verified":
            raise Failed(f"microclaw chat {sentence}: {done.stdout.strip()} {done.stderr.strip()}")
        return str(found["answer"])

    def is_online(self, device: str) -> bool:
        return bool(self.ask("device", "show", device)["link"]["online"])

    def apps(self, device: str) -> list[dict[str, Any]]:
        return list(self.ask("app", "list", "-d", device)["apps"])


def until(look: Callable[[], T], seconds: float, what: str) -> T:
    """What `look` finds, when it finds something; Failed after so long."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"{seconds:.0f} s are over, and it is not so that {what}")
        time.sleep(0.1)


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
    """Did it succeed, and is the image written? The emulator has no RTS: then it is started anew as a person would."""
    wrote = False
    words = ["flash", "--port", chip.port, "--image", str(image), "--before", "no-reset", "--after", "no-reset"]
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


def blinks(chip: Chip) -> int:
    """At 2 Hz there are 20 edges in 5 s; a slow emulator makes fewer, and a dead program none."""
    found = chip.edges(PIN, COUNT_S)
    if found < 8:
        raise Failed(f"{found} edges of pin {PIN} in {COUNT_S:.0f} s: it does not blink")
    return found


def steps(chip: Chip, host: Host, image: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each step and what does it; what it returns is told."""
    yield "flash an erased chip, pair it, and wait until it is online", lambda: flash(chip, host, image)
    yield "ask it what it is", lambda: json.dumps(host.ask("exec", "chip", "device.info"))
    sentence = f"blink the led on pin {PIN} twice a second"
    yield f"say: {sentence}", lambda: host.say(sentence)
    yield "count edges", lambda: f"{blinks(chip)} edges in {COUNT_S:.0f} s"
    yield "switch the host off", host.stop
    yield "count edges without a host", lambda: f"{blinks(chip)} edges in {COUNT_S:.0f} s"

    def cut() -> str:
        chip.power_cut()
        began = time.monotonic()
        chip.power_on()
        until(lambda: chip.edges(PIN, 1.0), ONLINE_S, "the program started by itself")
        return f"it blinks again within {time.monotonic() - began:.1f} s"

    yield "cut the power, and give it back without a host", cut

    def back() -> str:
        began = time.monotonic()
        host.start()
        until(lambda: host.is_online("chip"), ONLINE_S, "the board came back to its host")
        return f"{time.monotonic() - began:.1f} s"

    yield "switch the host on, and wait until the board is online", back

    def undo() -> str:
        host.ask("app", "undo", "--yes")
        if host.apps("chip") or chip.edges(PIN, 3.0):
            raise Failed("the program is still there")
        return "no program, no edges"

    yield "undo", undo


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--emulator",
        required=True,
        help="a command: qemu-system-xtensa, and what it needs (-L ROMS)",
    )
    parser.add_argument("--image", required=True, type=Path, help="a stock MicroPython image for ESP32_GENERIC")
    parser.add_argument("--keep", type=Path, help="a folder for flash, logs and the host's data; none: a temporary one")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        folder = wanted.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chip-")))
        home = folder / "home"
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        chip, host = Chip(wanted.emulator, folder), Host(home)
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
