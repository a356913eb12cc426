"""A conversation by voice: what is heard becomes turns, answers are spoken, a person may interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest
from tests.agent.conftest import Agent, MakeAgent, Workshop, make_agent
from tests.voice.recorder import RecordingDevice
from tests.voice.scripted_engines import LOUD, QUIET, Beeps, LoudnessDetector, ScriptedRecognizer

from microclaw.errors import VoiceError
from microclaw.models.scripted import Scripted, call, say
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import NO_ANSWER, NO_EARS, NOT_HEARD, SAY_AGAIN, VoiceParts
from microclaw.voice.session import VoiceSession
from microclaw.voice.trace import VoiceTraces

__all__ = ["make_agent"]  # the fixture


@dataclass
class Talk:
    """A running session."""

    session: VoiceSession
    device: RecordingDevice
    agent: Agent
    traces: VoiceTraces
    beeps: Beeps

    def speak(self, frames: int = 20, stream: int = 1) -> None:
        """Someone speaks and is silent."""
        self.session.opened("button", stream)
        for frame in [LOUD] * frames + [QUIET] * 40:
            self.session.hear(frame)

    async def asked(self) -> None:
        """A question waits for a yes."""
        async with asyncio.timeout(20):
            while not self.agent.approvals.pending():  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0.01)

    async def ended(self, count: int = 1) -> None:
        """`count` turns are over."""
        async with asyncio.timeout(20):
            while len(self.traces.newest()) < count:  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0.01)


Open = Callable[..., "AsyncIterator[Talk]"]


@asynccontextmanager
async def talking(
    make: MakeAgent,
    replies: Iterable[Scripted],
    *transcripts: str | Transcript | Exception | None,
    workshop: Workshop | None = None,
    beeps: Beeps | None = None,
    partials: tuple[str, ...] = (),
) -> AsyncIterator[Talk]:
    heard = [Transcript(one) if isinstance(one, str) else one for one in transcripts]
    async with make(replies, workshop=workshop) as agent, asyncio.TaskGroup() as tasks:
        device, traces, voice = RecordingDevice(), VoiceTraces(), beeps or Beeps()
        recognizer = ScriptedRecognizer(*heard, partials=partials)
        limits = EndpointLimits(silence_ms=200)
        parts = VoiceParts(agent.inbox, agent.approvals, recognizer, voice, LoudnessDetector, traces, limits)
        session = VoiceSession(device, parts)
        running = tasks.create_task(session.run())
        yield Talk(session, device, agent, traces, voice)
        session.left()
        await running


async def test_what_is_said_is_answered_sentence_by_sentence(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("The lamp is on. It is warm.")], "is the lamp on", partials=("is",)) as talk:
        talk.speak(stream=7)
        await talk.ended()
    kinds = [row[0] for row in talk.device.log]
    assert talk.device.log[:4] == [
        ("show", "listening"),
        ("partial", 7, "is"),
        ("show", "thinking"),
        ("final", 7, "is the lamp on"),
    ]
    assert kinds.index("stop") < kinds.index("begin")
    assert talk.device.said()[:2] == ["The lamp is on.", "It is warm."]
    assert ("end", False) in talk.device.log
    [trace] = talk.traces.newest()
    assert trace.outcome == "answered"
    steps: list[str] = [step for step, _ in sorted(trace.marks.items(), key=lambda row: row[1])]
    for first, then in [("first audio", "final"), ("final", "first token"), ("first token", "first audio out")]:
        assert steps.index(first) < steps.index(then)


async def test_speech_without_words_is_told(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [], "") as talk:
        talk.speak()
        await talk.ended()
    assert talk.device.said() == [NOT_HEARD]


@pytest.mark.parametrize("failure", [VoiceError("the engine died"), None])
async def test_an_engine_that_fails_is_told_and_the_next_utterance_is_heard(
    make_agent: MakeAgent, failure: VoiceError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("microclaw.voice.listening.ENGINE_S", 0.2)
    async with talking(make_agent, [say("Hello.")], failure, "hello") as talk:
        talk.speak()
        await talk.ended()
        assert talk.device.said() == ["I cannot hear you right now.", "Speech recognition does not answer."]
        assert " ".join(map(str, talk.device.said())) == NO_EARS
        talk.speak(stream=2)
        await talk.ended(2)
    assert "Hello." in talk.device.said()


async def test_who_speaks_interrupts_within_a_frame_and_the_turn_goes_on(make_agent: MakeAgent) -> None:
    long = say("This is a very long answer that nobody wants to hear to its end. " * 4)
    async with talking(make_agent, [long, say("Yes.")], "tell me", "stop", beeps=Beeps(ms_a_char=20)) as talk:
        talk.speak()
        await talk.device.until(lambda: len(talk.device.frames) >= 12)
        sent = len(talk.device.frames)
        talk.session.opened("wake", 2)
        assert talk.device.log[-2:] == [("cancel",), ("show", "listening")]
        assert len(talk.device.frames) == sent
        for frame in [LOUD] * 10 + [QUIET] * 20:
            talk.session.hear(frame)
        await talk.ended(2)
        assert {trace.outcome for trace in talk.traces.newest()} == {"interrupted", "answered"}
        again = talk.device.log.index(("begin",), talk.device.log.index(("cancel",)))
        assert talk.device.log[again + 1] == ("say", "Yes.")
        assert await talk.agent.table.unanswered() == ()


async def test_a_question_is_answered_by_a_spoken_yes(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), say("It is undone.")]
    async with talking(make_agent, replies, "read the page and undo", "yes", workshop=shop) as talk:
        talk.speak()
        await talk.device.until(lambda: "Say yes or no." in talk.device.said())
        await talk.device.until(lambda: ("end", False) in talk.device.log)
        talk.speak(stream=2)
        await talk.device.until(lambda: "It is undone." in talk.device.said())
        await talk.ended(2)
    assert shop.done == ["undo"]


async def test_what_was_hardly_understood_is_asked_back(make_agent: MakeAgent) -> None:
    unsure = Transcript("set pin two", 0.2)
    replies = [call("gpio-set", pin=2), say("Done.")]
    shop = Workshop()
    async with talking(make_agent, replies, unsure, "no", unsure, "yes", workshop=shop) as talk:
        talk.speak()
        await talk.ended()
        assert talk.device.said() == ["Did you say: set pin two?"]
        talk.speak(stream=2)
        await talk.ended(2)
        assert talk.device.said()[-1] == SAY_AGAIN
        assert shop.done == []
        talk.speak(stream=3)
        await talk.ended(3)
        talk.speak(stream=4)
        await talk.ended(4)
    assert shop.done == ["set 2 1"]


async def test_a_question_that_was_not_answered_is_put_again_before_a_yes_counts(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), say("It is undone.")]
    async with talking(make_agent, replies, "read the page and undo", "", "yes", workshop=shop) as talk:
        talk.speak()
        await talk.device.until(lambda: "Say yes or no." in talk.device.said())
        await talk.device.until(lambda: ("end", False) in talk.device.log)
        asked = talk.device.said()[-3:]
        talk.speak(stream=2)
        await talk.ended(1)
        assert talk.device.said()[-4:] == [NOT_HEARD, *asked]
        assert shop.done == []
        talk.speak(stream=3)
        await talk.device.until(lambda: "It is undone." in talk.device.said())
        await talk.ended(3)
    assert shop.done == ["undo"]


async def test_what_was_asked_back_is_asked_again_after_something_that_was_not_caught(make_agent: MakeAgent) -> None:
    unsure, shop = Transcript("set pin two", 0.2), Workshop()
    replies = [call("gpio-set", pin=2), say("Done. Shall I blink it, too?")]
    async with talking(make_agent, replies, unsure, "", "yes", "", workshop=shop) as talk:
        for stream in (1, 2, 3, 4):
            talk.speak(stream=stream)
            await talk.ended(stream)
    asked = "Did you say: set pin two?"
    after = ["Done.", "Shall I blink it, too?", NOT_HEARD, "Shall I blink it, too?"]
    assert talk.device.said() == [asked, NOT_HEARD, asked, *after]
    assert shop.done == ["set 2 1"]


async def test_a_device_that_leaves_in_the_middle_ends_its_session(make_agent: MakeAgent) -> None:
    long = say("This is a very long answer that nobody wants to hear to its end. " * 4)
    async with talking(make_agent, [long], "tell me", beeps=Beeps(ms_a_char=20)) as talk:
        talk.speak()
        await talk.device.until(lambda: len(talk.device.frames) >= 12)
    assert talk.beeps.closed == len(talk.beeps.said)


async def test_a_stream_that_is_opened_before_the_answer_ends_that_answer(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("gpio-set", pin=2), say("Pin 2 is on."), say("Hello.")]
    async with talking(make_agent, replies, "pin two", "hello", workshop=shop) as talk:
        talk.speak()
        talk.speak(stream=3)
        await talk.ended(2)
    assert shop.done == ["set 2 1"]  # the turn goes on, its text is in the chat
    assert talk.device.said() == ["Hello."]
    assert {trace.stream: trace.outcome for trace in talk.traces.newest()} == {1: "interrupted", 3: "answered"}
    assert [row[1:] for row in talk.device.log if row[0] == "final"] == [(1, "pin two"), (3, "hello")]


async def test_a_text_of_the_host_waits_until_the_stream_is_over_and_is_interrupted_too(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [], beeps=Beeps(ms_a_char=20)) as talk:
        talk.session.opened("button", 1)
        note = asyncio.create_task(talk.session.say("The washing in the cellar is done, take it out please."))
        talk.session.hear(QUIET)
        talk.session.closed()
        talk.session.opened("button", 3)  # before the text could begin
        talk.session.closed()
        await talk.device.until(lambda: len(talk.device.frames) >= 4)
        assert talk.device.log.index(("final", 1, "")) < talk.device.log.index(("begin",))
        talk.session.opened("button", 5)
        sent = len(talk.device.frames)
        await note
        assert len(talk.device.frames) == sent
        assert ("cancel",) in talk.device.log


async def test_a_question_that_nobody_heard_is_not_answered_by_a_yes(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), say("It is undone."), say("What?")]
    async with talking(make_agent, replies, "read the page and undo", "yes", workshop=shop) as talk:
        talk.speak()
        talk.session.opened("wake", 3)  # who asks is heard no more
        await talk.asked()
        for frame in [LOUD] * 10 + [QUIET] * 20:
            talk.session.hear(frame)
        await talk.device.until_noted("final", 3, "yes")
        assert len(talk.agent.approvals.pending()) == 1
    assert shop.done == []


async def test_a_question_that_is_silenced_before_its_first_audio_is_not_answered_by_a_yes(
    make_agent: MakeAgent,
) -> None:
    shop, beeps = Workshop(), Beeps()
    beeps.held = asyncio.Event()
    replies = [call("page"), call("undo", call_id="call-2"), say("It is undone."), say("What?")]
    async with talking(make_agent, replies, "read the page and undo", "yes", workshop=shop, beeps=beeps) as talk:
        talk.speak()
        await talk.asked()
        talk.speak(stream=3)  # the engine has not made the question yet
        beeps.held.set()
        await talk.device.until_noted("final", 3, "yes")
        assert len(talk.agent.approvals.pending()) == 1
    assert shop.done == []
    assert "Say yes or no." not in talk.device.said()


async def test_what_was_asked_back_before_its_first_audio_is_not_done_by_a_yes(make_agent: MakeAgent) -> None:
    beeps = Beeps()
    beeps.held = asyncio.Event()
    unsure = Transcript("set pin two", 0.2)
    async with talking(make_agent, [say("Hello.")], unsure, "yes", beeps=beeps) as talk:
        talk.speak()
        await talk.device.until_noted("final", 1, "set pin two")
        talk.speak(stream=3)
        beeps.held.set()
        await talk.ended(2)
    [request] = talk.agent.script.requests
    assert "set pin two" not in str(request.messages)


async def test_a_turn_that_is_taken_back_ends_with_its_question(make_agent: MakeAgent) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), say("It is undone.")]
    async with talking(make_agent, replies, "read the page and undo", workshop=shop) as talk:
        talk.speak()
        await talk.device.until(lambda: "Say yes or no." in talk.device.said())
        talk.session.cancelled(1)
        assert ("cancel",) in talk.device.log
        await talk.ended()
        assert talk.agent.approvals.pending() == ()
        assert await talk.agent.table.unanswered() == ()
    assert shop.done == []
    assert "It is undone." not in talk.device.said()


async def test_an_engine_with_a_fault_ends_its_stream_alone_and_its_words_are_not_logged(
    make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    fault = RuntimeError("open the safe, 1234")
    async with talking(make_agent, [say("Hello.")], fault, "hello") as talk:
        talk.speak()
        await talk.ended()
        assert ("final", 1, "") in talk.device.log
        assert " ".join(map(str, talk.device.said())) == NO_EARS
        talk.speak(stream=3)
        await talk.ended(2)
    assert talk.device.said()[-1] == "Hello."
    assert "RuntimeError" in caplog.text
    assert "1234" not in caplog.text


async def test_a_voice_with_a_fault_ends_no_stream_that_is_heard_meanwhile(
    make_agent: MakeAgent, caplog: pytest.LogCaptureFixture
) -> None:
    beeps = Beeps()
    beeps.held, beeps.crash = asyncio.Event(), RuntimeError("the secret answer")
    async with talking(make_agent, [say("One."), say("Two.")], "first", "second", beeps=beeps) as talk:
        talk.speak()
        await talk.device.until_noted("final", 1, "first")
        async with asyncio.timeout(20):
            while not beeps.said:  # noqa: ASYNC110  nobody else wants to be told
                await asyncio.sleep(0.01)
        beeps.held.set()
        await talk.ended()
        talk.speak(stream=3)
        await talk.ended(2)
    assert [trace.outcome for trace in talk.traces.newest()] == ["failed", "answered"]
    assert talk.device.said()[0] == "Two."
    assert "secret" not in caplog.text


async def test_a_decision_that_fails_is_told_and_the_session_goes_on(
    make_agent: MakeAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = [call("page"), call("undo", call_id="call-2"), say("It is undone.")]
    async with talking(make_agent, replies, "read the page and undo", "yes") as talk:
        talk.speak()
        await talk.device.until(lambda: "Say yes or no." in talk.device.said())
        await talk.device.until(lambda: ("end", False) in talk.device.log)

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("full disk")

        monkeypatch.setattr(talk.agent.approvals, "decide", broken)
        talk.speak(stream=3)
        await talk.device.until(lambda: "Its log says what." in talk.device.said())
    assert ("final", 3, "yes") in talk.device.log
    assert " ".join(map(str, talk.device.said()[-2:])) == NO_ANSWER


async def test_the_samples_that_are_told_are_those_of_the_audio_up_to_a_frame(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("One thing. Another.")], "hello", beeps=Beeps(ms_a_char=7)) as talk:
        talk.speak()
        await talk.ended()
    sent = sum(map(len, talk.device.frames)) // 2
    assert 0 <= sent - talk.device.samples < 320


async def test_a_thousand_streams_are_one_after_the_other(make_agent: MakeAgent) -> None:
    async with talking(make_agent, [say("Hello.")], "hello") as talk:
        for stream in range(1000):
            talk.session.opened("button", stream)
        for frame in [LOUD] * 10 + [QUIET] * 20:
            talk.session.hear(frame)
        await talk.device.until(lambda: "Hello." in talk.device.said())
    assert ("final", 999, "hello") in talk.device.log
    assert {row[1] for row in talk.device.log if row[0] == "final"} == set(range(1000))
    assert sum(row[0] == "final" for row in talk.device.log) == 1000


@pytest.mark.parametrize(("answers", "done"), [(("no",), []), (("blink pin two", "yes"), ["undo"])])
async def test_a_question_of_before_is_put_again_and_a_no_ends_it(
    make_agent: MakeAgent, answers: tuple[str, ...], done: list[str]
) -> None:
    shop = Workshop()
    replies = [call("page"), call("undo", call_id="call-2"), say("So be it.")]
    async with talking(make_agent, replies, "read the page and undo", *answers, workshop=shop) as talk:
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
        async with asyncio.timeout(20):
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
        for frame in [LOUD] * 20 + [QUIET] * 10 + [LOUD] * 10:  # the end is sure after 200 ms
            talk.session.hear(frame)
        await talk.ended()
        asked = ["You went on speaking.", "Did you say only: turn on pin two?"]
        assert talk.device.said() == asked
        talk.speak(stream=2)
        await talk.ended(2)
    assert talk.device.said() == [*asked, "Hello."]


async def test_a_no_and_more_is_a_no(make_agent: MakeAgent) -> None:
    script = [call("page"), call("undo"), say("I left it.")]
    async with talking(make_agent, script, "undo it", "no") as talk:
        talk.speak()
        await talk.asked()
        talk.session.opened("button", 3)
        for frame in [LOUD] * 20 + [QUIET] * 10 + [LOUD] * 10:
            talk.session.hear(frame)
        await talk.ended(2)
        assert talk.agent.approvals.pending() == ()
        assert talk.agent.workshop.done == []
