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
        device = await talk.conversing(version)
        hello = next(event["hello"] for event in device.events if event["event"] == "open")
        assert hello["audio_params"] == {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60}
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


async def test_in_realtime_the_microphone_stays_open_and_the_device_says_so_no_second_time(talking: Open) -> None:
    async with talking([say("One."), say("Two.")], "first", "second") as talk:
        device = await talk.conversing(mode="realtime")
        for _ in range(2):
            await device.say()
            await device.until("text", type="tts", state="stop")
        assert [m["text"] for m in device.texts("stt")] == ["first", "second"]


async def test_silence_is_listened_through_and_ends_nothing_while_the_button_is_held(talking: Open) -> None:
    async with talking([say("Yes."), say("Yes.")], "hello", "held", nothing_ms=300) as talk:
        device = await talk.conversing()
        await device.say(loud=0, quiet=6)  # hardly longer: the rest is of the next stream
        await talk.ended(1, outcome="nothing")
        for _ in range(6):
            device.audio(b"\x58")
        await talk.ended(2, outcome="nothing")
        await device.say()
        assert (await device.until("text", type="stt"))["message"]["text"] == "hello"
        await device.until("text", type="tts", state="stop")
        await device.listen(mode="manual")
        await device.say(loud=10, quiet=15)
        await device.say(loud=10, quiet=0)
        device.text({"type": "listen", "state": "stop"})
        assert (await device.until("text", type="stt"))["message"]["text"] == "held"
        assert len(talk.recognizer.heard[-1]) // 32 > 2_000  # ms: the pause is in it


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


async def test_a_conversation_in_which_nobody_speaks_or_with_a_newer_connection_ends(talking: Open) -> None:
    async with talking([say("Yes.")], "hello", limits=XiaozhiLimits(idle_s=2)) as talk:
        first = await talk.conversing()
        second = await talk.device()
        second.nvs |= first.nvs
        await second.open()
        await second.until("open")
        assert (await first.until("closed"))["code"] == 1008
        await second.listen()
        await second.say()
        await second.until("text", type="tts", state="stop")
        assert (await second.until("closed"))["code"] == 1000
