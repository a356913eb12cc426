"""One device's conversation by voice: utterances become turns of the agent, and the answers are spoken.

A person interrupts by speaking: the speech ends at once, its turns continue silently. Nothing is spoken while a stream
is open. Neither text nor audio is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Literal

from microclaw.agent.language.quantities import is_no, is_yes
from microclaw.errors import PermissionRefused, UnknownName
from microclaw.events import VOICE_CHANNEL
from microclaw.host.auth.approved_act import PendingApproval
from microclaw.interfaces.voice.confirmation import did_you_say, must_ask_back
from microclaw.interfaces.voice.device import VoiceDevice
from microclaw.interfaces.voice.engines.engine import Transcript, failure_text
from microclaw.interfaces.voice.listening import MAX_STREAMS, NOTHING_SAID, SpeechListener, Utterance
from microclaw.interfaces.voice.reply import OpenQuestion, Reply, ReplyContext
from microclaw.interfaces.voice.session_context import (
    CONTINUES_IN_CHAT,
    NO_ANSWER,
    NO_RECOGNIZER,
    NOT_DONE,
    NOT_HEARD,
    SAY_AGAIN,
    VoiceParts,
)
from microclaw.interfaces.voice.spoken_text import spoken_question
from microclaw.interfaces.voice.trace import VoiceTrace

MAX_REPLIES: Final = 8
"""Running turns of one device. A further one is refused."""
_log = logging.getLogger(__name__)


class VoiceSession:
    """A session runs until `left`. The transport calls the methods from `opened` to `left`."""

    def __init__(self, device: VoiceDevice, parts: VoiceParts) -> None:
        self.device = device
        self.parts = parts
        self.has_left = False
        self._context = ReplyContext(device, parts)
        self._listener = SpeechListener(device, parts)
        # All streams that may still wait for their transcript.
        self._opened: deque[VoiceTrace] = deque(maxlen=MAX_STREAMS + 1)
        self._replies: list[Reply] = []
        # Texts of the host itself.
        self._notes: list[Reply] = []
        self._tasks = asyncio.TaskGroup()

    @property
    def open_stream(self) -> int | None:
        """The open stream, or None. Its microphone would hear a text that is spoken now."""
        if self._context.is_quiet.is_set():
            return None
        return self._opened[-1].stream

    def opened(self, trigger: str, stream: int = 0) -> None:
        """Begin a stream of audio. Speech for earlier streams ends at once: the person interrupts it."""
        trace = VoiceTrace(self.device.name, trigger, stream, self.parts.now_s)
        trace.mark("wake")
        self._opened.append(trace)
        self.interrupted()
        self._context.is_quiet.clear()
        self.device.show("listening")
        self._listener.opened(trace)

    def hear(self, pcm: bytes) -> None:
        if self.open_stream is not None:
            self._listener.hear(pcm)

    def closed(self, end: Literal["closed", "cut"] = "closed") -> None:
        """End the open stream. "cut": its words are discarded, unless the end of the utterance was heard."""
        self._context.is_quiet.set()
        self._listener.closed(end)

    def cancelled(self, stream: int) -> None:
        """Revoke a stream, also an ended one: its turn ends, and nothing is spoken for it."""
        for trace in self._opened:
            trace.is_cancelled = trace.is_cancelled or trace.stream == stream
        if stream == self.open_stream:
            self.closed("cut")
        for reply in self._replies:
            if reply.trace.stream == stream:
                reply.cancel()

    def interrupted(self) -> None:
        """Stop speaking. No frame of the current speech is sent after this returns."""
        for reply in (*self._replies, *self._notes):
            reply.silence()

    def left(self) -> None:
        """End the session, because the device has left."""
        self.has_left = True
        self.interrupted()
        self._context.is_quiet.set()
        self._listener.left()

    async def run(self) -> None:
        async with self._tasks:
            async for utterance in self._listener.utterances():
                self._take(utterance)
            self.interrupted()

    async def say(self, text: str) -> None:
        """Speak a text of the host itself, after the current speech and the open stream."""
        while self.open_stream is not None:
            await self._context.is_quiet.wait()
        reply = Reply(self._context, VoiceTrace(self.device.name, "host", 0, self.parts.now_s))
        self._notes.append(reply)
        try:
            reply.speak(text)
            await reply.wait_until_spoken()
        finally:
            self._notes.remove(reply)

    # Utterances

    def _take(self, utterance: Utterance) -> None:
        """Report the transcript to the device, and start a reply if there is something to reply to."""
        trace = utterance.trace
        if trace.is_cancelled:
            utterance = Utterance(trace)
        self.device.final(trace.stream, utterance.transcript or NOTHING_SAID)
        if trace is self._opened[-1] and self.open_stream is not None:
            self.device.stop_listening(trace.stream)
            self._context.is_quiet.set()
        if utterance.failure is not None:
            _log.warning("voice of %s: %s", self.device.name, failure_text(utterance.failure))
            self._start_text(trace, NO_RECOGNIZER, "failed")
            return
        if utterance.transcript is None:
            self._context.show("idle")
            trace.end("nothing", self.parts.traces)
            return
        try:
            self._reply_to(trace, utterance.transcript, utterance)
        except Exception as exc:
            # The session continues.
            self._context.log_failure(exc)
            self._start_text(trace, NO_ANSWER, "failed")

    def _reply_to(self, trace: VoiceTrace, transcript: Transcript, utterance: Utterance) -> None:
        """Start the reply to a transcript: an answer to a question, a question back, or a turn."""
        text = transcript.text.strip()
        question = self._take_question()
        if not text:
            self._reply_to_nothing(trace, question)
        elif utterance.has_more_speech and not is_no(text):
            # The person may have gone on to take it back.
            self._confirm_beginning(trace, text, question)
        elif question is not None and (is_yes(text) or is_no(text)):
            self._answer_question(trace, question, is_yes=is_yes(text))
        else:
            self._reply_to_sentence(trace, transcript, text, question)

    def _take_question(self) -> OpenQuestion | None:
        """Return the last question and close it. A yes cannot be for an unheard question: then None."""
        question = self._context.question
        self._context.question = None
        if question is not None and question.is_heard:
            return question
        return None

    def _reply_to_nothing(self, trace: VoiceTrace, question: OpenQuestion | None) -> None:
        """Say that no word was heard. The question is put again: a later yes must not answer a forgotten one."""
        if question is None:
            self._start_text(trace, NOT_HEARD, "nothing")
        else:
            self._start(trace, lambda reply: reply.ask(question, before=f"{NOT_HEARD} "))

    def _confirm_beginning(self, trace: VoiceTrace, text: str, question: OpenQuestion | None) -> None:
        """Ask whether the person said only `text`, of which the rest was not heard."""
        confirmation = OpenQuestion(f"You went on speaking. Did you say only: {text}?", sentence=text)
        if question is not None and is_yes(text):
            confirmation = replace(question, text=confirmation.text)
        self._start(trace, lambda reply: reply.ask(confirmation))

    def _reply_to_sentence(
        self, trace: VoiceTrace, transcript: Transcript, text: str, question: OpenQuestion | None
    ) -> None:
        """Put a waiting approval again, ask an unclear sentence back, or start a turn with it."""
        waiting = None
        if question is None or question.approval_id is None:
            waiting = self._waiting_approval()
        if waiting is not None:
            self._remind(trace, waiting, is_no=is_no(text))
        elif must_ask_back(transcript):
            self._start(trace, lambda reply: reply.ask(OpenQuestion(did_you_say(text), sentence=text)))
        else:
            self._start(trace, lambda reply: reply.turn(text))

    def _answer_question(self, trace: VoiceTrace, question: OpenQuestion, *, is_yes: bool) -> None:
        sentence = question.sentence
        if question.approval_id is not None:
            self._decide(trace, question.approval_id, question.turn, approved=is_yes)
        elif is_yes and sentence is not None:
            self._start(trace, lambda reply: reply.turn(sentence))
        else:
            self._start_text(trace, SAY_AGAIN, "asked back")

    def _waiting_approval(self) -> PendingApproval | None:
        """Return an approval of this chat that waits: it was asked before the device left, or interrupted."""
        for pending in self.parts.approvals.pending():
            if pending.channel == VOICE_CHANNEL and pending.chat_id == self.device.device_id:
                return pending
        return None

    def _remind(self, trace: VoiceTrace, waiting: PendingApproval, *, is_no: bool) -> None:
        """Decline by a no, even if the question was not heard; after other words, put the question again."""
        if is_no:
            self._decide(trace, waiting.approval_id, None, approved=False)
            return
        approval = self.parts.approvals.question(waiting, of=self.parts.person_id)
        text = spoken_question(approval.text, may_decide=approval.may_decide, before="First, a question waits: ")
        self._start(trace, lambda reply: reply.ask(OpenQuestion(text, approval_id=waiting.approval_id)))

    def _decide(self, trace: VoiceTrace, approval_id: str, turn: Reply | None, *, approved: bool) -> None:
        """Decide an approval. `turn` continues and speaks the result; without a turn the answer is in the chat."""
        try:
            self.parts.approvals.decide(approval_id, approved=approved, by=self.parts.person_id)
        except (UnknownName, PermissionRefused) as exc:
            self._start_text(trace, exc.message, "decided")
            return
        if turn is not None:
            trace.end("decided", self.parts.traces)
        elif approved:
            self._start_text(trace, CONTINUES_IN_CHAT, "decided")
        else:
            self._start_text(trace, NOT_DONE, "decided")

    def _start_text(self, trace: VoiceTrace, text: str, outcome: str) -> None:
        """Speak a text as the reply to an utterance."""
        self._start(trace, lambda reply: reply.speak_text(text, outcome))

    def _start(self, trace: VoiceTrace, work: Callable[[Reply], Coroutine[Any, Any, None]]) -> None:
        """Start the reply to an utterance, unless too many run. A reply to an older stream is silent."""
        if len(self._replies) >= MAX_REPLIES:
            _log.warning("voice of %s: %d turns run, one more is refused", self.device.name, MAX_REPLIES)
            trace.end("failed", self.parts.traces)
            self._context.show("idle")
            return
        reply = Reply(self._context, trace, is_hushed=trace is not self._opened[-1])
        self._replies.append(reply)
        name = f"voice: answer {self.device.name}"
        task = self._tasks.create_task(self._guarded(work(reply), trace), name=name)
        task.add_done_callback(lambda _: self._replies.remove(reply))

    async def _guarded(self, work: Coroutine[Any, Any, None], trace: VoiceTrace) -> None:
        """Run a reply. Its failure ends no other reply, and no open stream."""
        try:
            await work
        except Exception as exc:
            self._context.log_failure(exc)
            trace.end("failed", self.parts.traces)
            self._context.show("idle")
