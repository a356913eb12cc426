"""Streams that a device opens by itself are utterances with a wake word, or soon after the host has spoken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.agent.conftest import Agent, MakeAgent, Workshop, make_agent
from tests.voice.recorder import RecordingDevice
from tests.voice.scripted_engines import (
    LOUD,
    QUIET,
    WAKE,
    Beeps,
    LoudnessDetector,
    ScriptedRecognizer,
    ScriptedWakeWords,
)

from microclaw.errors import VoiceError
from microclaw.models.scripted import Scripted, call, say
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import NOT_HEARD, VoiceParts
from microclaw.voice.session import VoiceSession
from microclaw.voice.trace import VoiceTraces
from microclaw.voice.waking import FAULT_TOLD_S, FOLLOW_UP_S, MAX_FOLLOW_UPS, NO_WAKE

__all__ = ["make_agent"]  # the fixture
SPEECH = [LOUD] * 20
SILENCE = [QUIET] * 40
LONG = "This is a very long answer that nobody wants to hear to its end. " * 4


@dataclass
class Clock:
    """Real time, and what a test adds to it."""

    added_s: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.added_s


@dataclass
class Talk:
    session: VoiceSession
    device: RecordingDevice
    agent: Agent
    ears: ScriptedRecognizer
    words: ScriptedWakeWords
    traces: VoiceTraces
    clock: Clock = field(default_factory=Clock)

    def hear(self, stream: int, *frames: bytes, trigger: str = "vad") -> None:
        self.session.opened(trigger, stream)
        for frame in frames:
            self.session.hear(frame)

    async def final(self, stream: int) -> str:
        """What the device is told was said."""
        found: list[str] = []
        await self.device.until(lambda: any(row[:2] == ("final", stream) for row in self.device.log))
        found += [str(row[2]) for row in self.device.log if row[:2] == ("final", stream)]
        [text] = found
        return text

    async def answered(self, count: int = 1) -> None:
        """So many turns are over, and what they said is played."""
        async with asyncio.timeout(20):
            while len(self.traces.newest()) < count:  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0.01)


@asynccontextmanager
async def talking(
    make: MakeAgent,
    replies: Iterable[Scripted],
    *heard: str,
    words: ScriptedWakeWords | None = None,
    workshop: Workshop | None = None,
    ms_a_char: int = 2,
) -> AsyncIterator[Talk]:
    async with make(replies, workshop=workshop) as agent, asyncio.TaskGroup() as tasks:
        device, traces, ears, clock = RecordingDevice(), VoiceTraces(), ScriptedRecognizer(), Clock()
        ears.transcripts = [Transcript(text) for text in heard]
        parts = VoiceParts(
            agent.inbox,
            agent.approvals,
            ears,
            Beeps(ms_a_char),
            LoudnessDetector,
            traces,
            EndpointLimits(silence_ms=200),
            now_s=clock,
            wake_words=words or ScriptedWakeWords(),
        )
        session = VoiceSession(device, parts)
        running = tasks.create_task(session.run())
        assert isinstance(parts.wake_words, ScriptedWakeWords)
        yield Talk(session, device, agent, ears, parts.wake_words, traces, clock)
        session.left()
        await running
        assert parts.wake_words.begun == parts.wake_words.closed


async def test_a_stream_without_a_wake_word_is_over_in_silence(make_agent: MakeAgent) -> None:
    async with talking(make_agent, []) as talk:
        talk.hear(1, *SPEECH, *SILENCE)
        assert await talk.final(1) == ""
    assert talk.device.log == [("final", 1, ""), ("stop", 1)]
    assert talk.ears.heard == []
    assert talk.traces.newest() == []


async def test_a_wake_word_begins_the_utterance_behind_it(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("Hello.")], "hello") as talk:
        talk.hear(1, *SPEECH, WAKE, *SPEECH, *SILENCE)
        assert await talk.final(1) == "hello"
        await talk.answered()
    assert talk.device.log[0] == ("show", "listening")
    assert talk.device.said() == ["Hello."]
    assert talk.ears.heard[0].startswith(b"".join(SPEECH))
    assert WAKE not in talk.ears.heard[0]
    [trace] = talk.traces.newest()
    assert trace.skipped_s == pytest.approx(0.02 * 21)
    assert trace.marks["wake"] <= trace.marks["final"]


@pytest.mark.parametrize("trigger", ["wake", "button", "hold", "listen"])
async def test_other_streams_need_no_wake_word(make_agent: MakeAgent, trigger: str) -> None:
    async with talking(make_agent, [say("Hello.")], "hello") as talk:
        talk.hear(1, *SPEECH, *SILENCE, trigger=trigger)
        talk.session.closed()
        assert await talk.final(1) == "hello"
        await talk.answered()
    assert talk.words.begun == 0


async def test_what_is_said_soon_after_an_answer_needs_no_wake_word(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("One."), say("Two.")], "first", "second") as talk:
        talk.hear(1, WAKE, *SPEECH, *SILENCE)
        await talk.answered()
        talk.hear(3, *SPEECH, *SILENCE)
        assert await talk.final(3) == "second"
        await talk.answered(2)
        talk.clock.added_s += FOLLOW_UP_S + 1
        talk.hear(5, *SPEECH, *SILENCE)
        assert await talk.final(5) == ""
    assert [text for text in talk.device.said() if text in ("One.", "Two.")] == ["One.", "Two."]
    assert len(talk.ears.heard) == 2


async def test_a_question_is_answered_by_a_yes_without_a_wake_word(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), say("It is undone.")]
    async with talking(make_agent, replies, "read the page and undo", "yes", workshop=shop) as talk:
        talk.hear(1, WAKE, *SPEECH, *SILENCE)
        await talk.device.until(lambda: ("end", False) in talk.device.log)
        await talk.device.until(lambda: talk.device.log[-1] == ("show", "idle"))
        talk.hear(3, *SPEECH, *SILENCE)
        await talk.device.until(lambda: "It is undone." in talk.device.said())
        await talk.answered(2)
    assert shop.done == ["undo"]


async def test_a_follow_up_that_is_not_understood_says_nothing(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("One.")], "first", "") as talk:
        talk.hear(1, WAKE, *SPEECH, *SILENCE)
        await talk.answered()
        talk.hear(3, *SPEECH, *SILENCE)
        await talk.answered(2)
    assert "One." in talk.device.said()
    assert NOT_HEARD not in talk.device.said()


async def test_follow_ups_in_a_row_are_bounded(make_agent: MakeAgent) -> None:
    count = MAX_FOLLOW_UPS + 1
    async with talking(make_agent, [say(f"Answer {n}.") for n in range(count)], *["more"] * count) as talk:
        talk.hear(1, WAKE, *SPEECH, *SILENCE)
        for number in range(1, count):
            await talk.answered(number)
            talk.hear(1 + 2 * number, *SPEECH, *SILENCE)
        await talk.answered(count)
        talk.hear(99, *SPEECH, *SILENCE)
        assert await talk.final(99) == ""
    assert [text for text in talk.device.said() if str(text).startswith("Answer")] == [
        f"Answer {n}." for n in range(count)
    ]


async def test_speech_without_a_wake_word_does_not_interrupt_and_one_with_it_does(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say(LONG), say("Yes.")], "tell me", "stop", ms_a_char=20) as talk:
        talk.hear(1, WAKE, *SPEECH, *SILENCE)
        await talk.device.until(lambda: len(talk.device.frames) >= 4)
        talk.hear(3, *SPEECH, *SILENCE)
        assert await talk.final(3) == ""
        sent = len(talk.device.frames)
        await talk.device.until(lambda: len(talk.device.frames) > sent)
        assert ("cancel",) not in talk.device.log
        talk.hear(5, *SPEECH)
        await talk.device.until(lambda: len(talk.device.frames) > sent + 12)
        assert ("cancel",) not in talk.device.log
        talk.session.hear(WAKE)
        await talk.device.until_noted("cancel")
        for frame in SPEECH + SILENCE:
            talk.session.hear(frame)
        assert await talk.final(5) == "stop"
        await talk.device.until(lambda: "Yes." in talk.device.said())


async def test_a_second_wake_word_begins_the_utterance_again(make_agent: MakeAgent) -> None:
    second = [LOUD] * 7
    async with talking(make_agent, [say("Hello.")], "hello") as talk:
        talk.hear(1, WAKE, *SPEECH, WAKE, *second, *SILENCE)
        assert await talk.final(1) == "hello"
        await talk.answered()
    assert len(talk.ears.heard) == 2
    assert talk.ears.abandoned == 2
    assert talk.ears.heard[1].startswith(b"".join(second) + QUIET)


async def test_a_wake_word_alone_is_followed_by_a_stream_without_one(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("Hello.")], "hello") as talk:
        talk.hear(1, *SPEECH, WAKE)
        talk.session.closed()
        assert await talk.final(1) == ""
        talk.hear(3, *SPEECH, *SILENCE)
        assert await talk.final(3) == "hello"
        await talk.answered(2)
    assert talk.device.said() == ["Hello."]


async def test_the_end_of_a_wake_word_before_a_pause_is_no_utterance(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("Hello.")], "", "hello") as talk:
        talk.hear(1, WAKE, *[LOUD] * 6, *[QUIET] * 20, *SPEECH, *SILENCE)
        assert await talk.final(1) == "hello"
        await talk.answered()
    assert talk.device.said() == ["Hello."]


async def test_a_detector_that_fails_ends_its_stream_and_is_told_once_in_a_while(
    make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    words = ScriptedWakeWords(*[VoiceError("the detector broke")] * 2, RuntimeError("1234"))
    async with talking(make_agent, [say("Hello.")], "hello", words=words) as talk:
        talk.hear(1, *SPEECH)
        assert await talk.final(1) == ""
        await talk.answered()
        assert " ".join(map(str, talk.device.said())) == NO_WAKE
        talk.clock.added_s += FOLLOW_UP_S + 1
        talk.hear(3, *SPEECH)
        assert await talk.final(3) == ""
        talk.clock.added_s += FAULT_TOLD_S
        talk.hear(5, *SPEECH)
        await talk.answered(2)
        talk.clock.added_s += FOLLOW_UP_S + 1
        talk.hear(7, WAKE, *SPEECH, *SILENCE)
        assert await talk.final(7) == "hello"
        await talk.answered(3)
    assert " ".join(map(str, talk.device.said())) == f"{NO_WAKE} {NO_WAKE} Hello."
    assert "the detector broke" in caplog.text
    assert "1234" not in caplog.text


async def test_a_detector_that_fails_in_a_follow_up_leaves_it_heard(make_agent: MakeAgent) -> None:
    class Full(ScriptedWakeWords):
        async def begin(self, names: object = ()) -> object:  # type: ignore[override]
            if self.begun:
                raise VoiceError("all are in use")
            return await super().begin()

    async with talking(make_agent, [say("One."), say("Two.")], "first", "second", words=Full()) as talk:
        talk.hear(1, WAKE, *SPEECH, *SILENCE)
        await talk.answered()
        talk.hear(3, *SPEECH, *SILENCE)
        assert await talk.final(3) == "second"
        await talk.answered(2)
