"""A host's xiaozhi server over a real socket, with scripted engines, and devices as processes of their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from tests.agent.turn.conftest import Agent, MakeAgent
from tests.devices.link.conftest import Plane, running_plane
from tests.interfaces.voice.scripted_engines import Beeps, LoudnessDetector, ScriptedRecognizer
from tests.interfaces.voice.xiaozhi_client import PATIENCE_S, ForeignDevice, foreign_device

from microclaw.agent.models.scripted import Scripted
from microclaw.devices.link.limits import LinkLimits
from microclaw.interfaces.api.server import tcp_listener
from microclaw.interfaces.voice.engines.engine import Transcript
from microclaw.interfaces.voice.service import VoiceService
from microclaw.interfaces.voice.session_context import EndpointLimits, VoiceParts
from microclaw.interfaces.voice.trace import VoiceTraces
from microclaw.interfaces.voice.xiaozhi.server import OTA_PATH, XiaozhiLimits, XiaozhiServer

MAC = "aa:bb:cc:dd:ee:01"
CLIENT = "11111111-2222-4333-8444-555555555555"


@dataclass
class Talk:
    server: XiaozhiServer
    plane: Plane
    agent: Agent
    traces: VoiceTraces
    recognizer: ScriptedRecognizer
    ota: str
    stack: AsyncExitStack

    async def device(
        self, mac: str = MAC, client: str = CLIENT, version: int = 1, *, address: str = "127.0.0.1"
    ) -> ForeignDevice:
        return await self.stack.enter_async_context(foreign_device(self.ota, mac, client, version, address=address))

    async def pair(self, device: ForeignDevice, name: str | None = "kitchen", **more: Any) -> None:
        device.start(device.boot(**more))
        found = await device.until("ota", status=200)
        await self.plane.plane.pair(found["body"]["activation"]["code"], name=name)
        await device.until("booted")

    async def paired(self, version: int = 1, name: str = "kitchen", mac: str = MAC) -> ForeignDevice:
        device = await self.device(mac, version=version)
        await self.pair(device, name)
        return device

    async def conversing(self, version: int = 1, **more: Any) -> ForeignDevice:
        """Paired, connected and listening."""
        device = await self.paired(version, **more)
        await device.open()
        await device.until("open")
        await device.listen()
        return device

    async def ended(self, count: int = 1, *, outcome: str | None = None) -> None:
        """`count` turns are over."""
        async with asyncio.timeout(PATIENCE_S):
            while len([t for t in self.traces if outcome in (None, t.outcome)]) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


Open: TypeAlias = Callable[..., Any]


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def talking(make_agent: MakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """`async with talking([replies], "what is heard", ...) as talk`. A device that is late is waited for."""
    monkeypatch.setattr("microclaw.interfaces.voice.listening.SILENT_S", PATIENCE_S)

    @asynccontextmanager
    async def open_talk(
        replies: Iterable[Scripted] = (), *heard: str, beeps: Beeps | None = None, limits: XiaozhiLimits | None = None
    ) -> AsyncIterator[Talk]:
        async with AsyncExitStack() as stack:
            agent = await stack.enter_async_context(make_agent(replies))
            plane = await stack.enter_async_context(running_plane(tmp_path / "host", LinkLimits()))
            recognizer = ScriptedRecognizer(*map(Transcript, heard))
            traces = VoiceTraces()
            voice = beeps or Beeps(ms_a_char=10)
            endpoints = EndpointLimits(silence_ms=200, nothing_ms=6_000)
            parts = VoiceParts(agent.inbox, agent.approvals, recognizer, voice, LoudnessDetector, traces, endpoints)
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
            yield Talk(server, plane, agent, traces, recognizer, ota, devices)

    return open_talk
