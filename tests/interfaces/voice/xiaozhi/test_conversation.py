"""A device of xiaozhi's firmware, a process of its own, holds a conversation over real sockets."""

from __future__ import annotations

from tests.interfaces.voice.scripted_engines import Beeps
from tests.interfaces.voice.xiaozhi.conftest import Open

from microclaw.agent.models.scripted import say
from microclaw.interfaces.voice.xiaozhi.server import XiaozhiLimits

LONG = "This is a very long answer that nobody wants to hear to its end. " * 4


async def test_a_question_is_heard_shown_and_answered(talking: Open) -> None:
    async with talking([say("The lamp is on. It is warm.")], "is the lamp on") as talk:
        device = await talk.conversing(version=3)
        hello = next(event["hello"] for event in device.events if event["event"] == "open")
        assert hello["audio_params"] == {"format": "opus", "sample_rate": 24_000, "channels": 1, "frame_duration": 60}
        await device.say()
        assert (await device.until("text", type="stt"))["message"]["text"] == "is the lamp on"
        await device.until("text", type="tts", state="start")
        assert 1_400 <= (await device.until("first frame"))["samples"] <= 1_440
        await device.until("text", type="tts", state="stop")
        await talk.ended()
    spoken = [m["text"] for m in device.texts("tts") if m["state"] == "sentence_start"]
    assert spoken[:2] == ["The lamp is on.", "It is warm."]
    assert [m["emotion"] for m in device.texts("llm")] == ["thinking", "neutral"]
    assert {message["session_id"] for message in device.texts("tts")} == {hello["session_id"]}
    trace = talk.traces[0]  # the next one is of the listening that follows
    assert trace.outcome == "answered"
    steps: list[str] = [step for step, _ in sorted(trace.marks.items(), key=lambda row: row[1])]
    for first, then in [("first audio", "final"), ("final", "first token"), ("first token", "first audio out")]:
        assert steps.index(first) < steps.index(then)
    assert 600 <= len(talk.recognizer.heard[0]) // 32 <= 1_100  # ms of 16 kHz


async def test_who_interrupts_hears_not_a_frame_more(talking: Open) -> None:
    async with talking([say(LONG), say("Yes.")], "tell me", "stop", beeps=Beeps(ms_a_char=200)) as talk:
        device = await talk.conversing()
        await device.say()
        await device.until("text", type="tts", state="sentence_start")
        await device.until("first frame")
        device.text({"type": "abort", "reason": "wake_word_detected"})
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


async def test_a_conversation_in_which_nobody_speaks_or_with_a_newer_connection_ends(talking: Open) -> None:
    async with talking([say("Yes.")], "hello", limits=XiaozhiLimits(idle_s=10)) as talk:
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
