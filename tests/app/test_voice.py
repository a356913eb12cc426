"""Voice within the host: a device of xiaozhi's firmware from the command line to its answer."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import Ran, clean_environ
from tests.voice.scripted_engines import Beeps, ScriptedRecognizer
from tests.voice.xiaozhi.conftest import CLIENT, MAC, EnergyDetector
from tests.voice.xiaozhi_client import foreign_device

from microclaw.agent.inbox import Inbox
from microclaw.app import running_host
from microclaw.auth.approvals import Approvals
from microclaw.config.load import load_settings
from microclaw.config.settings import LinkSettings, Settings, VoiceSettings
from microclaw.store.sqlite_file import open_store
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import EndpointLimits, VoiceParts
from microclaw.voice.trace import VoiceTraces


def make_voice(inbox: Inbox, approvals: Approvals) -> VoiceParts:
    ears, limits = ScriptedRecognizer(Transcript("list devices")), EndpointLimits(silence_ms=200)
    return VoiceParts(inbox, approvals, ears, Beeps(), EnergyDetector, VoiceTraces(), limits)


def settings_of(home: Path, xiaozhi: str | None = "127.0.0.1:0") -> Settings:
    settings = load_settings({}, home=home, http_port=None)
    return replace(settings, link=LinkSettings(port=0), voice=VoiceSettings(xiaozhi=xiaozhi))


async def run(home: Path, *words: str) -> Ran:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "microclaw",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
        env=clean_environ(home),
    )
    out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def test_a_device_comes_by_the_three_steps_and_is_answered(tmp_path: Path) -> None:
    async with asyncio.timeout(120), running_host(settings_of(tmp_path), make_voice=make_voice):
        ota = json.loads((await run(tmp_path, "status", "--json")).out)["xiaozhi"]["ota"]
        async with foreign_device(ota, MAC, CLIENT) as device:
            device.start(device.boot(poll_s=1.0))
            code = (await device.until("ota", status=200))["body"]["activation"]["code"]
            paired = await run(tmp_path, "device", "pair", code, "--name", "kitchen")
            assert "kitchen is paired (voice device)" in paired.out + paired.err
            await device.until("booted")
            refused = await run(tmp_path, "gpio", "set", "2", "1", "-d", "kitchen")
            assert refused.code != 0
            await device.open()
            await device.until("open")
            await device.listen()
            await device.say()
            assert (await device.until("text", type="stt"))["message"]["text"] == "list devices"
            said = (await device.until("text", type="tts", state="sentence_start"))["message"]["text"]
            assert "kitchen" in said
            removed = await run(tmp_path, "device", "remove", "kitchen", "--yes")
            assert removed.code == 0, removed.err
            assert (await device.until("closed"))["code"] == 1008


@pytest.mark.parametrize(
    ("person", "told"),
    [
        (None, "no_such_package"),
        ("p-1", "voice.person is 'p-1', and ada is read-only, who may look and not speak"),
        ("p-2", "voice.person is 'p-2', whom this host does not know"),
    ],
)
async def test_voice_without_engines_or_of_somebody_who_may_not_speak_is_off_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: str | None, told: str
) -> None:
    monkeypatch.setattr("microclaw.voice.engine_choice.PACKAGES", () if person else ("no_such_package",))
    settings = settings_of(tmp_path)
    settings = replace(settings, voice=replace(settings.voice, person=person or settings.voice.person))
    store = open_store(settings.database)
    store.execute("INSERT INTO people VALUES ('p-1', 'ada', 'read-only', 1)")
    store.close()
    async with asyncio.timeout(60), running_host(settings) as host:
        assert [problem for problem in host.problems if told in problem]


async def test_a_port_of_wyoming_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = settings_of(tmp_path, None)
        settings = replace(settings, voice=replace(settings.voice, wyoming_port=port))
        async with asyncio.timeout(60), running_host(settings, make_voice=make_voice) as host:
            [problem] = [problem for problem in host.problems if "wyoming" in problem]
            assert f"cannot listen at 127.0.0.1:{port}" in problem
            assert "voice.wyoming_port" in problem
