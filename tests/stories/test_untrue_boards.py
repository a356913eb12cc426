"""Boards that say what is not so: a foreign device on the link lists other bytes, or edges of the future."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.link.plain_device import PlainDevice, running
from tests.stories.conftest import Host, blink, until


class Board(PlainDevice):
    """It takes a program and tells edges as the blink's; `untrue` is what it says wrongly."""

    def __init__(self, *given: Any, untrue: str) -> None:
        super().__init__(*given)
        self.untrue = untrue
        self.began_s = time.monotonic()
        self.committed_ms: float | None = None
        self.app: dict[str, Any] | None = None

    def facts(self) -> dict[str, Any]:
        methods = "device.info apps.begin apps.write apps.commit apps.list apps.remove edges.read"
        return {"capabilities": methods.split(), "kinds": ["wasm"]}

    def now_ms(self) -> float:
        return (time.monotonic() - self.began_s) * 1000

    def done(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "value": getattr(self, f"do_{method.replace('.', '_')}")(params)}

    def do_apps_begin(self, params: dict[str, Any]) -> dict[str, Any]:
        self.app = {
            "name": params["name"],
            "heap": 4096,
            "kind": "wasm",
            "state": "running",
            "sha256": params["sha256"],
        }
        if self.untrue == "bytes":
            self.app["sha256"] = bytes(32)
        return {"offset": 0}

    def do_apps_write(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"offset": params["offset"] + len(params["data"])}

    def do_apps_commit(self, _params: dict[str, Any]) -> dict[str, Any]:
        assert self.app is not None
        if self.untrue == "slow":
            self.began_s -= 6  # seconds, by its own clock, that it was installing
        self.committed_ms = self.now_ms()
        return {"name": self.app["name"]}

    def do_apps_remove(self, _params: dict[str, Any]) -> None:
        self.committed_ms = None

    def do_apps_list(self, _params: dict[str, Any]) -> dict[str, Any]:
        return {"apps": [] if self.committed_ms is None else [self.app]}

    def do_edges_read(self, params: dict[str, Any]) -> dict[str, Any]:
        now_ms = self.now_ms()
        began_ms = self.committed_ms
        edges: list[list[float]] = []
        if began_ms is not None:
            ahead_ms = 10_000_000 if self.untrue == "edges" else 0
            edges = [[began_ms + ahead_ms + at * 100, 2, at % 2] for at in range(1, int((now_ms - began_ms) // 100))]
        cursor = min(params["cursor"], len(edges))
        return {"edges": edges[cursor:], "cursor": len(edges), "dropped": 0, "now_ms": now_ms}


@asynccontextmanager
async def board(host: Host, untrue: str) -> AsyncIterator[str]:
    """A board of that kind, paired by a secret; its name."""
    name = f"board-{untrue}"
    made = host.run("device", "provision", name, "--board", "xiao-esp32s3", "--json").json
    device = Board("127.0.0.1", made["port"], made["ca_sha256"], made["secret"], untrue=untrue)
    async with running(device):

        def is_online() -> bool:
            link = host.client.get("/v1/status")["link"]
            return name in link["connected"]

        await asyncio.to_thread(until, is_online)
        yield name


@pytest.mark.parametrize(
    ("untrue", "is_proof"),
    [("nothing", True), ("slow", True), ("bytes", False), ("edges", False)],
    ids=["the truth", "it installs slowly", "other bytes", "edges of the future"],
)
async def test_a_boards_words_are_a_proof_where_they_can_be_true(
    host: Host, tmp_path: Path, untrue: str, is_proof: bool
) -> None:
    async with board(host, untrue) as name:
        ran = await asyncio.to_thread(host.run, "run", blink(tmp_path, 2), "-d", name, "-y", "--json")
    assert (ran.code, ran.json["verified"]) == (0 if is_proof else 1, is_proof)
    assert (ran.json["evidence"]["kind"] == "counted") is is_proof
