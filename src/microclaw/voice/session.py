"""One device's conversation by voice: what it hears becomes turns of the agent, whose answers are spoken.

A person interrupts by speaking: what is being said ends at once, the turns behind it go on and are heard no more.
Nothing is said while a stream is open. Neither text nor audio is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Literal

from microclaw.auth.approvals import PendingApproval
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.events import VOICE_CHANNEL
from microclaw.language.quantities import said_no, said_yes
from microclaw.voice.device import Activity, VoiceDevice
from microclaw.voice.doubt import did_you_say, must_ask_back
from microclaw.voice.engines.engine import failure_text
from microclaw.voice.listening import MAX_STREAMS, NOTHING_SAID, Listener, Utterance
from microclaw.voice.parts import (
    GOES_ON,
    NO_ANSWER,
    NO_EARS,
    NOT_DONE,
    NOT_HEARD,
    SAY_AGAIN,
    VoiceParts,
    crash_text,
)
from microclaw.voice.reply import OpenQuestion, Reply
from microclaw.voice.spoken_text import spoken_question
from microclaw.voice.trace import VoiceTrace

MAX_REPLIES: Final = 8
"""Turns of one device that are under way; one more is refused."""
_log = logging.getLogger(__name__)


class VoiceSession:
    """`await run()` until `left`. The methods from `opened` to `left` are the transport's."""

    def __init__(self, device: VoiceDevice, parts: VoiceParts) -> None:
        self.device = device
        self.parts = parts
        self.has_left = False
        self.mouth = asyncio.Lock()
        self.question: OpenQuestion | None = None
        """The last one that was put aloud."""
        self._listener = Listener(device, parts)
        self._opened: deque[VoiceTrace] = deque(maxlen=MAX_STREAMS + 1)  # all that may be without a final
        self._is_quiet = asyncio.Event()  # no stream is open
        self._is_quiet.set()
        self._replies: list[Reply] = []
        self._notes: list[Reply] = []  # texts of the host itself
        self._tasks = asyncio.TaskGroup()

    @property
    def hearing(self) -> int | None:
        """The stream that is open: a text that is spoken now would be heard by its microphone."""
        return None if self._is_quiet.is_set() else self._opened[-1].stream

    def opened(self, trigger: str, stream: int = 0) -> None:
        """A stream of audio begins. What is said for earlier ones ends at once: the person interrupts it."""
        trace = VoiceTrace(self.device.name, trigger, stream, self.parts.now_s)
        trace.mark("wake")
        self._opened.append(trace)
        self.interrupted()
        self._is_quiet.clear()
        self.device.show("listening")
        self._listener.opened(trace)

    def hear(self, pcm: bytes) -> None:
        if self.hearing is not None:
            self._listener.hear(pcm)

    def closed(self, end: Literal["closed", "cut"] = "closed") -> None:
        """The device ends its stream; "cut": what was said in it is forgotten, unless its end was heard."""
        self._is_quiet.set()
        self._listener.closed(end)

    def cancelled(self, stream: int) -> None:
        """The device revokes a stream, also one that is over: its turn ends, and nothing is said for it."""
        for trace in self._opened:
            trace.is_cancelled = trace.is_cancelled or trace.stream == stream
        if stream == self.hearing:
            self.closed("cut")
        for reply in self._replies:
            if reply.trace.stream == stream:
                reply.cancel()

    def interrupted(self) -> None:
        """Be silent. No frame of what was being said is sent after this returns."""
        for reply in (*self._replies, *self._notes):
            reply.hush()

    def left(self) -> None:
        """The device is gone."""
        self.has_left = True
        self.interrupted()
        self._is_quiet.set()
        self._listener.left()

    async def run(self) -> None:
        async with self._tasks:
            async for utterance in self._listener.utterances():
                self._take(utterance)
            self.interrupted()

    async def say(self, text: str) -> None:
        """Speak a text of the host itself, after what is being said and heard."""
        while self.hearing is not None:
            await self._is_quiet.wait()
        reply = Reply(self, VoiceTrace(self.device.name, "host", 0, self.parts.now_s))
        self._notes.append(reply)
        try:
            reply.speak(text)
            await reply.spoken_out()
        finally:
            self._notes.remove(reply)

    def show(self, activity: Activity) -> None:
        """Show a turn's steps, unless the device is heard: an earlier turn's end is not the end of that."""
        if self.hearing is None:
            self.device.show(activity)

    def crashed(self, exc: Exception) -> None:
        _log.error("voice of %s: a turn failed: %s", self.device.name, crash_text(exc))

    # What was heard

    def _take(self, utterance: Utterance) -> None:
        trace = utterance.trace
        if trace.is_cancelled:
            utterance = Utterance(trace)
        self.device.final(trace.stream, utterance.transcript or NOTHING_SAID)
        if trace is self._opened[-1] and self.hearing is not None:
            self.device.stop_listening(trace.stream)
            self._is_quiet.set()
        if utterance.failure is not None:
            _log.warning("voice of %s: %s", self.device.name, failure_text(utterance.failure))
            self._start(trace, lambda reply: reply.tell(NO_EARS, "failed"))
        elif utterance.transcript is None:
            self.show("idle")
            trace.end("nothing", self.parts.traces)
        else:
            try:
                self._understood(trace, utterance.transcript.text.strip(), utterance)
            except Exception as exc:  # the session goes on
                self.crashed(exc)
                self._start(trace, lambda reply: reply.tell(NO_ANSWER, "failed"))

    def _understood(self, trace: VoiceTrace, text: str, utterance: Utterance) -> None:
        assert utterance.transcript is not None
        question = self.question
        self.question = None
        if question is not None and not question.is_heard:
            question = None  # a yes to one that nobody heard is meant for another
        approval = None if question is None else question.approval_id
        if not text and (again := question) is not None:  # a later yes must not answer what nobody remembers
            self._start(trace, lambda reply: reply.ask(again, before=f"{NOT_HEARD} "))
        elif not text:
            self._start(trace, lambda reply: reply.tell(NOT_HEARD, "nothing"))
        elif utterance.goes_on and not said_no(text):  # perhaps to take it back
            asked = OpenQuestion(f"You went on speaking. Did you say only: {text}?", sentence=text)
            if question is not None and said_yes(text):
                asked = replace(question, text=asked.text)
            self._start(trace, lambda reply: reply.ask(asked))
        elif question is not None and (said_yes(text) or said_no(text)):
            self._answered(trace, question, is_yes=said_yes(text))
        elif approval is None and (waiting := self._waiting()) is not None:
            self._remind(trace, waiting, is_no=said_no(text))
        elif must_ask_back(utterance.transcript):
            self._start(trace, lambda reply: reply.ask(OpenQuestion(did_you_say(text), sentence=text)))
        else:
            self._start(trace, lambda reply: reply.turn(text))

    def _answered(self, trace: VoiceTrace, question: OpenQuestion, *, is_yes: bool) -> None:
        if question.approval_id is not None:
            self._decide(trace, question.approval_id, question.turn, approved=is_yes)
        elif is_yes and (sentence := question.sentence) is not None:
            self._start(trace, lambda reply: reply.turn(sentence))
        else:
            self._start(trace, lambda reply: reply.tell(SAY_AGAIN, "asked back"))

    def _waiting(self) -> PendingApproval | None:
        """One of this chat that nobody asks here any more: it was put before the device left, or interrupted."""
        place = (VOICE_CHANNEL, self.device.device_id)
        return next((one for one in self.parts.approvals.pending() if (one.channel, one.chat_id) == place), None)

    def _remind(self, trace: VoiceTrace, waiting: PendingApproval, *, is_no: bool) -> None:
        """Nothing is done by a no, even to a question that was not heard; other words put the question again."""
        if is_no:
            self._decide(trace, waiting.approval_id, None, approved=False)
        else:
            asked = self.parts.approvals.question(waiting, of=self.parts.person_id)
            text = spoken_question(asked.text, may_decide=asked.may_decide, before="First, a question waits: ")
            self._start(trace, lambda reply: reply.ask(OpenQuestion(text, approval_id=waiting.approval_id)))

    def _decide(self, trace: VoiceTrace, approval_id: str, turn: Reply | None, *, approved: bool) -> None:
        """`turn` goes on and says what came of it; without one the answer is in the chat."""
        try:
            self.parts.approvals.decide(approval_id, approved=approved, by=self.parts.person_id)
        except (UnknownName, PermissionRefused) as exc:
            refusal = exc.message
            self._start(trace, lambda reply: reply.tell(refusal, "decided"))
            return
        if turn is None:
            self._start(trace, lambda reply: reply.tell(GOES_ON if approved else NOT_DONE, "decided"))
        else:
            trace.end("decided", self.parts.traces)

    def _start(self, trace: VoiceTrace, work: Callable[[Reply], Coroutine[Any, Any, None]]) -> None:
        if len(self._replies) >= MAX_REPLIES:
            _log.warning("voice of %s: %d turns are under way, one more is refused", self.device.name, MAX_REPLIES)
            trace.end("failed", self.parts.traces)
            self.show("idle")
            return
        reply = Reply(self, trace, is_hushed=trace is not self._opened[-1])
        self._replies.append(reply)
        name = f"voice: answer {self.device.name}"
        task = self._tasks.create_task(self._guarded(work(reply), trace), name=name)
        task.add_done_callback(lambda _: self._replies.remove(reply))

    async def _guarded(self, work: Coroutine[Any, Any, None], trace: VoiceTrace) -> None:
        """A reply that fails ends no other, and no stream that is heard meanwhile."""
        try:
            await work
        except Exception as exc:
            self.crashed(exc)
            trace.end("failed", self.parts.traces)
            self.show("idle")
