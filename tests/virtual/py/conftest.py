"""A board with the `py` runner on the virtual clock, and programs as the host's rewriting leaves them."""

from __future__ import annotations

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.firmware.programs import image
from tests.virtual.conftest import Bench

from microclaw.virtual.py.chip import Json


class PyBench(Bench):
    """Runs `py` programs; `events` are those for the host."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.events: list[tuple[str, Mapping[str, Json]]] = []
        self.programs.on_event = lambda name, data: self.events.append((name, data))

    def install(
        self, name: str, source: str, *, autostart: bool = True, heap: int = 4096, **network: Sequence[Json]
    ) -> None:
        data = image(self.folder, "p", source)
        digest = hashlib.sha256(data).hexdigest()
        facts: dict[str, Json] = {"autostart": autostart, "heap": heap, **network}
        self.programs.call("begin", {"name": name, "kind": "py", "size": len(data), "sha256": digest, **facts})
        for offset in range(0, len(data), 1000):
            piece = b64encode(data[offset : offset + 1000]).decode()
            self.programs.call("write", {"offset": offset, "data": piece})
        self.programs.call("commit", {})

    def wait_for(self, condition: Callable[[], bool]) -> bool:
        """On the real clock: whether it came true within a minute."""
        until_s = time.monotonic() + 60
        while not condition() and time.monotonic() < until_s:
            time.sleep(0.01)
        return condition()

    def row(self, name: str) -> Mapping[str, Json]:
        return next(row for row in self.programs.rows() if row["name"] == name)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MicroPython is compiled once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def bench(tmp_path: Path, cache: Path) -> Iterator[PyBench]:
    made = PyBench(tmp_path, cache=cache)
    yield made
    made.machine.close()
