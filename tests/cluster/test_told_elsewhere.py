"""What happens at one host comes to another: questions to its live events, changes to MQTT, texts to its voice."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.cluster.nats_servers import NatsServer
from tests.store.two_hosts import MemoryLog, two_hosts, until
from tests.voice.scripted_engines import Beeps, ScriptedRecognizer
from tests.voice.xiaozhi.conftest import CLIENT, MAC, EnergyDetector, foreign_device

from microclaw.agent.inbox import Inbox
from microclaw.app import Host, running_host
from microclaw.app.mqtt import ChangesElsewhere
from microclaw.auth.approvals import Approvals
from microclaw.client import Client
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.config.load import load_settings
from microclaw.config.settings import LinkSettings, VoiceSettings
from microclaw.events import VOICE_CHANNEL
from microclaw.store.apps import AppTable, NewChange
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import VoiceParts
from microclaw.voice.trace import VoiceTraces
from microclaw.wire.host_api import JsonObject

LIMIT_S = 180.0


@dataclass
class VoiceHost:
    host: Host
    client: Client
    inbox: Inbox


@asynccontextmanager
async def voice_host(server: NatsServer, cluster: str, home: Path) -> AsyncIterator[VoiceHost]:
    """Its name is that of its home."""
    inboxes: list[Inbox] = []

    def make(inbox: Inbox, approvals: Approvals) -> VoiceParts:
        inboxes.append(inbox)
        ears, limits = ScriptedRecognizer(Transcript("list devices")), EndpointLimits(silence_ms=200)
        return VoiceParts(inbox, approvals, ears, Beeps(), EnergyDetector, VoiceTraces(), limits)

    settings = replace(
        load_settings({}, home=home, http_port=None),
        link=LinkSettings(port=0),
        voice=VoiceSettings(xiaozhi="127.0.0.1:0"),
        cluster=ClusterSettings(nats=server.url, name=cluster, host=home.name),
    )
    async with running_host(settings, make_voice=make) as host:
        yield VoiceHost(host, Client(settings.control_socket), inboxes[0])


async def test_a_question_and_a_text_for_a_device_of_another_host(
    nats_server: NatsServer, cluster_name: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(LIMIT_S))
        cellar = await stack.enter_async_context(voice_host(nats_server, cluster_name, tmp_path / "cellar"))
        (tmp_path / "desk").mkdir(mode=0o700)
        folder = tmp_path / "desk" / "identity"
        folder.mkdir(mode=0o700)
        shutil.copy2(cellar.host.settings.identity / "authority.pem", folder)  # as docs/cluster.md says
        desk = await stack.enter_async_context(voice_host(nats_server, cluster_name, tmp_path / "desk"))

        listener = asyncio.create_task(asyncio.to_thread(_first_question, desk.client))
        while not listener.done():  # it connects when it may
            asking = asyncio.create_task(_ask(cellar.host.admission.approvals))
            await asyncio.wait([listener], timeout=1)
            asking.cancel()
            await asyncio.wait([asking])
        assert (await listener)["text"] == "open the door"
        told = await _metrics(desk.host.settings.control_socket)
        taken = re.search(r'microclaw_cluster_events_total{outcome="taken"} ([\d.]+)', told)
        assert taken is not None
        assert float(taken[1]) > 0

        status = await asyncio.to_thread(cellar.client.get, "/v1/status")
        device = await stack.enter_async_context(foreign_device(status["xiaozhi"]["ota"], MAC, CLIENT))
        device.start("boot", poll_s=1.0)
        code = (await device.until("ota", status=200))["body"]["activation"]["code"]
        body = {"code": code, "name": "kitchen"}
        await asyncio.to_thread(cellar.client.post, "/v1/devices/pair", body)
        await device.until("booted")
        await device.do("open")
        await device.until("open")
        known = cellar.host.devices.get("kitchen")
        await desk.inbox.outbox.push(VOICE_CHANNEL, known.device_id, "the cake is done")
        said = (await device.until("text", type="tts", state="sentence_start"))["message"]["text"]
        assert said == "the cake is done"


async def _metrics(socket: Path) -> str:
    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    page = await reader.read()
    writer.close()
    return page.decode()


def _first_question(client: Client) -> JsonObject:
    with client.live.events(["approval"]) as events:
        return next(event.data for event in events if event.data["state"] == "asked")


async def _ask(approvals: Approvals) -> None:
    await approvals.ask("owner", "open the door", (), channel="api", chat_id="c")


async def test_devices_that_another_host_changed_are_published_at_once(tmp_path: Path) -> None:
    changed: list[str] = []
    async with two_hosts(tmp_path, MemoryLog()) as (here, there):
        here.follow(("changes",), ChangesElsewhere(AppTable(here), changed.append).look)
        table = AppTable(there)
        new = NewChange(1, "d-1", "app.start", "start blink", "{}", None)
        change_id = await table.add_change(new)
        await until(lambda: changed == ["d-1"])
        await table.settle_change(change_id, "done")
        await until(lambda: changed == ["d-1", "d-1"])
        await table.add_change(replace(new, device_id="d-2"))
        await until(lambda: changed == ["d-1", "d-1", "d-2"])
