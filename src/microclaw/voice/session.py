"""One device's conversation by voice: what it hears becomes turns of the agent, whose answers are spoken.

A person interrupts by speaking: what is being said ends at once, the turns behind it go on and are heard no more.
Nothing is said while a stream is open. Neither text nor audio is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final

from microclaw.auth.approvals import PendingApproval
from microclaw.events import VOICE_CHANNEL
from microclaw.language.yes_no import said_no, said_yes
from microclaw.voice.device import Activity, VoiceDevice
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.listening import MAX_STREAMS, NOTHING_SAID, Listener, Utterance
from microclaw.voice.parts import NO_ANSWER, NO_EARS, SAY_AGAIN, VoiceParts, crash_text, failure_text
from microclaw.voice.reply import Reply
from microclaw.voice.spoken_text import spoken_question
from microclaw.voice.trace import VoiceTrace

MAX_REPLIES: Final = 8
"""Turns of one device that are under way; one more is told so."""
ASK_BACK_BELOW: Final = 0.5
"""A transcript of less confidence is asked back before anything is done."""
_log = logging.getLogger(__name__)


class VoiceSession:
    """`await run()` until `left`. `opened`, `hear`, `closed`, `interrupted` and `left` are the transport's."""

    def __init__(self, device: VoiceDevice, parts: VoiceParts) -> None:
        self.device = device
        self.listener = Listener(device, parts.recognizer, parts.new_detector, parts.endpoints)
        self.parts = parts
        self.has_left = False
        self._replies: list[Reply] = []
        self._notes: list[Reply] = []  # texts of the host itself
        self._newest: VoiceTrace | None = None  # the stream that was opened last
        self._opened: deque[VoiceTrace] = deque(maxlen=MAX_STREAMS + 1)  # all that may be without a final
        self._is_quiet = asyncio.Event()  # no stream is open
        self._is_quiet.set()
        self.mouth = asyncio.Lock()
        self._tasks = asyncio.TaskGroup()
        self._doubtful: tuple[str, Reply] | None = None
        """What it understood badly, and who asked back."""
        self.question: str | None = None
        """The question at the end of the agent's last answer."""

    @property
    def is_listening(self) -> bool:
        """True if a stream is open: a text that is spoken now would be heard by the microphone."""
        return not self._is_quiet.is_set()

    def opened(self, trigger: str, stream: int = 0) -> None:
        """A stream of audio begins. What is said for earlier ones ends at once: the person interrupts it."""
        trace = VoiceTrace(self.device.name, trigger, stream, self.parts.now_s)
        self._opened.append(trace)
        trace.mark("wake")
        self.interrupted()
        self._newest = trace
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

    async def say(self, text: str) -> bool:
        """Speak a text of the host itself, after what is being said and heard; whether all of it was spoken."""
        while self.is_listening:
            await self._is_quiet.wait()
        reply = Reply(self, VoiceTrace(self.device.name, "host", 0, self.parts.now_s))
        self._notes.append(reply)
        try:
            reply.speak(text)
            await reply.spoken_out()
            return reply.is_spoken
        finally:
            self._notes.remove(reply)

    def show(self, activity: Activity) -> None:
        """Show a turn's steps, unless the device is heard: an earlier turn's end is not the end of that."""
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
            self.parts.traces.end(trace, "nothing")
        else:
            try:
                self._understood(trace, utterance.transcript, goes_on=utterance.goes_on)
            except Exception as exc:  # the session goes on
                self.crashed(exc)
                self._start(trace, lambda reply: reply.tell(NO_ANSWER, "failed"))

    def crashed(self, exc: Exception) -> None:
        _log.error("voice of %s: a turn failed: %s", self.device.name, crash_text(exc))

    def _understood(self, trace: VoiceTrace, transcript: Transcript, *, goes_on: bool) -> None:
        text = transcript.text.strip()
        doubtful, self._doubtful = self._doubtful, None
        asking = next((reply for reply in self._replies if reply.asked is not None), None)
        if not text:
            self._not_heard(trace, asking, doubtful)
        elif goes_on and not said_no(text):  # perhaps to take it back
            asks = self._start(trace, lambda reply: reply.ask_back(f"You went on speaking. Did you say only: {text}?"))
            self._doubtful = None if asks is None else (text, asks)
        elif asking is not None and (said_yes(text) or said_no(text)):
            asking.decide(approved=said_yes(text))
            self.parts.traces.end(trace, "decided")
        elif asking is None and (waiting := self._waiting_question()) is not None:
            if said_no(text):
                self._start(trace, lambda reply: reply.decline(waiting))
            else:
                self._start(trace, lambda reply: reply.ask_again(waiting))
        elif doubtful is not None and doubtful[1].is_question_heard and said_yes(text):
            self._start(trace, lambda reply: reply.turn(doubtful[0]))
        elif doubtful is not None and doubtful[1].is_question_heard and said_no(text):
            self._start(trace, lambda reply: reply.tell(SAY_AGAIN, "asked back"))
        elif transcript.confidence < ASK_BACK_BELOW:
            asks = self._start(trace, lambda reply: reply.ask_back(_did_you_say(text)))
            self._doubtful = None if asks is None else (text, asks)
        else:
            self._start(trace, lambda reply: reply.turn(text))

    def _not_heard(self, trace: VoiceTrace, asking: Reply | None, doubtful: tuple[str, Reply] | None) -> None:
        """Put an open question again: a later yes must not answer what nobody remembers."""
        if asking is not None and asking.asked is not None:
            question: str | None = spoken_question(asking.asked.text, may_decide=asking.asked.may_decide)
        elif doubtful is not None:
            question = _did_you_say(doubtful[0])
        else:
            question = self.question
        tells = self._start(trace, lambda reply: reply.not_heard(question))
        if doubtful is not None and asking is None and tells is not None:
            self._doubtful = doubtful[0], tells

    def _waiting_question(self) -> PendingApproval | None:
        """One of this chat that nobody asks here any more: it was put before the device left, or interrupted."""
        place = (VOICE_CHANNEL, self.device.device_id)
        return next((one for one in self.parts.approvals.pending() if (one.channel, one.chat_id) == place), None)

    def _start(self, trace: VoiceTrace, work: Callable[[Reply], Coroutine[Any, Any, None]]) -> Reply | None:
        if len(self._replies) >= MAX_REPLIES:
            _log.warning("voice of %s: %d turns are under way, one more is refused", self.device.name, MAX_REPLIES)
            self.parts.traces.end(trace, "failed")
            self.show("idle")
            return None
        reply = Reply(self, trace, is_hushed=trace is not self._newest)
        self._replies.append(reply)
        task = self._tasks.create_task(self._guarded(work(reply), trace), name=f"voice: answer {self.device.name}")
        task.add_done_callback(lambda _: self._replies.remove(reply))
        return reply

    async def _guarded(self, work: Coroutine[Any, Any, None], trace: VoiceTrace) -> None:
        """A reply that fails ends no other, and no stream that is heard meanwhile."""
        try:
            await work
        except Exception as exc:
            self.crashed(exc)
            self.parts.traces.end(trace, "failed")
            self.show("idle")


def _did_you_say(text: str) -> str:
    return f"Did you say: {text}?"
