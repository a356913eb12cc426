"""A spoken sentence over the link, by a board of somebody else's making: heard, done on that board, answered aloud."""

from __future__ import annotations

import asyncio
import subprocess
import wave
from pathlib import Path
from typing import Any

import cbor2
import pytest
from tests.link.end import End
from tests.stories.conftest import Host
from tests.stories.link_board import Board, paired

AUDIO = {"codecs": ["pcm16"], "rate": 16000, "frame_ms": 20, "buffer_ms": 400}
FRAME = 640  # 20 ms


@pytest.fixture(scope="module")
def ear(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Board:
    assert host.run("voice", "test").code == 0  # its engine runs then: a first sentence has 15 s for that as well
    return asyncio.run(paired(host, tmp_path_factory.mktemp("ear"), "ear"))


def spoken(text: str, file: Path) -> bytes:
    """The sentence in flite's voice, 16 kHz, with a pause after it."""
    subprocess.run(["flite", "-voice", "slt", "-t", text, "-o", str(file)], check=True, timeout=60)
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (16000, 1, 2)
        said: bytes = sound.readframes(sound.getnframes())
    return said + bytes(FRAME * 50)


async def say(link: End, stream: int, sound: bytes) -> None:
    body = {"stream": stream, "codec": "pcm16", "rate": 16000, "trigger": "button", "wake_ts": 0}
    await link.say("start_asr_stream", body)
    for at in range(0, len(sound), FRAME):
        await link.socket.send(b"\x02" + sound[at : at + FRAME])
    await link.say("stop_asr_stream", {"stream": stream, "reason": "button"})


async def heard(link: End, *, until: str) -> tuple[list[dict[str, Any]], int]:
    """Messages up to one of that kind, and the bytes of audio among them; calls are answered as a board does."""
    messages: list[dict[str, Any]] = []
    audio = 0
    while not messages or messages[-1]["type"] != until:
        frame = await link.socket.recv()
        assert isinstance(frame, bytes)
        if frame[:1] == b"\x03":
            audio += len(frame) - 1
        elif frame[:1] == b"\x01":
            message = cbor2.loads(frame[1:])
            messages.append(message)
            if message["type"] == "call":
                await link.say("result", {"ok": True, "value": message["body"]["params"]}, re=message["id"])
    return messages, audio


def calls_of(messages: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    bodies = [message["body"] for message in messages if message["type"] == "call"]
    return [(body["method"], body["params"]) for body in bodies]


async def test_a_spoken_sentence_is_done_on_the_board_that_heard_it(ear: Board, tmp_path: Path) -> None:
    """A sentence that fits no template is asked about aloud, and a spoken yes does it."""
    async with ear.greeted("gpio.set", "gpio.get", audio=AUDIO) as link:
        await say(link, 1, spoken("turn on pin four", tmp_path / "a.wav"))
        told, audio = await heard(link, until="tts_end")
        await say(link, 3, spoken("give me pin five on", tmp_path / "b.wav"))
        asked, _ = await heard(link, until="tts_end")
        await say(link, 5, spoken("yes", tmp_path / "c.wav"))
        done, _ = await heard(link, until="tts_end")
    final = next(message["body"] for message in told if message["type"] == "asr_final")
    assert (final["stream"], final["confidence"] > 0.5, final["text"]) == (1, True, "turn on pin four")
    assert ("gpio.set", {"pin": 4, "level": 1}) in calls_of(told)
    assert calls_of(asked) == []
    assert ("gpio.set", {"pin": 5, "level": 1}) in calls_of(done)
    started = next(message["body"] for message in told if message["type"] == "tts_start")
    assert (started["stream"] % 2, told[-1]["body"]["reason"], audio > 16_000) == (0, "done", True)
    samples = sum(message["body"]["samples"] for message in told if message["type"] == "tts_chunk")
    assert audio >= samples * 2


async def test_what_is_taken_back_or_no_speech_begins_no_turn(ear: Board) -> None:
    async with ear.greeted("gpio.set", "gpio.get", audio=AUDIO) as link:
        await say(link, 1, bytes(FRAME * 40))
        messages, _ = await heard(link, until="asr_final")
        assert messages[-1]["body"]["text"] == ""
        body = {"stream": 2, "codec": "pcm16", "rate": 16000, "trigger": "button", "wake_ts": 0}
        await link.say("start_asr_stream", body)  # a device's streams are odd
        messages, _ = await heard(link, until="error")
        assert messages[-1]["body"]["code"] == "bad_audio"
        assert not [message for message in messages if message["type"] in ("call", "tts_start")]


def test_the_hosts_engines_understand_each_other(host: Host) -> None:
    tried = host.run("voice", "test", "--json")
    assert (tried.code, tried.json["ok"], tried.json["heard"]) == (0, True, tried.json["said"])
    assert host.run("voice", "test", "").code == 2
    traced = host.run("voice", "trace", "--json").json
    assert (traced["state"], {one["problem"] for one in traced["engines"]} >= {None}) == ("on", True)
