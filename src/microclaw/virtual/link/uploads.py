"""Programs that come over the link: uploads that resume, modules in flash by their hash. Sends nothing.

The board's flash says what is installed; the manager says what runs. A program is started when it is committed and,
with `autostart`, at every boot.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from microclaw.durable import replace_file
from microclaw.errors import AppExists, AppNotFound, MicroclawError, NotSupported, TooManyApps
from microclaw.virtual.firmware.program_runners import ProgramRunners
from microclaw.virtual.link.calls import Method, text, whole
from microclaw.virtual.link.pages import ProgramPages
from microclaw.virtual.link_client.flash import Flash, PowerGone
from microclaw.virtual.py.programs import CallRefused
from microclaw.virtual.runtime.app import App
from microclaw.wire.link.values import Value, ValueMap
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, MAX_NAME_BYTES

MAX_INSTALLED: Final = 16
MAX_HEAP_BYTES: Final = 1_048_576
MAX_WRITE_BYTES: Final = 4_096
UPLOAD_FILE: Final = "upload.part"
KIND: Final = "wasm"
PY: Final = "py"
_TIMES: Final = ("every_ms", "stop_after_ms")
_NETWORK: Final = ("hosts", "ports")
_BEGIN: Final = ("name", "kind", "size", "heap", "autostart", *_TIMES, *_NETWORK)


class LinkApps:
    """The programs of one boot. Used by the thread of the calls."""

    def __init__(self, flash: Flash, runners: ProgramRunners) -> None:
        self._flash = flash
        self._runners = runners
        self._pages = ProgramPages(runners)
        self._modules = flash.folder / "modules"
        self._modules.mkdir(mode=0o700, exist_ok=True)
        self._upload = flash.folder / UPLOAD_FILE
        self._changing = threading.RLock()
        self._forget_modules()

    def methods(self) -> Mapping[str, Method]:
        """Return the methods that a host can call, by name."""
        return {
            "apps.begin": self._begin,
            "apps.write": self._write,
            "apps.commit": lambda _: self._commit(),
            "apps.list": lambda _: self._list(),
            "apps.start": self._named("start", self._start),
            "apps.stop": self._named("stop", self._stop),
            "apps.remove": self._named("remove", self._remove),
            "apps.undo": self._named("undo", self._undo),
            "apps.page": self._pages.read,
        }

    def start_kept(self) -> None:
        """Start, at boot, every program with `autostart`; one that cannot start leaves a line and stays installed."""
        with self._changing:
            for name, entry in self._installed().items():
                if entry["autostart"]:
                    try:
                        self._run(name, entry)
                    except MicroclawError as exc:
                        self._runners.board.print_line(f"cannot start kept app {name}: {exc.message}")

    def forget(self, name: str) -> None:
        """Forget a program that was uninstalled over another port."""
        with self._changing, contextlib.suppress(PowerGone):
            if name in self._installed():
                self._flash.commit({_key(name): None})

    # Uploads

    def _begin(self, params: ValueMap) -> Value:
        """Return the offset to go on from: 0, or the bytes that are here already of the same program."""
        kind = text(params, "kind")
        if kind not in (KIND, PY):
            raise NotSupported(f"this board takes programs of the kinds {KIND} and {PY}, not {kind[:20]}")
        name = _name_of(params)
        sha256 = _sha256_of(params)
        if kind == KIND:
            is_taken = self._has_py(name)
        else:
            is_taken = name in self._installed()
        if is_taken:
            raise AppExists("a program of another kind has that name", next_step="remove it, or choose another name")
        if kind == PY:
            return self._begin_py(params, sha256)
        size = whole(params, "size", 8, 2**31)
        limit = self._runners.board.profile.firmware.max_module_bytes
        if size > limit:
            raise CallRefused("too_large", f"a program of {size} bytes, the board takes {limit}")
        heap = whole(params, "heap", 1, MAX_HEAP_BYTES, DEFAULT_HEAP_BYTES)
        autostart = params.get("autostart", True)
        if type(autostart) is not bool:
            raise CallRefused("bad_params", "autostart must be true or false")
        upload = {"name": name, "size": size, "sha256": sha256, "heap": heap, "autostart": autostart}
        present = self._flash.get("upload")
        if present is None or any(present.get(key) != upload[key] for key in ("name", "size", "sha256")):
            self._upload.unlink(missing_ok=True)
        self._flash.commit({"upload": upload})
        return {"offset": self._uploaded_bytes()}

    def _begin_py(self, params: ValueMap, sha256: str) -> Value:
        upload: ValueMap = {key: params[key] for key in _BEGIN if key in params}
        upload["sha256"] = sha256
        times: ValueMap = {key: whole(params, key, 0, 2**32, 0) for key in _TIMES if key in params}
        network: ValueMap = {key: params[key] for key in _NETWORK if params.get(key)}
        offset = self._call_py("begin", upload)
        self._upload.unlink(missing_ok=True)
        self._flash.commit({"upload": {"kind": PY}})
        return {"offset": offset, **times, **network}

    def _write(self, params: ValueMap) -> Value:
        upload = self._present_upload()
        if upload.get("kind") == PY:
            py_offset = whole(params, "offset", 0, 2**31)
            data = b64encode(_data_of(params)).decode()
            return {"offset": self._call_py("write", {"offset": py_offset, "data": data})}
        offset = whole(params, "offset", 0, upload["size"])
        piece = _data_of(params)
        at = self._uploaded_bytes()
        if offset + len(piece) > upload["size"]:
            raise CallRefused("bad_params", f"{len(piece)} bytes at {offset} go past the announced {upload['size']}")
        if offset > at:
            raise CallRefused("wrong_offset", f"offset {offset}, the board has {at} bytes")
        # A repeated call brings bytes that are here already.
        if offset + len(piece) > at:
            with self._upload.open("ab") as file:
                file.write(piece[at - offset :])
        return {"offset": self._uploaded_bytes()}

    def _commit(self) -> Value:
        upload = self._present_upload()
        if upload.get("kind") == PY:
            answer = self._call_py("commit", {})
            self._flash.commit({"upload": None})
            return answer
        if self._upload.exists():
            wasm = self._upload.read_bytes()
        else:
            wasm = b""
        if len(wasm) != upload["size"]:
            raise CallRefused("wrong_offset", f"the board has {len(wasm)} of {upload['size']} bytes")
        sha256 = hashlib.sha256(wasm).hexdigest()
        if sha256 != upload["sha256"]:
            self._upload.unlink()
            self._flash.commit({"upload": None})
            raise CallRefused("hash_mismatch", f"the program's SHA-256 is {sha256}, announced was {upload['sha256']}")
        replace_file(self._modules / f"{sha256}.wasm", wasm, only_writer=True)
        name = upload["name"]
        with self._changing:
            is_replaced = name in self._installed()
            self._change(name, {key: upload[key] for key in ("size", "sha256", "heap", "autostart")})
        self._upload.unlink(missing_ok=True)
        return {"name": name, "sha256": sha256, "replaced": is_replaced}

    # What is installed

    def _list(self) -> Value:
        running = {app.name: app for app in self._runners.wasm.apps}
        rows: list[Value] = []
        for name, entry in self._installed().items():
            row: ValueMap = {"name": name, "kind": KIND, "state": "stopped", **entry}
            if name in running:
                row |= _facts(running.pop(name))
            rows.append(row)
        rows += [{"name": name, "kind": KIND, **_facts(app)} for name, app in running.items()]
        return {"apps": rows + cast("list[Value]", self._runners.py.rows())}

    def _named(self, verb: str, act: Callable[[str], None]) -> Method:
        """Make the method of a program by its name: the runner's for one of kind "py"."""

        def perform(params: ValueMap) -> None:
            name = _name_of(params)
            if name in self._installed() or not self._has_py(name):
                with self._changing:
                    act(name)
            else:
                self._call_py(verb, {"name": name})

        return perform

    def _start(self, name: str) -> None:
        entry = self._known(name)
        if not self._is_running(name):
            self._run(name, entry)

    def _stop(self, name: str) -> None:
        self._known(name)
        self._runners.wasm.remove(name)

    def _remove(self, name: str) -> None:
        self._known(name)
        self._change(name, None)

    def _undo(self, name: str) -> None:
        """Bring the former program back; of kind "py" also a removed one."""
        if name in self._installed():
            raise AppNotFound(f"there is nothing to undo of {name}")
        self._call_py("undo", {"name": name})

    # Programs of kind "py", which the firmware's runner keeps

    def _has_py(self, name: str) -> bool:
        return any(row["name"] == name for row in self._runners.py.rows())

    def _call_py(self, method: str, params: ValueMap) -> Value:
        return cast("Value", self._runners.py.call(method, params))

    # Changes

    def _change(self, name: str, entry: dict[str, Any] | None) -> None:
        """Put `entry` in the place of what is there, in flash and running; as it was before when it cannot run."""
        before = self._installed().get(name)
        is_running = self._is_running(name)
        if before is None and is_running:
            raise AppExists(f"an app named {name} came over another port", next_step="remove it there")
        if entry is not None and before is None and len(self._installed()) >= MAX_INSTALLED:
            raise TooManyApps(f"{MAX_INSTALLED} programs are installed", next_step="remove one")
        if is_running:
            self._runners.wasm.remove(name)
        if entry is not None:
            try:
                self._run(name, entry)
            except MicroclawError:
                if before is not None and is_running:
                    self._run(name, before)
                raise
        changes: dict[str, Any] = {_key(name): entry}
        if entry is not None:
            changes["upload"] = None
        self._flash.commit(changes)
        self._forget_modules()

    def _is_running(self, name: str) -> bool:
        return any(app.name == name for app in self._runners.wasm.apps)

    def _installed(self) -> dict[str, dict[str, Any]]:
        return {key.removeprefix("app/"): entry for key, entry in self._flash.under("app/").items()}

    def _known(self, name: str) -> dict[str, Any]:
        entry = self._installed().get(name)
        if entry is None:
            raise AppNotFound(f"no program named {name} is installed over the link")
        return entry

    def _run(self, name: str, entry: Mapping[str, Any]) -> None:
        try:
            wasm = (self._modules / f"{entry['sha256']}.wasm").read_bytes()
        except OSError as exc:
            raise AppNotFound(f"the module of {name} cannot be read: {exc.strerror}") from exc
        self._runners.wasm.install(name, wasm, entry["heap"])

    def _present_upload(self) -> dict[str, Any]:
        upload: dict[str, Any] | None = self._flash.get("upload")
        if upload is None:
            raise CallRefused("no_upload", "no upload has begun")
        return upload

    def _uploaded_bytes(self) -> int:
        if self._upload.exists():
            return self._upload.stat().st_size
        return 0

    def _forget_modules(self) -> None:
        """Remove modules that nothing refers to: left by a replaced program, or by a cut between file and commit."""
        used = {f"{entry['sha256']}.wasm" for entry in self._installed().values()}
        for path in self._modules.iterdir():
            if path.name not in used:
                path.unlink()


def _facts(app: App) -> ValueMap:
    facts: ValueMap = {
        "state": app.status.shown_state,
        "heap": app.heap_bytes,
        "peak_heap": app.env.heap.peak_bytes,
        "peak_stack": app.env.stack.peak_bytes,
        "pins": [*sorted(app.env.pins)],
    }
    if app.status.error is not None:
        facts["error"] = app.status.error
    return facts


def _key(name: str) -> str:
    return f"app/{name}"


def _name_of(params: ValueMap) -> str:
    name = text(params, "name", MAX_NAME_BYTES)
    if not name.isprintable() or any(c in name for c in "/&=?"):
        raise CallRefused("bad_params", f"{name!r} cannot be the name of a program")
    return name


def _data_of(params: ValueMap) -> bytes:
    value = params.get("data")
    if not isinstance(value, bytes) or len(value) > MAX_WRITE_BYTES:
        raise CallRefused("bad_params", f"data must be at most {MAX_WRITE_BYTES} bytes")
    return value


def _sha256_of(params: ValueMap) -> str:
    """Return the hash as 64 hexadecimal digits, given so or as 32 bytes."""
    value = params.get("sha256")
    if isinstance(value, bytes) and len(value) == 32:
        return value.hex()
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value
    raise CallRefused("bad_params", "sha256 must be 32 bytes, or 64 hexadecimal digits")
