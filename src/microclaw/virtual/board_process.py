"""One virtual board as a process, without garbage collection until it is ready to load an app.

Prints one JSON line when ready, logs to stderr.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import fcntl
import gc
import importlib
import json
import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from microclaw.errors import ConfigError, MicroclawError
from microclaw.hardware.boards.firmware import parse_firmware
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.boards.reader import load_board
from microclaw.hardware.parts.wiring import MAX_WIRING_BYTES, Wiring, parse_wiring
from microclaw.hardware.parts.wiring_check import check_wiring
from microclaw.virtual.board import Board
from microclaw.virtual.clock import Clock
from microclaw.virtual.firmware.program_runners import ProgramRunners
from microclaw.virtual.machine import VirtualMachine
from microclaw.virtual.network.reach import Reach
from microclaw.virtual.network.real import RealNetwork
from microclaw.virtual.ports.control import ControlServer
from microclaw.virtual.ports.serial import SerialConsole
from microclaw.virtual.ports.serial_port import SerialPty, SerialTcp
from microclaw.virtual.ports.sockets import listen_tcp, listen_unix, port_of
from microclaw.virtual.ports.wasmachine import WasmachinePort
from microclaw.virtual.py.programs import Programs
from microclaw.virtual.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from microclaw.virtual.link.port import LinkPort

DEFAULT_WASMACHINE_PORT = 18_080
CLOSE_S = 2.0
MAX_SECRET_FILE_BYTES = 4096
_SECRET = re.compile(r"[A-Za-z0-9-]{1,64}")
END_SIGNALS = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG = 1
_CLOCKS = {"real": Clock, "virtual": VirtualClock}
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter while others wait: an app that is busy delays others' timers by this."""


def main(argv: list[str] | None = None) -> int:
    """Run a board until SIGTERM or SIGINT; return 1 if it cannot start."""
    options = parse_options(argv)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    sys.setswitchinterval(SWITCH_S)
    _hold_signals()
    if options.die_with_parent:
        _die_with_parent()
    try:
        process = BoardProcess(options)
    except MicroclawError as exc:
        print(f"error: {exc.message}", file=sys.stderr)
        print(f"next: {exc.next_step or 'see --help'}", file=sys.stderr)
        return 1
    try:
        print(json.dumps(process.ready()), flush=True)
        # The first load need not wait for the wasm engine (0.1 s).
        threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()
        signal.sigwait(END_SIGNALS)
    finally:
        _end(process)
    return 0


class BoardProcess:
    """A machine, its sockets and its temporary folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if options.network and options.clock == "virtual":
            raise ConfigError("--network needs --clock real: a network takes its own time", next_step="leave one out")
        profile = parse_firmware(options.firmware).applied(load_board(options.board))
        wasmachine = listen_tcp(options.wasmachine, "--wasmachine")
        serial = None
        if options.serial not in ("pty", "none"):
            serial = listen_tcp(int(options.serial), "--serial")
        folder = self._make_temporary()
        self.control_path = (options.control or folder / "control.sock").absolute()
        self.control_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if options.flash is None:
            self._flash_lock = None
        else:
            self._flash_lock = _hold_flash(options.flash)
        control = listen_unix(self.control_path)
        flash = options.flash or folder

        board = Board(profile, _CLOCKS[options.clock](), name=options.name, storage_dir=flash / "storage")
        if options.wiring is not None:
            board.parts.wire(_read_wiring_file(options.wiring, profile))
        connect = None
        if options.network:
            board.network = RealNetwork(board.print_line, options.local_ports)
            connect = Reach(options.local_ports).connect
        programs = Programs(board, flash / "py", options.cache)
        self._runners = ProgramRunners(board, programs, connect=connect)
        self.machine = VirtualMachine(self._runners)
        self._add_wasmachine(wasmachine)
        self._add_serial(serial)
        for port in self.machine.ports:
            port.start()
        if options.link is None:
            self.machine.start()
        else:
            self.machine.start(self._link_port(flash))
        self.control = ControlServer(control, self.machine)
        self.control.start()

    def ready(self) -> dict[str, object]:
        """Return the line that the starting process reads: where each port is."""
        return {
            "ready": True,
            "name": self._options.name,
            "board": self._options.board,
            "pid": os.getpid(),
            **self.machine.addresses,
            "control": str(self.control_path),
        }

    def close(self) -> None:
        """End the board, and the lock of its flash."""
        self.control.close()
        self.machine.close()
        if self._flash_lock is not None:
            os.close(self._flash_lock)

    def remove_files(self) -> None:
        """Remove the control socket and the temporary folder."""
        self.control_path.unlink(missing_ok=True)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _make_temporary(self) -> Path:
        """Make a folder for the socket or the flash that no option names.

        A trial names both: it ends by kill -9 and leaves no folder.
        """
        if self._options.control is not None and self._options.flash is not None:
            return Path()
        self._temporary = tempfile.TemporaryDirectory(prefix="microclaw-virtual-", ignore_cleanup_errors=True)
        return Path(self._temporary.name)

    def _add_wasmachine(self, listener: socket.socket) -> None:
        runners = self._runners
        # Each boot has a manager of its own.
        port = WasmachinePort(listener, runners.board, lambda data: runners.wasm.receive(data), self.machine.faults)
        runners.send = port.send
        self.machine.ports.append(port)
        self.machine.addresses["wasmachine"] = port_of(listener)

    def _add_serial(self, listener: socket.socket | None) -> None:
        board = self._runners.board
        console = SerialConsole(board, self._runners.free_heap_bytes)
        if listener is not None:
            self.machine.ports.append(SerialTcp(listener, console, board))
            self.machine.addresses["serial"] = port_of(listener)
        if self._options.serial == "pty":
            pty = SerialPty(self.control_path.parent / f"{self._options.name}.tty", console, board)
            self.machine.ports.append(pty)
            self.machine.addresses["pty"] = str(pty.path)

    def _link_port(self, flash: Path) -> LinkPort:
        # These take 0.1 s and 20 MB that other boards save.
        from microclaw.virtual.link.port import LinkPort
        from microclaw.virtual.link_client.identity import LinkAddress
        from microclaw.virtual.updates.trust import read_trust

        options = self._options
        address = LinkAddress(options.link, options.link_ca_sha256, options.link_secret, options.link_credential)
        if options.update_keys is None:
            trust = None
        else:
            trust = read_trust(options.update_keys, options.update_channel)
        return LinkPort(self._runners, flash / "link", address, trust)


def _read_wiring_file(path: Path, profile: BoardProfile) -> Wiring:
    """Read a wiring for a board from a file. Raises ConfigError or UnknownName."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_WIRING_BYTES + 1)
        text = content.decode()
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", next_step="choose another --wiring") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path} is no text", next_step="choose another --wiring") from exc
    wiring = parse_wiring(text)
    check_wiring(wiring, profile)
    return wiring


def _hold_flash(folder: Path) -> int:
    """Make the folder and lock it until the descriptor is closed.

    Unlike a pid in a file, a lock ends with its process. Raises ConfigError when another board has it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        text = f"another virtual board uses {folder} as its flash"
        raise ConfigError(text, next_step="choose another --flash, or end that board") from exc
    except OSError as exc:
        raise ConfigError(f"cannot use {folder} as flash: {exc.strerror}", next_step="choose another --flash") from exc
    return lock


def _warm_up() -> None:
    """Import the wasm engine; from then on garbage is collected, but not looked for in what the imports made."""
    importlib.import_module("microclaw.virtual.firmware.app_loader")
    gc.freeze()
    gc.enable()


def _hold_signals() -> None:
    """Keep the signals that end the board for `sigwait`.

    A handler would do only while the kernel picks the main thread for them: it runs there, and that thread waits.
    """
    for number in END_SIGNALS:
        # A signal that the parent ignores would never come.
        signal.signal(number, signal.SIG_DFL)
    # Threads inherit it, so this is done before any starts.
    signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)


def _end(process: BoardProcess) -> None:
    """Close in order, but always end: a thread of an app in native code could keep the interpreter from ending."""
    closing = threading.Thread(target=process.close, name="closing", daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    process.remove_files()
    if closing.is_alive():
        faulthandler.dump_traceback(sys.stderr)
    if closing.is_alive() or any(thread.name.startswith("app-") for thread in threading.enumerate()):
        sys.stderr.flush()
        os._exit(0)


def parse_options(argv: list[str] | None) -> argparse.Namespace:
    """Parse the command line; sys.argv if None."""
    parser = argparse.ArgumentParser(
        prog="microclaw.virtual", description="A virtual ESP32-S3 with ESP-WASMachine.", allow_abbrev=False
    )
    add = parser.add_argument
    add("--name", default="virtual-1", type=_name)
    add("--board", default="virtual", help="board profile (default: %(default)s)")
    add("--wasmachine", type=_port, default=DEFAULT_WASMACHINE_PORT, metavar="PORT", help="0 for any free one")
    add("--serial", type=_serial, default="0", metavar="PORT|pty|none", help="0 for any free port")
    add("--control", type=Path, metavar="PATH", help="control socket (default: in a new folder)")
    add("--clock", choices=tuple(_CLOCKS), default="real")
    differs = "differs from the profile's: nodes=+uart,-i2c"
    add("--firmware", action="append", default=[], metavar="KEY=VALUE", help=differs)
    wired = "the parts that are wired to it (default: those that the board has soldered on)"
    add("--wiring", type=Path, metavar="FILE", help=wired)
    add("--flash", type=Path, metavar="DIR", help="keep /storage and kept apps there between runs")
    add("--cache", type=Path, metavar="DIR", help="keep the compiled MicroPython there (default: the user's)")
    add("--link", metavar="wss://HOST:PORT/link", help="connect to a microclaw host")
    authority = "fingerprint of the host's authority, as provisioned"
    add("--link-ca-sha256", type=str.lower, metavar="HEX", help=authority)
    secret = "pair with the one-time secret in this file (also of `device provision --file`), or on stdin"  # noqa: S105
    add("--link-secret-file", type=_secret, dest="link_secret", metavar="FILE|-", help=secret)
    add("--link-credential", choices=("certificate", "token"), default="certificate")
    trusted = "public keys (PEM) whose updates a board without keys will trust"
    add("--update-keys", type=Path, metavar="FILE", help=trusted)
    add("--update-channel", default="stable", metavar="NAME", help="of these updates")
    add("--network", action="store_true", help="programs' MQTT and HTTP clients reach real servers (real clock only)")
    local = "ports of this computer that programs reach, with --network (default: none)"
    add("--local-ports", type=_ports, default=frozenset(), metavar="PORT,...", help=local)
    add("--die-with-parent", action="store_true", help="end when the starting process ends (Linux)")
    return parser.parse_args(argv)


def _name(text: str) -> str:
    is_plain = all(char.isalnum() or char in "-_." for char in text)
    if not 0 < len(text) <= 63 or text[0] == "." or not is_plain:
        raise argparse.ArgumentTypeError("letters, digits, '-', '_' and '.', at most 63")
    return text


def _serial(text: str) -> str:
    if text in ("pty", "none"):
        return text
    return str(_port(text))


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError("a port from 0 to 65535")
    return int(text)


def _ports(text: str) -> frozenset[int]:
    return frozenset(map(_port, text.split(",")))


def _secret(place: str) -> str:
    """Read the secret in a file or on stdin: on the command line every account of the machine could read it."""
    try:
        if place == "-":
            content = sys.stdin.buffer.read(MAX_SECRET_FILE_BYTES)
        else:
            with Path(place).open("rb") as file:
                content = file.read(MAX_SECRET_FILE_BYTES)
        text = content.decode().strip()
        if text.startswith("{"):
            secret = json.loads(text)["secret"]
        else:
            secret = text
    except OSError as exc:
        raise argparse.ArgumentTypeError(f"cannot read {place}: {exc.strerror}") from exc
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"{place} has no secret: make one with microclaw device provision") from None
    if not isinstance(secret, str) or not _SECRET.fullmatch(secret):
        raise argparse.ArgumentTypeError(f"{place} has no secret: make one with microclaw device provision")
    return secret


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
