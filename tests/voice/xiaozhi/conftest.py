"""A host's xiaozhi server over a real socket, with scripted engines, and devices as processes of their own."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.agent.conftest import Agent, MakeAgent, Workshop, make_agent
from tests.link_server.conftest import Plane, running_plane
from tests.voice.scripted_engines import Beeps, ScriptedRecognizer

from microclaw.api.server import tcp_listener
from microclaw.link_server.limits import LinkLimits
from microclaw.models.scripted import Scripted
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import VoiceParts
from microclaw.voice.service import VoiceService
from microclaw.voice.trace import VoiceTraces
from microclaw.voice.xiaozhi.server import OTA_PATH, XiaozhiLimits, XiaozhiServer

__all__ = ["make_agent"]  # the fixture

PATIENCE_S = 30
LATE_MS = 40
"""The device's audio has 50 ms from its start, and more to its end: who is later than this may miss that."""
MAC = "aa:bb:cc:dd:ee:01"
CLIENT = "11111111-2222-4333-8444-555555555555"
Event: TypeAlias = dict[str, Any]


class EnergyDetector:
    """Loud is speech."""

    def is_speech(self, frame: bytes) -> bool:
        samples: tuple[int, ...] = struct.unpack(f"<{len(frame) // 2}h", frame)
        return sum(abs(sample) for sample in samples) > 1_000 * len(samples)


class ForeignDevice:
    """tests/voice/xiaozhi_client.py in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[Event] = []
        self._at = 0
        self._news = asyncio.Event()

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.events.append(json.loads(line))
            self._news.set()

    async def do(self, what: str, **arguments: Any) -> None:
        """Returns when the device has done it."""
        done = sum(event["event"] == "done" for event in self.events)
        self.start(what, **arguments)
        async with asyncio.timeout(PATIENCE_S):
            while sum(event["event"] == "done" for event in self.events) == done:
                await self._next()

    def start(self, what: str, **arguments: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")

    async def until(self, event: str, **members: Any) -> Event:
        """The next event like this, after the last one that was waited for. Members of a message count, too."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                while self._at < len(self.events):
                    found = self.events[self._at]
                    self._at += 1
                    known = {**found, **found.get("message", {})}
                    if found["event"] == event and all(known.get(name) == value for name, value in members.items()):
                        return found
                await self._next()

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()

    def texts(self, kind: str) -> list[Event]:
        return [e["message"] for e in self.events if e["event"] == "text" and e["message"]["type"] == kind]


@asynccontextmanager
async def foreign_device(ota: str, mac: str, client: str, version: int = 1) -> AsyncIterator[ForeignDevice]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.voice.xiaozhi_client",
        ota,
        mac,
        client,
        str(version),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    device = ForeignDevice(process)
    reading = asyncio.create_task(device.read())
    try:
        yield device
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            await process.wait()
            await reading


def played_well(stop: Event) -> bool:
    """True if the device threw nothing away, and played it all before the end. One on a busy machine hears late."""
    assert stop["accepted"] > 0
    assert stop["frames"] == stop["accepted"] + stop["early"] + stop["dropped"]
    return bool(stop["late_ms"] > LATE_MS or stop["early"] == stop["dropped"] == stop["unplayed_ms"] == 0)


@dataclass
class Talk:
    server: XiaozhiServer
    plane: Plane
    agent: Agent
    traces: VoiceTraces
    beeps: Beeps
    recognizer: ScriptedRecognizer
    ota: str
    stack: AsyncExitStack

    async def device(self, mac: str = MAC, client: str = CLIENT, version: int = 1) -> ForeignDevice:
        return await self.stack.enter_async_context(foreign_device(self.ota, mac, client, version))

    async def pair(self, device: ForeignDevice, name: str | None = "kitchen", **more: Any) -> None:
        device.start("boot", **more)
        found = await device.until("ota", status=200)
        await self.plane.plane.pair(found["body"]["activation"]["code"], name=name)
        await device.until("booted")

    async def paired(self, version: int = 1, name: str = "kitchen", mac: str = MAC) -> ForeignDevice:
        device = await self.device(mac, version=version)
        await self.pair(device, name)
        return device

    async def conversing(self, version: int = 1, mode: str = "auto", **more: Any) -> ForeignDevice:
        """Paired, connected and listening."""
        device = await self.paired(version, **more)
        await device.do("open")
        await device.until("open")
        await device.do("listen", mode=mode)
        return device

    async def ended(self, count: int = 1, *, outcome: str | None = None) -> None:
        """`count` turns are over."""
        async with asyncio.timeout(PATIENCE_S):
            while len([t for t in self.traces.newest() if outcome in (None, t.outcome)]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


Open: TypeAlias = Callable[..., Any]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def talking(make_agent: MakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """`async with talking([replies], "what is heard", ...) as talk`. A device that is late is waited for."""
    monkeypatch.setattr("microclaw.voice.listening.SILENT_S", PATIENCE_S)

    @asynccontextmanager
    async def open_talk(
        replies: Iterable[Scripted] = (),
        *heard: str,
        workshop: Workshop | None = None,
        beeps: Beeps | None = None,
        limits: XiaozhiLimits | None = None,
        silence_ms: int = 200,
        nothing_ms: int = 6_000,
    ) -> AsyncIterator[Talk]:
        async with AsyncExitStack() as stack:
            agent = await stack.enter_async_context(make_agent(replies, workshop=workshop))
            plane = await stack.enter_async_context(running_plane(tmp_path / "host", LinkLimits()))
            recognizer = ScriptedRecognizer(*map(Transcript, heard))
            traces, voice = VoiceTraces(), beeps or Beeps(ms_a_char=10)
            endpoints = EndpointLimits(silence_ms=silence_ms, nothing_ms=nothing_ms)
            parts = VoiceParts(agent.inbox, agent.approvals, recognizer, voice, EnergyDetector, traces, endpoints)
            service = VoiceService(parts, now_ms=wall_ms, note_taker=lambda device_id: None)
            await stack.enter_async_context(service.serving())
            server = XiaozhiServer(
                voice=service,
                devices=plane.registry,
                identity=plane.plane.identity,
                now_ms=wall_ms,
                limits=limits or XiaozhiLimits(),
            )
            listener = stack.enter_context(tcp_listener("127.0.0.1", 0))
            await stack.enter_async_context(server.serving(listener))
            devices = await stack.enter_async_context(AsyncExitStack())
            ota = f"http://127.0.0.1:{listener.getsockname()[1]}{OTA_PATH}"
            yield Talk(server, plane, agent, traces, voice, recognizer, ota, devices)

    return open_talk
