"""The board's `py` programs: the interpreter that runs them, calls to the firmware's runner in it, what it tells.

The interpreter starts with the first program, or at boot where one is installed. `call` is for any thread but its own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from platformdirs import user_cache_path

from microclaw.durable import replace_file
from microclaw.errors import DeviceTimeout, DeviceUnreachable, MicroclawError, NotSupported
from microclaw.hardware.firmware_folder import firmware_folder, write_part_modules
from microclaw.virtual.board import Board
from microclaw.virtual.network.canned import CannedNetwork
from microclaw.virtual.py.chip import DriverError, Json
from microclaw.virtual.virtual_clock import VirtualClock
from microclaw.wire.board_replies import AppRow

if TYPE_CHECKING:
    from microclaw.virtual.py.vm import Vm  # the wasm engine takes 0.1 s to import

CALL_S: Final = 5.0
DEATH_S: Final = 1.0
HANG_S: Final = 8.0
"""A stretch inside of one native function (sum of a huge range) meets no guard of the firmware's: it is ended here."""
LIST_S: Final = 0.5
STEP_MS: Final = 10.0
STEP_WAIT_S: Final = 0.02
MAX_STEPS: Final = 200
MAX_RESTARTS: Final = 3
"""So often in a boot an interpreter that hung is started again."""
METHODS: Final = ("begin", "write", "commit", "start", "stop", "remove", "undo", "list", "page")
EBUSY: Final = 16
_HERE: Final = Path(__file__).parent


class CallRefused(MicroclawError):
    """The board refuses a host's call; `code` is one of docs/protocols/link-methods.md."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class FetchLink(Protocol):
    """The link of a board, for https requests of programs (virtual/link/fetches.py)."""

    @property
    def is_ready(self) -> bool: ...

    def send(
        self, kind: str, body: Mapping[str, Json], data: bytes, *, re: bytes | None, message_id: bytes | None
    ) -> None: ...


class Programs:
    """`on_event(name, data)` gets app.exit and app.crash, in the interpreter's thread."""

    def __init__(self, board: Board, folder: Path, cache: Path | None, *, hang_s: float = HANG_S) -> None:
        self.on_event: Callable[[str, Mapping[str, Json]], None] = lambda _name, _data: None
        self.ended: dict[str, tuple[str, str | None]] = {}  # how a program ended last, and why
        self.fetch_link: FetchLink | None = None
        self._folder = folder
        self.firmware: Path | None = None  # the folder of an update's modules, in place of those of this installation
        self._board = board
        self._hang_s = hang_s
        self._cache = cache or user_cache_path("microclaw")
        self._lock = threading.Lock()
        self._vm: Vm | None = None
        self._calls: dict[int, Future[Json]] = {}
        self._last = 0
        self._rows: list[Mapping[str, Json]] = []
        self._begun: Mapping[str, Json] = {}  # as it is listed once it runs
        self._restarts = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def is_used(self) -> bool:
        """True if a program is installed or was in this boot."""
        apps = self._folder / "files" / "apps"
        return self._vm is not None or (apps.is_dir() and any(not p.name.startswith("%") for p in apps.iterdir()))

    # Power

    def power_on(self, *, with_programs: bool = True) -> None:
        self._restarts = 0
        if self.is_used:
            self._start(with_programs=with_programs)

    def power_cut(self) -> None:
        vm = self._vm
        self._vm = None
        if vm is not None:
            vm.interrupt()
            # On the virtual clock tasks take turns: one of them, crashing the board, must not wait for this one.
            if not self._board.clock.is_virtual:
                vm.join(DEATH_S)
        self._give_up_calls()
        self.ended.clear()

    # Calls

    def call(self, method: str, params: Mapping[str, Json], timeout_s: float = CALL_S) -> Json:
        """Call a method of the runner.

        Raises CallRefused, DeviceUnreachable without power, DeviceTimeout if it is stuck.
        """
        if method not in METHODS:
            raise NotSupported(f"the runner of py programs has no {method[:40]}")
        if method == "list" and not self.is_used:
            return []
        if not self._board.powered:
            raise DeviceUnreachable("the board has no power")
        vm = self._vm or self._start(with_programs=False)
        call: Future[Json] = Future()
        with self._lock:
            self._last += 1
            number = self._last
            self._calls[number] = call
        # Before the runner listens an event would be lost.
        if vm.listening.wait(timeout_s if method == "list" else 60.0):  # it starts slowly on a busy machine
            vm.ask(["call", 0, number, method, dict(params)])
        if not self._let_run(call, timeout_s):
            self._calls.pop(number, None)
            text = f"MicroPython did not answer {method} within {timeout_s:g} s"
            raise DeviceTimeout(text, next_step="restart the board")
        answer = call.result()
        if method == "begin":
            self._begun = {"heap": 0, **params, "state": "running", "pins": []}
        elif method in ("commit", "remove"):  # the interpreter may be busy from now on
            name = params.get("name") or cast("dict[str, Json]", answer)["name"]
            self._rows = [row for row in self._rows if row["name"] != name]
            self._rows += [self._begun] if method == "commit" and self._begun.get("name") == name else []
        return answer

    def _let_run(self, call: Future[Json], timeout_s: float) -> bool:
        """Wait for the answer. To stop a program takes board time, which passes on the virtual clock only here."""
        clock = self._board.clock
        if isinstance(clock, VirtualClock) and timeout_s > LIST_S:
            for _ in range(MAX_STEPS):
                if wait({call}, STEP_WAIT_S).done or clock.settle() is not None:
                    break
                if not call.done():
                    clock.advance(STEP_MS)
        return bool(wait({call}, timeout_s).done)

    def tell_fetch(self, kind: str, body: Mapping[str, Json], re: str) -> None:
        """Pass a message of the host about an https request on to the interpreter. From any thread."""
        vm = self._vm
        if vm is not None:
            vm.chip.post_call(["fetch", 0, kind, dict(body), re])

    def rows(self) -> list[Mapping[str, Json]]:
        """Return the rows of apps.list; the last ones if a program keeps the interpreter busy."""
        is_booting = self._vm is None or not self._vm.listening.is_set()  # it knows none yet
        try:
            rows = self.call("list", {}, CALL_S if is_booting else LIST_S)
        except DeviceTimeout:
            return self._rows
        self._rows = cast("list[Mapping[str, Json]]", rows)
        return self._rows

    def app_rows(self) -> list[AppRow]:
        """Return the same rows as the control socket shows them."""
        return [self._app_row(cast("Mapping[str, Any]", row)) for row in self.rows()]

    def _app_row(self, row: Mapping[str, Any]) -> AppRow:
        how, why = self.ended.get(row["name"], (None, None))
        error = row.get("error")
        last = row.get("last") or {"how": None, "took_ms": 0}
        return AppRow(
            row["name"],
            row["state"],
            why if error is None else error,
            row["heap"],
            peak_heap_bytes=0,
            peak_stack_bytes=0,
            pins=tuple(row["pins"]),
            kind_of_end=how,
            kind="py",
            runs=row.get("runs", 0),
            missed=row.get("missed", 0),
            last_how=last["how"],
            last_took_ms=last["took_ms"],
        )

    # The interpreter

    def _start(self, *, with_programs: bool) -> Vm:
        from microclaw.virtual.py.vm import Vm  # the wasm engine takes 0.1 s to import

        with self._lock:
            if self._vm is not None:
                return self._vm
            self._write_settings(with_programs=with_programs)
            vm = Vm(
                self._board,
                self._folder,
                self._mounts(),
                self._cache,
                lambda ending: self._vm_ended(vm, ending),
                hang_s=self._hang_s,
            )
            vm.chip.add("emit", self._emitted)
            vm.chip.add("answer", self._answered)
            vm.chip.add("claim", lambda pin, owner: self._claim(vm, pin, owner))
            vm.chip.add("release", lambda owner: self._release(vm, owner))
            vm.chip.add("reset", self._reset)
            vm.chip.add("fetch_ready", self._is_fetch_ready)
            vm.chip.add("fetch_send", self._send_fetch)
            vm.chip.add("statvfs", lambda: [vm.files.free_bytes, vm.files.total_bytes])
            self._vm = vm
        vm.start()
        return vm

    def _mounts(self) -> dict[str, Path]:
        """Return the folders of the modules by their paths for the interpreter; an update has its own of the parts."""
        mounts = {"/vm": _HERE / "guest", "/lib": _HERE / "modules"}
        if self.firmware is not None:
            mounts["/fw"] = self.firmware
            return mounts
        mounts["/fw"] = firmware_folder() / "fw"
        mounts["/parts"] = self._folder / "parts"
        write_part_modules(mounts["/parts"])
        return mounts

    def _write_settings(self, *, with_programs: bool) -> None:
        """Write the settings that `microclaw flash` writes on a real board: its facts from the profile."""
        profile = self._board.profile
        facts = {
            "chip": profile.chip,
            "reserved": {str(pin.number): pin.reserved for pin in profile.pins.values() if pin.reserved},
            "i2c": [profile.i2c.sda, profile.i2c.scl] if profile.i2c else None,
            "boot_pin": None,
        }
        folder = self._folder / "files"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {"board": facts, "with_programs": with_programs}
        replace_file(folder / "settings.json", json.dumps(settings).encode(), sync=False)

    def _vm_ended(self, vm: Vm, ending: str) -> None:
        """Clean up, in the interpreter's thread."""
        for pin in vm.chip.owners:
            self._board.release(pin)
        vm.listening.set()  # who waits for it is told that it is over
        if self._vm is not vm:
            return  # the power was cut
        owners = sorted(set(vm.chip.owners.values()))
        self._vm = None
        self._give_up_calls()
        self._board.print_line(f"MicroPython {ending}; its programs are stopped")
        for name in owners:
            self._tell("app.crash", {"app": name, "reason": f"MicroPython {ending}", "alive": False})
        self._restarts += 1
        if self._restarts <= MAX_RESTARTS:
            self._start(with_programs=False)

    def _give_up_calls(self) -> None:
        with self._lock:
            calls = list(self._calls.values())
            self._calls = {}
        for call in calls:
            call.set_exception(CallRefused("failed", "MicroPython on the board ended meanwhile"))

    # What the interpreter calls

    def _answered(self, number: int, value: Json, error: list[str] | None) -> None:
        call = self._calls.pop(number, None)
        if call is not None and error:
            call.set_exception(CallRefused(str(error[0]), str(error[1])))
        elif call is not None:
            call.set_result(value)

    def _is_fetch_ready(self) -> bool | None:
        """Return if the host can be asked, None if the lines of the canned network answer in its place."""
        if self.fetch_link is not None:
            return self.fetch_link.is_ready
        if isinstance(self._board.network, CannedNetwork):
            return None
        return False

    def _send_fetch(
        self, kind: str, body: Mapping[str, Json], re: str | None, message_id: str | None, data: bytes
    ) -> None:
        if self.fetch_link is not None:
            self.fetch_link.send(kind, body, data, re=_id(re), message_id=_id(message_id))

    def _reset(self) -> None:
        """Reset the board for a program that does not stop. The board ends this interpreter: not from within."""
        self._board.print_line("Rebooting...")
        threading.Thread(target=self._board.reset, name="py-reset", daemon=True).start()

    def _emitted(self, kind: str, data: dict[str, Json]) -> None:
        if kind == "log":
            source = str(data["source"])
            self._board.print_line(str(data["text"]), None if source == "runner" else source)
        elif kind == "event":
            inner = data["data"]
            assert isinstance(inner, dict)
            self._tell(str(data["name"]), inner)

    def _tell(self, name: str, data: dict[str, Json]) -> None:
        app = str(data.get("app"))
        if name == "app.crash":
            self.ended[app] = "trapped", str(data.get("reason"))
            for line in str(data.get("reason")).splitlines():
                self._board.print_line(line, app)
        elif name == "app.exit":
            self.ended[app] = str(data.get("kind")), None
        self.on_event(name, data)

    def _claim(self, vm: Vm, pin: int, owner: str) -> None:
        """Take a pin for a program. Raises DriverError if a WebAssembly program has it."""
        if vm.chip.owners.get(pin) != owner:
            if not self._board.claim(pin, owner):
                raise DriverError("OSError", EBUSY, f"pin {pin} belongs to another program")
            vm.chip.owners[pin] = owner

    def _release(self, vm: Vm, owner: str) -> None:
        owners = vm.chip.owners
        for pin in [pin for pin, name in owners.items() if name == owner]:
            del owners[pin]
            self._board.release(pin)


def _id(text: str | None) -> bytes | None:
    if text is None:
        return None
    return bytes.fromhex(text)
