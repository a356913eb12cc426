"""A conversation by voice: what is heard becomes turns, answers are spoken, a person may interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from tests.agent.turn.conftest import Agent, MakeAgent, Workshop
from tests.interfaces.voice.recorder import RecordingDevice
from tests.interfaces.voice.scripted_engines import LOUD, QUIET, Beeps, LoudnessDetector, ScriptedRecognizer

from microclaw.agent.models.scripted import Scripted, call, say
from microclaw.errors import VoiceError
from microclaw.interfaces.voice.engines.engine import Transcript
from microclaw.interfaces.voice.session import VoiceSession
from microclaw.interfaces.voice.session_context import NO_RECOGNIZER, NOT_HEARD, SAY_AGAIN, EndpointLimits, VoiceParts
from microclaw.interfaces.voice.trace import VoiceTraces


@dataclass
class Talk:
    """A running session."""

    session: VoiceSession
    device: RecordingDevice
    agent: Agent
    traces: VoiceTraces

    def speak(self, stream: int = 1) -> None:
        """Someone speaks and is silent."""
        self.session.opened("button", stream)
        self.hear()

    def hear(self, frames: Sequence[bytes] = (*[LOUD] * 20, *[QUIET] * 40)) -> None:
        for frame in frames:
            self.session.hear(frame)

    async def asked_aloud(self) -> None:
        """A question waits for a yes, and was spoken to its end."""
        await self.device.until(lambda: "Say yes or no." in self.device.said())
        await self.device.until(lambda: ("end", False) in self.device.log)

    async def asked(self) -> None:
        """A question waits for a yes."""
        async with asyncio.timeout(60):
            while not self.agent.approvals.pending():  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0.01)

    async def ended(self, count: int = 1) -> None:
        """`count` turns are over."""
        async with asyncio.timeout(60):
            while len(self.traces) < count:  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0.01)


UNDO = (call("page"), call("undo", call_id="call-2"), say("It is undone."))
"""A turn that asks before it undoes."""
LONG = say("This is a very long answer that nobody wants to hear to its end. " * 4)
UNSURE = Transcript("set pin two", 0.2)
DID_YOU = "Did you say: set pin two?"
ON = "turn pin two on"
GOES_ON = (*[LOUD] * 20, *[QUIET] * 10, *[LOUD] * 10)  # the end is sure after 200 ms


@asynccontextmanager
async def talking(
    make: MakeAgent,
    replies: Iterable[Scripted],
    *transcripts: str | Transcript | Exception | None,
    workshop: Workshop | None = None,
    beeps: Beeps | None = None,
) -> AsyncIterator[Talk]:
    heard = [Transcript(one) if isinstance(one, str) else one for one in transcripts]
    async with make(replies, workshop=workshop) as agent, asyncio.TaskGroup() as tasks:
        device = RecordingDevice()
        traces = VoiceTraces()
        voice = beeps or Beeps()
        recognizer = ScriptedRecognizer(*heard)
        limits = EndpointLimits(silence_ms=200)
        parts = VoiceParts(agent.inbox, agent.approvals, recognizer, voice, LoudnessDetector, traces, limits)
        session = VoiceSession(device, parts)
        running = tasks.create_task(session.run())
        yield Talk(session, device, agent, traces)
        session.left()
        await running


async def test_an_engine_that_fails_is_told_and_the_next_utterance_is_heard(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("microclaw.interfaces.voice.listening.ENGINE_S", 0.2)
    failures = (VoiceError("the engine died"), None, RuntimeError("open the safe, 1234"))
    async with talking(make_agent, [say("Hello.")], *failures, "hello") as talk:
        for stream in (1, 2, 3):
            talk.speak(stream)
            await talk.ended(stream)
            assert ("final", stream, "") in talk.device.log
        assert " ".join(map(str, talk.device.said())) == " ".join([NO_RECOGNIZER] * 3)
        talk.speak(stream=4)
        await talk.ended(4)
    assert talk.device.said()[-1] == "Hello."
    assert "1234" not in caplog.text


async def test_who_speaks_interrupts_within_a_frame_and_the_turn_goes_on(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [LONG, say("Yes.")], "tell me", "stop", beeps=Beeps(ms_a_char=20)) as talk:
        talk.speak()
        await talk.device.until(lambda: len(talk.device.frames) >= 12)
        sent = len(talk.device.frames)
        talk.session.opened("wake", 2)
        assert talk.device.log[-2:] == [("cancel",), ("show", "listening")]
        assert len(talk.device.frames) == sent
        talk.hear()
        await talk.ended(2)
        assert {trace.outcome for trace in talk.traces} == {"interrupted", "answered"}
        again = talk.device.log.index(("begin",), talk.device.log.index(("cancel",)))
        assert talk.device.log[again + 1] == ("say", "Yes.")
        assert await talk.agent.table.unanswered() == ()


@pytest.mark.parametrize(
    ("heard", "said"),
    [([UNSURE, "no"], [DID_YOU, SAY_AGAIN]), ([UNSURE, "", "yes"], [DID_YOU, NOT_HEARD, DID_YOU, "Done."])],
)
async def test_what_was_hardly_understood_is_asked_back_until_a_yes_or_no(
    make_agent: MakeAgent, heard: list[str | Transcript], said: list[str]
) -> None:
    shop = Workshop()
    async with talking(make_agent, [call("gpio-set", pin=2), say("Done.")], *heard, workshop=shop) as talk:
        for stream in range(1, len(heard) + 1):
            talk.speak(stream)
            await talk.ended(stream)
    assert talk.device.said() == said
    assert shop.done == ["set 2 1"] * ("Done." in said)


@pytest.mark.parametrize(
    ("text", "unclear", "is_asked"),
    [
        (ON, "on", True),
        (ON, "two", False),
        ("is pin two on", "on", False),  # that it is off is the same question
        ("stop the blink program", "stop", True),
        ("run the blink program", "the", False),
        ("run the blink program", "run", True),
        ("would you shut it off over there", "off", True),  # no template reads it, and a model may
    ],
)
async def test_what_one_misheard_word_would_reverse_has_to_be_clearer(
    make_agent: MakeAgent, text: str, unclear: str, is_asked: bool
) -> None:
    heard = Transcript(text, 0.77, frozenset({unclear}))
    async with talking(make_agent, [say("Done.")], heard) as talk:
        talk.speak()
        await talk.ended()
    assert talk.device.said() == ([f"Did you say: {text}?"] if is_asked else ["Done."])


async def test_a_question_that_was_not_answered_is_put_again_before_a_yes_counts(make_agent: MakeAgent) -> None:
    shop = Workshop()
    async with talking(make_agent, UNDO, "read the page and undo", "", "yes", workshop=shop) as talk:
        talk.speak()
        await talk.asked_aloud()
        asked = talk.device.said()[-3:]
        talk.speak(stream=2)
        await talk.ended(1)
        assert talk.device.said()[-4:] == [NOT_HEARD, *asked]
        assert shop.done == []
        talk.speak(stream=3)
        await talk.device.until(lambda: "It is undone." in talk.device.said())
        await talk.ended(3)
    assert shop.done == ["undo"]


@pytest.mark.parametrize("silenced", ["while it thinks", "before its first audio"])
async def test_a_question_that_nobody_heard_is_not_answered_by_a_yes(make_agent: MakeAgent, silenced: str) -> None:
    shop = Workshop()
    beeps = Beeps()
    if silenced == "before its first audio":
        beeps.held = asyncio.Event()
    else:
        beeps.held = None
    async with talking(make_agent, UNDO, "read the page and undo", "yes", workshop=shop, beeps=beeps) as talk:
        talk.speak()
        if beeps.held is None:
            talk.session.opened("wake", 3)  # who asks is heard no more
        await talk.asked()
        if beeps.held is not None:
            talk.session.opened("wake", 3)  # the engine has not made the question yet
            beeps.held.set()
        talk.hear()
        await talk.device.until_noted("final", 3, "yes")
        talk.agent.approvals.withdraw(*(one.approval_id for one in talk.agent.approvals.pending()))  # the only one
    assert shop.done == []
    assert "Say yes or no." not in talk.device.said()


async def test_a_turn_that_is_taken_back_ends_with_its_question(make_agent: MakeAgent) -> None:
    shop = Workshop()
    async with talking(make_agent, UNDO, "read the page and undo", workshop=shop) as talk:
        talk.speak()
        await talk.device.until(lambda: "Say yes or no." in talk.device.said())
        talk.session.cancelled(1)
        assert ("cancel",) in talk.device.log
        await talk.ended()
        assert talk.agent.approvals.pending() == ()
        assert await talk.agent.table.unanswered() == ()
    assert shop.done == []
    assert "It is undone." not in talk.device.said()


async def test_a_thousand_streams_are_one_after_the_other(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("Hello.")], "hello") as talk:
        for stream in range(1000):
            talk.session.opened("button", stream)
        talk.hear()
        await talk.device.until(lambda: "Hello." in talk.device.said())
    assert ("final", 999, "hello") in talk.device.log
    assert {row[1] for row in talk.device.log if row[0] == "final"} == set(range(1000))
    assert sum(row[0] == "final" for row in talk.device.log) == 1000


@pytest.mark.parametrize(("answers", "done"), [(("no",), []), (("blink pin two", "yes"), ["undo"])])
async def test_a_question_of_before_is_put_again_and_a_no_ends_it(
    make_agent: MakeAgent, answers: tuple[str, ...], done: list[str]
) -> None:
    shop = Workshop()
    async with talking(make_agent, UNDO, "read the page and undo", *answers, workshop=shop) as talk:
        talk.speak()
        await talk.device.until(lambda: "Say yes or no." in talk.device.said())
        talk.session.left()
        device = RecordingDevice()
        again = VoiceSession(device, talk.session.parts)
        running = asyncio.create_task(again.run())
        later = replace(talk, session=again, device=device)
        later.speak()
        if len(answers) > 1:
            await device.until(lambda: "a question waits" in " ".join(map(str, device.said())))
            await device.until(lambda: ("end", False) in device.log)
            assert shop.done == []
            later.speak(stream=2)
        async with asyncio.timeout(60):
            while talk.agent.approvals.pending() or shop.done != done:  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0)
        again.left()
        await running
    assert shop.done == done


async def test_who_goes_on_speaking_while_it_is_recognised_is_asked_before_anything_is_done(
    make_agent: MakeAgent,
) -> None:
    async with talking(make_agent, [say("Hello.")], "turn on pin two", "yes") as talk:
        talk.session.opened("button", 1)
        talk.hear(GOES_ON)
        await talk.ended()
        asked = ["You went on speaking.", "Did you say only: turn on pin two?"]
        assert talk.device.said() == asked
        talk.speak(stream=2)
        await talk.ended(2)
    assert talk.device.said() == [*asked, "Hello."]


async def test_a_yes_answers_the_question_that_was_put_last(make_agent: MakeAgent) -> None:
    shop = Workshop()
    async with talking(make_agent, UNDO, "read the page and undo", UNSURE, "yes", workshop=shop) as talk:
        talk.speak()
        await talk.asked_aloud()
        talk.speak(stream=2)
        await talk.ended()
        assert talk.device.said()[-1] == DID_YOU
        talk.speak(stream=3)
        await talk.device.until_noted("final", 3, "yes")
        for _ in range(100):
            await asyncio.sleep(0)
    assert shop.done == []
