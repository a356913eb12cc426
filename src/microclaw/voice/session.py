"""One device's conversation by voice: what it hears becomes turns of the agent, whose answers are spoken.

A person interrupts by speaking: what is being said ends at once, the turns behind it go on and are heard no more.
Nothing is said while a stream of the device is open. Neither text nor audio is logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from microclaw.agent.inbox import Inbox
from microclaw.auth.approvals import Approvals
from microclaw.errors import MicroclawError, PermissionRefused, UnknownName
from microclaw.events import VOICE_CHANNEL, Answer, ApprovalAsked, ApprovalSettled, Delta, Inbound, TurnEvent
from microclaw.language.yes_no import said_no, said_yes
from microclaw.voice.device import Activity, VoiceDevice
from microclaw.voice.endpointing import EndpointLimits
from microclaw.voice.engines.engine import Recognizer, Synthesizer, Transcript, VoiceDetector
from microclaw.voice.listening import (
    MAX_STREAMS,
    NOTHING_SAID,
    Listener,
    Utterance,
    crash_text,
    failure_text,
)
from microclaw.voice.speaking import SpokenAnswer
from microclaw.voice.spoken_text import SentenceCutter
from microclaw.voice.trace import VoiceTrace, VoiceTraces

MAX_REPLIES: Final = 8
"""Turns of one device that are under way; one more is refused in words."""
ASK_BACK_BELOW: Final = 0.5
"""A transcript of less confidence is asked back before anything is done."""
NOT_HEARD: Final = "I did not catch that."
NO_EARS: Final = "I cannot hear you right now. Speech recognition does not answer."
NO_ANSWER: Final = "Something went wrong in the host. Its log says what."
TOO_MANY: Final = "I am still busy with what you said before."
SHALL_I: Final = "Shall I? Say yes or no."
SAY_AGAIN: Final = "Then say it again, please."
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VoiceParts:
    """What every session works with. `person_id` is who may do what is said to a device."""

    inbox: Inbox
    approvals: Approvals
    recognizer: Recognizer
    synthesizer: Synthesizer
    new_detector: Callable[[], VoiceDetector]
    traces: VoiceTraces
    endpoints: EndpointLimits = field(default_factory=EndpointLimits)
    person_id: str = "owner"
    now_s: Callable[[], float] = time.monotonic


class VoiceSession:
    """`await run()` until `left`. `opened`, `hear`, `closed`, `interrupted` and `left` are the transport's."""

    def __init__(self, device: VoiceDevice, parts: VoiceParts) -> None:
        self.device = device
        self.listener = Listener(device, parts.recognizer, parts.new_detector, parts.endpoints)
        self._parts = parts
        self.has_left = False
        self._replies: list[_Reply] = []
        self._notes: list[_Reply] = []  # texts of the host itself
        self._newest: VoiceTrace | None = None  # the stream that was opened last
        self._opened: deque[VoiceTrace] = deque(maxlen=MAX_STREAMS + 1)  # all that may be without a final
        self._is_quiet = asyncio.Event()  # no stream is open
        self._is_quiet.set()
        self._mouth = asyncio.Lock()
        self._tasks = asyncio.TaskGroup()
        self._doubtful: tuple[str, _Reply] | None = None
        """What it understood badly, and who asked back."""

    @property
    def is_listening(self) -> bool:
        """Whether a stream is open: a text that is spoken now would be heard by the microphone."""
        return not self._is_quiet.is_set()

    def opened(self, trigger: str, stream: int = 0) -> None:
        """A stream of audio begins. What is said for earlier ones ends at once: the person interrupts it."""
        self.interrupted()
        trace = VoiceTrace(self.device.name, trigger, stream, self._parts.now_s)
        trace.mark("wake")
        self._newest = trace
        self._opened.append(trace)
        self._is_quiet.clear()
        self.device.show("listening")
        self.listener.opened(trace)

    def hear(self, pcm: bytes) -> None:
        self.listener.hear(pcm)

    def closed(self, *, cancelled: bool = False) -> None:
        """The device ends its stream; `cancelled`: what was said in it is to be forgotten."""
        self._is_quiet.set()
        self.listener.closed(cancelled=cancelled)

    def taken_back(self, stream: int) -> None:
        """The device cancels a stream that is over: its turn ends, and nothing is said for it."""
        for trace in self._opened:
            trace.is_taken_back = trace.is_taken_back or trace.stream == stream
        for reply in self._replies:
            if reply.trace.stream == stream:
                reply.take_back()

    def interrupted(self) -> None:
        """Be silent. No frame of what was being said is sent after this returns."""
        for reply in (*self._replies, *self._notes):
            reply.hush()

    def left(self) -> None:
        """The device is gone."""
        self.has_left = True
        self.interrupted()
        self._is_quiet.set()
        self.listener.left()

    async def run(self) -> None:
        async with self._tasks:
            async for utterance in self.listener.utterances():
                self._take(utterance)
            self.interrupted()

    async def say(self, text: str) -> None:
        """Speak a text of the host itself, after what is being said and heard."""
        while self.is_listening:
            await self._is_quiet.wait()
        reply = _Reply(self, VoiceTrace(self.device.name, "host", 0, self._parts.now_s))
        self._notes.append(reply)
        try:
            reply.speak(text)
            await reply.spoken_out()
        finally:
            self._notes.remove(reply)

    def show(self, activity: Activity) -> None:
        """What a turn does, unless the device is heard: an earlier turn's end is not the end of that."""
        if not self.is_listening:
            self.device.show(activity)

    # What was heard

    def _take(self, utterance: Utterance) -> None:
        trace = utterance.trace
        if trace.is_taken_back:
            utterance = Utterance(trace)
        self.device.final(trace.stream, utterance.transcript or NOTHING_SAID)
        self.device.stop_listening(trace.stream)
        if trace is self._newest:
            self._is_quiet.set()
        if utterance.failure is not None:
            _log.warning("voice of %s: %s", self.device.name, failure_text(utterance.failure))
            self._start(trace, lambda reply: reply.tell(NO_EARS, "failed"))
        elif utterance.transcript is None:
            self.show("idle")
            self._parts.traces.end(trace, "nothing")
        else:
            try:
                self._understood(trace, utterance.transcript)
            except Exception as exc:  # the session goes on
                self._crashed(exc)
                self._start(trace, lambda reply: reply.tell(NO_ANSWER, "failed"))

    def _crashed(self, exc: Exception) -> None:
        _log.error("voice of %s: a turn failed: %s", self.device.name, crash_text(exc))

    def _understood(self, trace: VoiceTrace, transcript: Transcript) -> None:
        text = transcript.text.strip()
        doubtful, self._doubtful = self._doubtful, None
        asking = next((reply for reply in self._replies if reply.asked is not None), None)
        if not text:
            self._start(trace, lambda reply: reply.tell(NOT_HEARD, "nothing"))
        elif asking is not None and (said_yes(text) or said_no(text)):
            asking.decide(approved=said_yes(text))
            self._parts.traces.end(trace, "decided")
        elif doubtful is not None and doubtful[1].is_question_heard and said_yes(text):
            self._start(trace, lambda reply: reply.turn(doubtful[0]))
        elif doubtful is not None and doubtful[1].is_question_heard and said_no(text):
            self._start(trace, lambda reply: reply.tell(SAY_AGAIN, "asked back"))
        elif transcript.confidence < ASK_BACK_BELOW:
            asks = self._start(trace, lambda reply: reply.ask_back(f"Did you say: {text}?"))
            self._doubtful = None if asks is None else (text, asks)
        else:
            self._start(trace, lambda reply: reply.turn(text))

    def _start(self, trace: VoiceTrace, work: Callable[[_Reply], Coroutine[Any, Any, None]]) -> _Reply | None:
        if len(self._replies) >= MAX_REPLIES:
            _log.warning("voice of %s: %d turns are under way, one more is refused", self.device.name, MAX_REPLIES)
            self._parts.traces.end(trace, "failed")
            return None
        reply = _Reply(self, trace, is_hushed=trace is not self._newest)
        self._replies.append(reply)
        task = self._tasks.create_task(self._guarded(work(reply), trace), name=f"voice: answer {self.device.name}")
        task.add_done_callback(lambda _: self._replies.remove(reply))
        return reply

    async def _guarded(self, work: Coroutine[Any, Any, None], trace: VoiceTrace) -> None:
        """A reply that fails ends no other, and no stream that is heard meanwhile."""
        try:
            await work
        except Exception as exc:
            self._crashed(exc)
            self._parts.traces.end(trace, "failed")
            self.show("idle")


class _Reply:
    """What is said after one utterance. A hushed one is heard no more, but for a question that was put before."""

    def __init__(self, session: VoiceSession, trace: VoiceTrace, *, is_hushed: bool = False) -> None:
        self.asked: ApprovalAsked | None = None
        self._session = session
        self._parts = session._parts
        self._device = session.device
        self.trace = self._trace = trace
        self._message_id: int | None = None  # of its turn
        self._question: tuple[SpokenAnswer, int] | None = None  # the sentence of the question
        self._is_hushed = is_hushed
        self._spoken: SpokenAnswer | None = None
        self._speaking: asyncio.Task[None] | None = None

    @property
    def is_question_heard(self) -> bool:
        """Whether the device has begun to play the question: a yes to one that nobody heard is meant for another."""
        return self._question is not None and self._question[0].has_played(self._question[1])

    def take_back(self) -> None:
        """End its turn before its next step, and say no more of it."""
        self.asked = None
        self.hush()
        if self._message_id is not None:
            self._parts.inbox.cancel(VOICE_CHANNEL, self._device.device_id, message_id=self._message_id)

    def hush(self) -> None:
        if not self.is_question_heard:
            self.asked = None
        self._is_hushed = self.asked is None
        if self._spoken is not None:
            self._spoken.silence()

    def decide(self, *, approved: bool) -> None:
        assert self.asked is not None
        approval_id = self.asked.approval_id
        self._settle()
        try:
            self._parts.approvals.decide(approval_id, approved=approved, by=self._parts.person_id)
        except (UnknownName, PermissionRefused) as exc:
            self.speak(exc.message)

    async def tell(self, text: str, outcome: str) -> None:
        self.speak(text)
        await self._end(outcome)

    async def ask_back(self, question: str) -> None:
        self._ask(question)
        await self._end("asked back")

    async def turn(self, text: str) -> None:
        """The agent's turn, spoken as it comes."""
        if not self._is_hushed:
            self._session.show("thinking")
        inbound = Inbound(
            VOICE_CHANNEL, self._device.device_id, text, person_id=self._parts.person_id, device=self._device.name
        )
        outcome = "answered"
        try:
            accepted = await self._parts.inbox.accept(inbound)
            self._message_id = accepted.message_id
            if self._trace.is_taken_back:  # meanwhile
                self.take_back()
            cutter, streamed = SentenceCutter(), ""
            async for event in accepted.events:
                if isinstance(event, Delta):
                    self._trace.mark("first token")
                    streamed += event.text
                self._follow(event, cutter, streamed)
                if isinstance(event, Answer) and event.outbound_id is not None:
                    await self._parts.inbox.outbox.delivered(event.outbound_id)
        except MicroclawError as exc:
            self.speak(exc.message)
            outcome = "failed"
        except Exception as exc:
            self._session._crashed(exc)
            self.speak(NO_ANSWER)
            outcome = "failed"
        await self._end(outcome)

    def _follow(self, event: TurnEvent, cutter: SentenceCutter, streamed: str) -> None:
        match event:
            case Delta(text):
                self._say_all(cutter.feed(text))
            case ApprovalAsked():
                self._say_all(cutter.rest())
                if self._is_hushed:
                    return  # nobody hears the question: a yes to something else must not answer it
                self.asked = event
                self._ask(f"{event.text}. {SHALL_I}" if event.may_decide else f"{event.text}. An owner has to decide.")
                self._finish_speaking()
            case ApprovalSettled():
                self._settle()
            case Answer(text):
                self._trace.mark("first token")
                rest = text[len(streamed) :] if text.startswith(streamed) else f"\n{text}"
                self._say_all([*cutter.feed(rest), *cutter.rest()])

    def _settle(self) -> None:
        """The question is answered; what follows would be said into a stream that was opened meanwhile."""
        if self.asked is not None:
            self.asked = None
            self._is_hushed = self._session.is_listening

    def speak(self, text: str) -> None:
        """A text that is complete."""
        cutter = SentenceCutter()
        self._say_all([*cutter.feed(text), *cutter.rest()])

    def _ask(self, text: str) -> None:
        cutter = SentenceCutter()
        number = self._say_all([*cutter.feed(text), *cutter.rest()])
        self._question = None if number is None or self._spoken is None else (self._spoken, number)

    def _say_all(self, sentences: list[str]) -> int | None:
        """The number of the first of them in what is spoken; None if it is not."""
        first: int | None = None
        for index, sentence in enumerate(sentences):
            if self._is_hushed:
                return None
            self._trace.mark("first sentence")
            if self._spoken is None or self._spoken.is_over:
                self._spoken = SpokenAnswer(self._device, self._parts.synthesizer, self._trace, self._parts.now_s)
                self._speaking = asyncio.create_task(self._run(self._spoken), name="voice: speak")
            number = self._spoken.say(sentence)
            first = number if index == 0 else first
        return first

    async def _run(self, spoken: SpokenAnswer) -> None:
        async with self._session._mouth:
            if not spoken.is_silenced:
                self._session.show("speaking")
                await spoken.run()
                self._session.show("idle")

    def _finish_speaking(self) -> None:
        if self._spoken is not None:
            self._spoken.finish()

    async def spoken_out(self) -> None:
        self._finish_speaking()
        if self._speaking is not None:
            await self._speaking

    async def _end(self, outcome: str) -> None:
        await self.spoken_out()
        if self._spoken is not None and self._spoken.failure is not None and outcome == "answered":
            outcome = "failed"
        if self._is_hushed:
            outcome = "interrupted"
        self._parts.traces.end(self._trace, outcome)
