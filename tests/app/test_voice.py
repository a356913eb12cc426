"""Voice within the host: a device of xiaozhi's firmware from the command line to its answer."""

from __future__ import annotations

import asyncio
import json
import re
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
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import VoiceParts
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
        assert ota in (await run(tmp_path, "status")).out
        async with foreign_device(ota, MAC, CLIENT) as device:
            device.start(device.boot(poll_s=1.0))
            code = (await device.until("ota", status=200))["body"]["activation"]["code"]
            await run(tmp_path, "device", "list")
            paired = await run(tmp_path, "device", "pair", code, "--name", "kitchen")
            assert "kitchen is paired (voice device)" in paired.out + paired.err
            await device.until("booted")
            shown = (await run(tmp_path, "device", "show", "kitchen")).out
            assert f"xiaozhi:{MAC}" in shown
            assert "WASMachine" not in shown
            refused = await run(tmp_path, "gpio", "set", "2", "1", "-d", "kitchen")
            assert refused.code != 0
            await device.open()
            await device.until("open")
            await device.listen(mode="auto")
            await device.say()
            assert (await device.until("text", type="stt"))["message"]["text"] == "list devices"
            said = (await device.until("text", type="tts", state="sentence_start"))["message"]["text"]
            assert "kitchen" in said
            status = json.loads((await run(tmp_path, "status", "--json")).out)
            assert status["xiaozhi"]["connected"] == 1
            removed = await run(tmp_path, "device", "remove", "kitchen", "--yes")
            assert removed.code == 0, removed.err
            assert (await device.until("closed"))["code"] == 1008


async def test_without_speech_engines_it_is_off_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("microclaw.voice.engine_choice.PACKAGES", ("no_such_package",))
    async with asyncio.timeout(60), running_host(settings_of(tmp_path)):
        status = json.loads((await run(tmp_path, "status", "--json")).out)
        assert any(
            problem.startswith("xiaozhi is off: voice is off: no_such_package") for problem in status["problems"]
        )


@pytest.mark.parametrize(
    ("person", "told"),
    [
        ("p-1", "voice.person is 'p-1', and ada is read-only, who may look and not speak"),
        ("p-2", "voice.person is 'p-2', whom this host does not know"),
    ],
)
async def test_voice_of_somebody_who_may_not_speak_is_off_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: str, told: str
) -> None:
    monkeypatch.setattr("microclaw.voice.engine_choice.PACKAGES", ())  # so that this alone is in its way
    settings = settings_of(tmp_path)
    settings = replace(settings, voice=replace(settings.voice, person=person))
    store = open_store(settings.database)
    store.execute("INSERT INTO people VALUES ('p-1', 'ada', 'read-only', 1)")
    store.close()
    async with asyncio.timeout(60), running_host(settings) as host:
        (problem,) = [problem for problem in host.problems if told in problem]
        assert "next: microclaw config set voice.person owner" in problem


async def test_wyoming_says_its_address_without_speech_and_xiaozhi_too_and_a_taken_port_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, None)
    settings = replace(settings, voice=replace(settings.voice, wyoming_port=0))
    monkeypatch.setattr("microclaw.voice.engine_choice.PACKAGES", ("no_such_package",))  # the agent needs no speech
    async with asyncio.timeout(60), running_host(settings) as host:
        address = str(host.voice.wyoming)
        assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", address)
        assert address in (await run(tmp_path, "status")).out
        assert f"at {address}" in (await run(tmp_path, "doctor")).out
        assert not [problem for problem in host.problems if "wyoming" in problem]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = replace(settings, voice=replace(settings.voice, wyoming_port=port))
        async with asyncio.timeout(60), running_host(settings, make_voice=make_voice) as host:
            [problem] = [problem for problem in host.problems if "wyoming" in problem]
            assert f"cannot listen at 127.0.0.1:{port}" in problem
            assert "voice.wyoming_port" in problem
