"""Keeps a host running as long as somebody uses it.

`python -m microclaw.mcp.server.host_supervisor LOCK GRACE_S WORD...` runs `microclaw WORD...`. Whoever uses the host
holds LOCK shared; the kernel lets it go when that process ends, even by kill -9. Once nobody has held it for GRACE_S
the host is stopped. It says one line on stdout: ready, or the host's error.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

ANY_PORT = ("--port", "0")
MAX_LINE_BYTES = 64 << 10


def main(arguments: Sequence[str]) -> int:
    """Run the host with WORDS; where its own ports are taken, with any."""
    lock, grace_s, words = Path(arguments[0]), float(arguments[1]), tuple(arguments[2:])
    for more in ((), ANY_PORT):
        host = _start((*words, *more))
        told = _first_line(host)
        if told.get("ready") is True:
            _say({"ready": True})
            threading.Thread(target=_stop_when_unused, args=(host, lock, grace_s), daemon=True).start()
            return host.wait()
        host.wait()
        if more or told.get("error", {}).get("code") != "config_error":
            _say({"error": told.get("error") or {"message": f"the host ended with code {host.returncode}"}})
            return host.returncode or 1
    return 1


def _start(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """In the main thread, which lives as long as this process: the host ends with the thread that started it."""
    host = subprocess.Popen(
        [sys.executable, "-m", "microclaw", "--json", *words, "--die-with-parent"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )

    def stop(_number: int, _frame: FrameType | None) -> None:
        host.terminate()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    return host


def _first_line(host: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert host.stdout is not None
    try:
        value = json.loads(host.stdout.readline(MAX_LINE_BYTES))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _stop_when_unused(host: subprocess.Popen[bytes], lock: Path, grace_s: float) -> None:
    with lock.open("rb") as held:
        while True:
            fcntl.flock(held, fcntl.LOCK_EX)  # waits until nobody uses it
            fcntl.flock(held, fcntl.LOCK_UN)
            time.sleep(grace_s)  # an assistant that restarts its servers comes back at once
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            host.terminate()
            host.wait()
            return


def _say(value: dict[str, Any]) -> None:
    """Who started this may be gone."""
    with suppress(BrokenPipeError):
        os.write(1, json.dumps(value).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
