"""The answer to one utterance: a text, a question back, or a turn of the agent, spoken while it arrives."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace

from microclaw.agent.turn.outbox import AcceptedMessage
from microclaw.errors import MicroclawError
from microclaw.events import VOICE_CHANNEL, Answer, ApprovalAsked, ApprovalSettled, Delta, Inbound, TurnEvent
from microclaw.interfaces.voice.device import Activity, VoiceDevice
from microclaw.interfaces.voice.session_context import NO_ANSWER, VoiceParts, crash_text
from microclaw.interfaces.voice.speaking import AnswerSpeaker
from microclaw.interfaces.voice.spoken_text import SentenceCutter, sentences_of, spoken_question
from microclaw.interfaces.voice.trace import VoiceTrace

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that a spoken yes or no answers: whether an act is approved, or whether a sentence was said.

    `turn` is the reply that waits for the approval and then continues; None if its device has left meanwhile.
    """

    text: str
    sentence: str | None = None
    approval_id: str | None = None
    turn: Reply | None = None
    spoken: AnswerSpeaker | None = None
    number: int = 0
    """The number of the question's first sentence in `spoken`."""

    @property
    def is_heard(self) -> bool:
        """True if the device has begun to play it."""
        return self.spoken is not None and self.spoken.has_played(self.number)


class ReplyContext:
    """The state of one device that its session and all its replies share."""

    def __init__(self, device: VoiceDevice, parts: VoiceParts) -> None:
        self.device = device
        self.parts = parts
        self.speech_lock = asyncio.Lock()
        self.question: OpenQuestion | None = None
        """The last question that was spoken."""
        self.is_quiet = asyncio.Event()
        """Set while no stream is open. An open stream's microphone would hear a text that is spoken now."""
        self.is_quiet.set()

    def show(self, activity: Activity) -> None:
        """Show a turn's activity, unless a stream is open: the end of an earlier turn is not the end of the stream."""
        if self.is_quiet.is_set():
            self.device.show(activity)

    def log_failure(self, exc: Exception) -> None:
        _log.error("voice of %s: a turn failed: %s", self.device.name, crash_text(exc))


class Reply:
    """The answer to one utterance. A hushed reply continues silently."""

    def __init__(self, context: ReplyContext, trace: VoiceTrace, *, is_hushed: bool = False) -> None:
        self.trace = trace
        self._context = context
        self._parts = context.parts
        # The message of its turn.
        self._message_id: int | None = None
        self._is_hushed = is_hushed
        # There may be several, because a question ends one.
        self._spoken: list[AnswerSpeaker] = []
        self._speaking: list[asyncio.Task[None]] = []

    def cancel(self) -> None:
        """End the turn before its next step, and stop speaking."""
        self._forget_question()
        self.silence()
        if self._message_id is not None:
            device_id = self._context.device.device_id
            self._parts.inbox.cancel(VOICE_CHANNEL, device_id, message_id=self._message_id)

    def _forget_question(self) -> None:
        """Close the session's question if it is this reply's."""
        if self._context.question is not None and self._context.question.turn is self:
            self._context.question = None

    def silence(self) -> None:
        """Stop speaking. Only the text after the answer to its own question, if that was heard, is still spoken."""
        question = self._context.question
        self._is_hushed = question is None or question.turn is not self or not question.is_heard
        for spoken, speaking in zip(self._spoken, self._speaking, strict=True):
            spoken.silence()
            speaking.cancel()

    async def speak_text(self, text: str, outcome: str) -> None:
        """Speak a text and end the trace with the outcome."""
        self.speak(text)
        await self._end(outcome)

    async def ask(self, question: OpenQuestion, before: str = "") -> None:
        """Speak a question, with the text `before` it."""
        self._speak_question(question, before)
        await self._end("asked back")

    async def turn(self, text: str) -> None:
        """Run a turn of the agent, and speak its answer while it arrives."""
        context = self._context
        person_id = self._parts.person_id
        if not self._is_hushed:
            context.show("thinking")
        device = context.device
        inbound = Inbound(VOICE_CHANNEL, device.device_id, text, person_id=person_id, device=device.name)
        outcome = "answered"
        try:
            accepted = await self._parts.inbox.accept(inbound)
            self._message_id = accepted.message_id
            # The device may have revoked the stream meanwhile.
            if self.trace.is_cancelled:
                self.cancel()
            await self._speak_events(accepted)
        except MicroclawError as exc:
            self.speak(exc.message)
            outcome = "failed"
        except Exception as exc:
            context.log_failure(exc)
            self.speak(NO_ANSWER)
            outcome = "failed"
        await self._end(outcome)

    async def _speak_events(self, accepted: AcceptedMessage) -> None:
        """Speak the events of a turn to its end."""
        cutter = SentenceCutter()
        streamed = ""
        async for event in accepted.events:
            if isinstance(event, Delta):
                streamed += event.text
            self._speak_event(event, cutter, streamed)
            if isinstance(event, Answer):
                await self._parts.inbox.outbox.note_delivered(event.outbound_id)

    def _speak_event(self, event: TurnEvent, cutter: SentenceCutter, streamed: str) -> None:
        """Speak an event of the turn. `streamed` is the text of all deltas so far."""
        match event:
            case Delta(text):
                self.trace.mark("first token")
                self._say_all(cutter.feed(text))
            case ApprovalAsked():
                self._say_all(cutter.rest())
                question = spoken_question(event.text, may_decide=event.may_decide)
                self._speak_question(OpenQuestion(question, approval_id=event.approval_id, turn=self))
                self._finish_speaking()
            case ApprovalSettled():
                self._forget_question()
                # If a stream was opened meanwhile, its microphone would hear the rest.
                self._is_hushed = self._is_hushed or not self._context.is_quiet.is_set()
            case Answer(text):
                self.trace.mark("first token")
                # An answer that does not continue the streamed text replaces it, and is spoken whole.
                rest = f"\n{text}"
                if text.startswith(streamed):
                    rest = text[len(streamed) :]
                self._say_all([*cutter.feed(rest), *cutter.rest()])

    def speak(self, text: str) -> int | None:
        """Speak a complete text; return the number of its first sentence in the speech, or None if it is not spoken."""
        return self._say_all(sentences_of(text))

    def _speak_question(self, question: OpenQuestion, before: str = "") -> None:
        """Speak a question, and open it in the session if it can be heard."""
        number = self.speak(before + question.text)
        if number is not None:
            self._context.question = replace(question, spoken=self._spoken[-1], number=number)

    def _say_all(self, sentences: list[str]) -> int | None:
        """Speak sentences; return the number of the first one, or None if the reply is or becomes hushed."""
        first: int | None = None
        for index, sentence in enumerate(sentences):
            if self._is_hushed:
                return None
            self.trace.mark("first sentence")
            if not self._spoken or self._spoken[-1].is_over:
                self._begin_speaking()
            number = self._spoken[-1].say(sentence)
            if index == 0:
                first = number
        return first

    def _begin_speaking(self) -> None:
        spoken = AnswerSpeaker(self._context.device, self._parts.synthesizer, self.trace, self._parts.now_s)
        self._spoken.append(spoken)
        self._speaking.append(asyncio.create_task(self._run(spoken), name="voice: speak"))

    async def _run(self, spoken: AnswerSpeaker) -> None:
        async with self._context.speech_lock:
            try:
                self._context.show("speaking")
                await spoken.run()
            finally:
                self._context.show("idle")

    def _finish_speaking(self) -> None:
        if self._spoken:
            self._spoken[-1].finish()

    async def wait_until_spoken(self) -> None:
        """Wait until the whole reply is played, or hushed. Raises the error of a failed speech."""
        self._finish_speaking()
        for error in await asyncio.gather(*self._speaking, return_exceptions=True):
            if isinstance(error, Exception):
                raise error

    async def _end(self, outcome: str) -> None:
        await self.wait_until_spoken()
        # An answer may have nothing to speak, for example only a table.
        if not self._spoken and not self._is_hushed:
            self._context.show("idle")
        if outcome == "answered" and any(spoken.failure is not None for spoken in self._spoken):
            outcome = "failed"
        if self._is_hushed:
            outcome = "interrupted"
        self.trace.end(outcome, self._parts.traces)
