"""A device of xiaozhi's firmware, a process of its own, holds a conversation over real sockets."""

from __future__ import annotations

import pytest
from tests.voice.scripted_engines import Beeps
from tests.voice.xiaozhi.conftest import Open, played_well

from microclaw.models.scripted import say
from microclaw.voice.xiaozhi.server import XiaozhiLimits

LONG = "This is a very long answer that nobody wants to hear to its end. " * 4


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_a_question_is_heard_shown_and_answered(talking: Open, version: int) -> None:
    async with talking([say("The lamp is on. It is warm.")], "is the lamp on") as talk:
        device = await talk.paired(version)
        await device.open()
        hello = (await device.until("open"))["hello"]
        assert hello["audio_params"] == {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60}
        await device.listen()
        await device.say()
        assert (await device.until("text", type="stt"))["message"]["text"] == "is the lamp on"
        await device.until("text", type="tts", state="start")
        assert 1_400 <= (await device.until("first frame"))["samples"] <= 1_440
        stop = await device.until("text", type="tts", state="stop")
        await talk.ended()
    spoken = [m["text"] for m in device.texts("tts") if m["state"] == "sentence_start"]
    assert spoken[:2] == ["The lamp is on.", "It is warm."]
    assert [m["emotion"] for m in device.texts("llm")] == ["thinking", "neutral"]
    assert played_well(stop)
    assert {message["session_id"] for message in device.texts("tts")} == {hello["session_id"]}
    trace = talk.traces.newest()[0]  # the next one is of the listening that follows
    assert trace.outcome == "answered"
    assert 600 <= len(talk.recognizer.heard[0]) // 32 <= 1_100  # ms of 16 kHz


async def test_an_answer_of_some_seconds_never_overflows_the_device(talking: Open) -> None:
    async with talking([say(LONG)], "tell me", beeps=Beeps(ms_a_char=20)) as talk:
        device = await talk.conversing()
        await device.say()
        stop = await device.until("text", type="tts", state="stop")
    assert stop["frames"] * 60 > 4_000
    assert played_well(stop)


@pytest.mark.parametrize("mode", ["auto", "realtime"])
async def test_after_an_answer_it_listens_again(talking: Open, mode: str) -> None:
    """In realtime the microphone stays open, and the device says so no second time."""
    async with talking([say("One."), say("Two.")], "first", "second") as talk:
        device = await talk.conversing(mode=mode)
        for _ in range(2):
            await device.say()
            await device.until("text", type="tts", state="stop")
        assert [m["text"] for m in device.texts("stt")] == ["first", "second"]


async def test_silence_is_listened_through_without_a_word(talking: Open) -> None:
    async with talking([say("Yes.")], "hello", nothing_ms=300) as talk:
        device = await talk.conversing()
        await device.say(loud=0, quiet=6)  # hardly longer: the rest is of the next stream
        await talk.ended(1, outcome="nothing")
        for _ in range(6):
            device.audio(b"\x58")
        await talk.ended(2, outcome="nothing")
        await device.say()
        assert (await device.until("text", type="stt"))["message"]["text"] == "hello"


async def test_a_pause_does_not_end_what_is_said_while_the_button_is_held(talking: Open) -> None:
    async with talking([say("Yes.")], "hello") as talk:
        device = await talk.conversing(mode="manual")
        await device.say(loud=10, quiet=15)
        await device.say(loud=10, quiet=0)
        device.text({"type": "listen", "state": "stop"})
        await device.until("text", type="tts", state="stop")
        assert len(talk.recognizer.heard) == 1
        assert len(talk.recognizer.heard[0]) // 32 > 2_000


@pytest.mark.parametrize("how", ["abort", "listen"])
async def test_who_interrupts_hears_not_a_frame_more(talking: Open, how: str) -> None:
    async with talking([say(LONG), say("Yes.")], "tell me", "stop", beeps=Beeps(ms_a_char=200)) as talk:
        device = await talk.conversing()
        await device.say()
        await device.until("text", type="tts", state="sentence_start")
        await device.until("first frame")
        if how == "abort":
            device.text({"type": "abort", "reason": "wake_word_detected"})
        else:
            await device.listen()
        stop = await device.until("text", type="tts", state="stop")
        await talk.ended(1, outcome="interrupted")
        await device.listen()
        await device.say()
        start = await device.until("text", type="tts", state="start")
        assert start["frames"] == stop["frames"]
        await device.until("text", type="tts", state="stop")
        assert stop["frames"] * 60 < len(LONG) * 200 / 2
        said = [m["text"] for m in device.texts("tts") if m["state"] == "sentence_start"]
        assert "Yes." in said


async def test_an_abort_while_it_thinks_hushes_the_answer_and_hears_what_follows(talking: Open) -> None:
    async with talking([say("Yes.")], "second") as talk:
        device = await talk.conversing()
        device.text({"type": "abort", "reason": "wake_word_detected"})
        await device.until("text", type="tts", state="stop")
        await device.say()
        assert (await device.until("text", type="stt"))["message"]["text"] == "second"


async def test_the_wake_word_is_no_question(talking: Open) -> None:
    async with talking([say("Yes.")], "hello") as talk:
        device = await talk.paired()
        await device.open()
        await device.until("open")
        await device.say(loud=10, quiet=2)
        device.text({"type": "listen", "state": "detect", "text": "hi jason"})
        await device.listen()
        await device.say()
        await device.until("text", type="tts", state="stop")
        await talk.ended()
        assert len([heard for heard in talk.recognizer.heard if heard]) == 1
        assert [m["text"] for m in device.texts("stt")] == ["hello"]
        assert talk.traces.newest()[0].trigger == "wake"


async def test_a_conversation_in_which_nobody_speaks_ends(talking: Open) -> None:
    async with talking(limits=XiaozhiLimits(idle_s=2)) as talk:
        device = await talk.conversing()
        assert (await device.until("closed"))["code"] == 1000


async def test_a_newer_connection_of_a_device_ends_the_older(talking: Open) -> None:
    async with talking([say("Yes.")], "hello") as talk:
        first = await talk.conversing()
        token = next(e["token"] for e in first.events if e["event"] == "booted")
        second = await talk.device()
        second.nvs |= {"url": talk.ota.replace("http", "ws").replace("ota", "v1"), "token": token}
        await second.open()
        await second.until("open")
        assert (await first.until("closed"))["code"] == 1008
        await second.listen()
        await second.say()
        await second.until("text", type="tts", state="stop")
