"""A host whose disk is really full, as root of a namespace of its own (`unshare -Urm`); prints what happened as JSON.

Not a test itself: test_identity_at_start.py starts it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.forked import Child
from tests.interfaces.cli.conftest import clean_environ

from microclaw.errors import ConfigError
from microclaw.host.operations.client import Client
from microclaw.host.operations.connection import HostError

WORDS = ("microclaw", "--json", "up", "--port", "0", "--link", "127.0.0.1:0", "--virtual", "0", "--die-with-parent")
NEW = {"name": "lamp", "board": "virtual", "secret": True, "host": None}


def main(place: Path, log: Path) -> None:
    """A new host on a disk without room, then with room; an old one on a disk that filled up, then has room again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "microclaw-test", str(place)], check=True)
    home = place / "home"
    found: dict[str, object] = {}
    full = _fill(place)
    found["new, full"] = start(home, log)
    found["authority after"] = authority(home)
    full()
    found["new, room"] = start(home, log)
    found["authority"] = authority(home)
    (home / "identity" / "server.pem").unlink()  # so that the next start must write
    full = _fill(place)
    found["old, full"] = start(home, log)
    found["authority when full"] = authority(home)
    full()
    found["old, room"] = start(home, log)
    found["authority at last"] = authority(home)
    with Child("host", WORDS, log=log, environ=clean_environ(home)) as child:
        client = Client(Path(child.wait_ready()[0]["control"]))
        asks = (lambda: client.post("/v1/devices/provision", NEW), lambda: client.get("/healthz"))
        full = _fill(place)
        found["running, full"] = [*map(_code, asks), *_alarms(client)]
        full()
        found["running, room"] = [*map(_code, reversed(asks)), *_alarms(client)]
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    found["read-only"] = start(home, log)
    print(json.dumps(found))


def _alarms(client: Client) -> list[str]:
    return [alarm["kind"] for alarm in client.get("/v1/status")["alarms"]]


def start(home: Path, log: Path, *options: str) -> str:
    """Start a host and end it; what it said."""
    with Child("host", [*WORDS, *options], log=log, environ=clean_environ(home)) as child:
        try:
            child.wait_ready()
        except ConfigError as exc:
            return f"{exc.message} | {exc.next_step}"
    return "ready"


def authority(home: Path) -> str | None:
    path = home / "identity" / "authority.pem"
    if path.exists():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return None


def _code(ask: Callable[[], object]) -> str:
    try:
        ask()
    except HostError as exc:
        return f"{exc.code} {exc.status}"
    return "ok"


def _fill(place: Path) -> Callable[[], None]:
    """Take every byte that is left; calling what it returns gives them back."""
    path = place / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    return path.unlink


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
