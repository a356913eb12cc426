"""The answer to one utterance: a text, a question back, or a turn of the agent, spoken as it comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from microclaw.errors import MicroclawError
from microclaw.events import VOICE_CHANNEL, Answer, ApprovalAsked, ApprovalSettled, Delta, Inbound, TurnEvent
from microclaw.voice.parts import NO_ANSWER
from microclaw.voice.speaking import SpokenAnswer
from microclaw.voice.spoken_text import SentenceCutter, sentences_of, spoken_question
from microclaw.voice.trace import VoiceTrace

if TYPE_CHECKING:
    from microclaw.voice.session import VoiceSession


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that a spoken yes or no answers: may an act be done, or was this sentence said.

    `turn` is the reply that waits for the approval and goes on; None where its device has left meanwhile.
    """

    text: str
    sentence: str | None = None
    approval_id: str | None = None
    turn: Reply | None = None
    spoken: SpokenAnswer | None = None
    number: int = 0
    """Of its first sentence in what is spoken."""

    @property
    def is_heard(self) -> bool:
        """True if the device has begun to play it."""
        return self.spoken is not None and self.spoken.has_played(self.number)


class Reply:
    """The answer to one utterance. A hushed one is heard no more."""

    def __init__(self, session: VoiceSession, trace: VoiceTrace, *, is_hushed: bool = False) -> None:
        self.trace = trace
        self._session = session
        self._parts = session.parts
        self._message_id: int | None = None  # of its turn
        self._is_hushed = is_hushed
        self._spoken: list[SpokenAnswer] = []  # a question ends one
        self._speaking: list[asyncio.Task[None]] = []

    def cancel(self) -> None:
        """End its turn before its next step, and say no more of it."""
        self._forget_question()
        self.hush()
        if self._message_id is not None:
            device_id = self._session.device.device_id
            self._parts.inbox.cancel(VOICE_CHANNEL, device_id, message_id=self._message_id)

    def _forget_question(self) -> None:
        """Its own question waits for no answer any more."""
        if self._session.question is not None and self._session.question.turn is self:
            self._session.question = None

    def hush(self) -> None:
        """Say no more; but what follows the answer to a question of its own that was heard."""
        question = self._session.question
        self._is_hushed = question is None or question.turn is not self or not question.is_heard
        for spoken, speaking in zip(self._spoken, self._speaking, strict=True):
            spoken.silence()
            speaking.cancel()

    async def tell(self, text: str, outcome: str) -> None:
        self.speak(text)
        await self._end(outcome)

    async def ask(self, question: OpenQuestion, before: str = "") -> None:
        self._ask(question, before)
        await self._end("asked back")

    async def turn(self, text: str) -> None:
        """The agent's turn, spoken as it comes."""
        session = self._session
        person_id = self._parts.person_id
        if not self._is_hushed:
            session.show("thinking")
        device = session.device
        inbound = Inbound(VOICE_CHANNEL, device.device_id, text, person_id=person_id, device=device.name)
        outcome = "answered"
        try:
            accepted = await self._parts.inbox.accept(inbound)
            self._message_id = accepted.message_id
            if self.trace.is_cancelled:  # meanwhile
                self.cancel()
            cutter = SentenceCutter()
            streamed = ""
            async for event in accepted.events:
                if isinstance(event, Delta):
                    streamed += event.text
                self._follow(event, cutter, streamed)
                if isinstance(event, Answer):
                    await self._parts.inbox.outbox.delivered(event.outbound_id)
        except MicroclawError as exc:
            self.speak(exc.message)
            outcome = "failed"
        except Exception as exc:
            session.crashed(exc)
            self.speak(NO_ANSWER)
            outcome = "failed"
        await self._end(outcome)

    def _follow(self, event: TurnEvent, cutter: SentenceCutter, streamed: str) -> None:
        match event:
            case Delta(text):
                self.trace.mark("first token")
                self._say_all(cutter.feed(text))
            case ApprovalAsked():
                self._say_all(cutter.rest())
                question = spoken_question(event.text, may_decide=event.may_decide)
                self._ask(OpenQuestion(question, approval_id=event.approval_id, turn=self))
                self._finish_speaking()
            case ApprovalSettled():  # what follows would be said into a stream that was opened meanwhile
                self._forget_question()
                self._is_hushed = self._is_hushed or self._session.hearing is not None
            case Answer(text):
                self.trace.mark("first token")
                if text.startswith(streamed):
                    rest = text[len(streamed) :]
                else:
                    rest = f"\n{text}"
                self._say_all([*cutter.feed(rest), *cutter.rest()])

    def speak(self, text: str) -> int | None:
        """A text that is complete: the number of its first sentence in what is spoken; None if it is not."""
        return self._say_all(sentences_of(text))

    def _ask(self, question: OpenQuestion, before: str = "") -> None:
        number = self.speak(before + question.text)
        if number is not None:  # else nobody hears it
            self._session.question = replace(question, spoken=self._spoken[-1], number=number)

    def _say_all(self, sentences: list[str]) -> int | None:
        first: int | None = None
        for index, sentence in enumerate(sentences):
            if self._is_hushed:
                return None
            self.trace.mark("first sentence")
            if not self._spoken or self._spoken[-1].is_over:
                spoken = SpokenAnswer(self._session.device, self._parts.synthesizer, self.trace, self._parts.now_s)
                self._spoken.append(spoken)
                self._speaking.append(asyncio.create_task(self._run(spoken), name="voice: speak"))
            number = self._spoken[-1].say(sentence)
            first = number if index == 0 else first
        return first

    async def _run(self, spoken: SpokenAnswer) -> None:
        async with self._session.mouth:
            try:
                self._session.show("speaking")
                await spoken.run()
            finally:
                self._session.show("idle")

    def _finish_speaking(self) -> None:
        if self._spoken:
            self._spoken[-1].finish()

    async def spoken_out(self) -> None:
        """Until all of it is played, or hushed."""
        self._finish_speaking()
        for end in await asyncio.gather(*self._speaking, return_exceptions=True):
            if isinstance(end, Exception):
                raise end

    async def _end(self, outcome: str) -> None:
        await self.spoken_out()
        if not self._spoken and not self._is_hushed:  # nothing of it was for the ear
            self._session.show("idle")
        if outcome == "answered" and any(spoken.failure is not None for spoken in self._spoken):
            outcome = "failed"
        self.trace.end("interrupted" if self._is_hushed else outcome, self._parts.traces)
