"""Voice within the host: a device of xiaozhi's firmware from the command line to its answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.interfaces.voice.scripted_engines import Beeps, LoudnessDetector, ScriptedRecognizer
from tests.interfaces.voice.xiaozhi.conftest import CLIENT, MAC
from tests.interfaces.voice.xiaozhi_client import foreign_device

from microclaw.agent.turn.inbox import Inbox
from microclaw.app import running_host
from microclaw.host.auth.approvals import Approvals
from microclaw.host.config.load import load_settings
from microclaw.host.config.settings import LinkSettings, Settings, VoiceSettings
from microclaw.host.operations.client import AsyncClient
from microclaw.host.store.sqlite_file import open_store
from microclaw.interfaces.voice.engines.engine import Transcript
from microclaw.interfaces.voice.session_context import EndpointLimits, VoiceParts
from microclaw.interfaces.voice.setup import VoiceEngines
from microclaw.interfaces.voice.trace import VoiceTraces


def make_voice(inbox: Inbox, approvals: Approvals) -> VoiceParts:
    ears = ScriptedRecognizer(Transcript("list devices"))
    limits = EndpointLimits(silence_ms=200)
    return VoiceParts(inbox, approvals, ears, Beeps(), LoudnessDetector, VoiceTraces(), limits)


def settings_of(home: Path) -> Settings:
    settings = load_settings({}, home=home, http_port=None)
    return replace(settings, link=LinkSettings(port=0), voice=VoiceSettings(xiaozhi="127.0.0.1:0"))


async def test_a_device_comes_by_the_three_steps_and_is_answered(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    async with asyncio.timeout(120), running_host(settings, parts=[VoiceEngines(make_voice)]):
        client = AsyncClient(settings.control_socket)
        ota = (await client.get("/v1/status"))["xiaozhi"]["ota"]
        async with foreign_device(ota, MAC, CLIENT) as device:
            device.start(device.boot(poll_s=1.0))
            code = (await device.until("ota", status=200))["body"]["activation"]["code"]
            await client.post("/v1/devices/pair", {"code": code, "name": "kitchen"})
            await device.until("booted")
            await device.open()
            await device.until("open")
            await device.listen()
            await device.say()
            assert (await device.until("text", type="stt"))["message"]["text"] == "list devices"
            said = (await device.until("text", type="tts", state="sentence_start"))["message"]["text"]
            assert "kitchen" in said
            await client.delete("/v1/devices/kitchen")
            assert (await device.until("closed"))["code"] == 1008


@pytest.mark.parametrize(
    ("person", "told"),
    [(None, "no_such_package"), ("p-1", "voice.person is 'p-1', and ada is read-only, who may look and not speak")],
)
async def test_voice_without_engines_or_of_somebody_who_may_not_speak_is_off_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: str | None, told: str
) -> None:
    monkeypatch.setattr("microclaw.interfaces.voice.engine_choice.PACKAGES", () if person else ("no_such_package",))
    settings = settings_of(tmp_path)
    settings = replace(settings, voice=replace(settings.voice, person=person or settings.voice.person))
    store = open_store(settings.database)
    store.execute("INSERT INTO people VALUES ('p-1', 'ada', 'read-only', 1)")
    store.close()
    async with asyncio.timeout(60), running_host(settings) as host:
        assert [problem for problem in host.problems if told in problem]
