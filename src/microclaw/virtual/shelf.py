"""The flash of boards that keep their apps over a power cut: one folder, a module and its facts for each app."""

from __future__ import annotations

import json
from pathlib import Path

from microclaw.virtual.app_ports import KeptApp


class AppShelf:
    """Apps in the order in which they were kept. Names are hex in the file names: they come from the network."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        numbers = [int(path.name.split("-")[0]) for path in directory.glob("*.json")]
        self._next = max(numbers, default=0) + 1

    def keep(self, app: KeptApp) -> None:
        self.forget(app.name)
        stem = f"{self._next:06d}-{_stem(app.name)}"
        self._next += 1
        facts = {
            "name": app.name,
            "heap_bytes": app.heap_bytes,
            "timers": app.timers,
            "watchdog_ms": app.watchdog_ms,
        }
        (self._directory / f"{stem}.wasm").write_bytes(app.wasm)
        (self._directory / f"{stem}.json").write_text(json.dumps(facts), encoding="utf-8")

    def forget(self, name: str) -> None:
        for path in self._directory.glob(f"*-{_stem(name)}.*"):
            path.unlink()

    def kept(self) -> list[KeptApp]:
        apps = []
        for path in sorted(self._directory.glob("*.json")):
            facts = json.loads(path.read_text(encoding="utf-8"))
            apps.append(KeptApp(wasm=path.with_suffix(".wasm").read_bytes(), **facts))
        return apps


def _stem(name: str) -> str:
    return name.encode().hex()[:200] or "-"
