"""The answer to one utterance: a text, a question back, or a turn of the agent, spoken as it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from microclaw.auth.approvals import ApprovalOutcome, PendingApproval
from microclaw.errors import MicroclawError, PermissionRefused, UnknownName
from microclaw.events import VOICE_CHANNEL, Answer, ApprovalAsked, ApprovalSettled, Delta, Inbound, ToolRun, TurnEvent
from microclaw.voice.parts import GOES_ON, NO_ANSWER, NOT_DONE, NOT_HEARD
from microclaw.voice.speaking import SpokenAnswer
from microclaw.voice.spoken_text import SentenceCutter, open_question, spoken_question
from microclaw.voice.trace import VoiceTrace

if TYPE_CHECKING:
    from microclaw.voice.session import VoiceSession


class Reply:
    """The answer to one utterance. A hushed one is heard no more, but for a question that was put before."""

    def __init__(self, session: VoiceSession, trace: VoiceTrace, *, is_hushed: bool = False) -> None:
        self.asked: ApprovalAsked | None = None
        self._session = session
        self._parts = session.parts
        self._device = session.device
        self.trace = self._trace = trace
        self._message_id: int | None = None  # of its turn
        self._question: tuple[SpokenAnswer, int] | None = None  # the sentence of the question
        self._is_hushed = is_hushed
        self._spoken: SpokenAnswer | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._is_settled = asyncio.Event()  # what `ask_again` asks, or nobody heard it

    @property
    def is_question_heard(self) -> bool:
        """True if the device has begun to play the question: a yes to one that nobody heard is meant for another."""
        return self._question is not None and self._question[0].has_played(self._question[1])

    @property
    def is_spoken(self) -> bool:
        """True if what it said was played to its end."""
        spoken = self._spoken
        return spoken is not None and not spoken.is_silenced and spoken.failure is None and not self._session.has_left

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
        if self.asked is None:
            self._is_settled.set()
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

    async def not_heard(self, question: str | None) -> None:
        """Say that the words are unknown; the question that they did not answer, if any, is put again."""
        if question is None:
            await self.tell(NOT_HEARD, "nothing")
        else:
            await self.ask_back(f"{NOT_HEARD} {question}")

    async def ask_back(self, question: str) -> None:
        self._ask(question)
        await self._end("asked back")

    async def decline(self, waiting: PendingApproval) -> None:
        """A no to a question of before, also to one that was not heard: nothing is done then."""
        try:
            self._parts.approvals.decide(waiting.approval_id, approved=False, by=self._parts.person_id)
            text = NOT_DONE
        except (UnknownName, PermissionRefused) as exc:
            text = exc.message
        await self.tell(text, "decided")

    async def ask_again(self, waiting: PendingApproval) -> None:
        """Put a question of before once more; the sentence that came was not read."""

        def settled(news: PendingApproval | ApprovalOutcome) -> None:
            if isinstance(news, ApprovalOutcome) and news.pending is waiting:
                outcomes.append(news)
                self._is_settled.set()

        outcomes: list[ApprovalOutcome] = []
        stop = self._parts.approvals.listen(settled)
        try:
            if not self._is_hushed:
                self._put(
                    self._parts.approvals.question(waiting, of=self._parts.person_id), "First, a question waits: "
                )
                await self._is_settled.wait()
                self.asked = None
                if outcomes:  # the turn that asked has lost its device: its answer is in the chat
                    self.speak(GOES_ON if outcomes[0].outcome == "approved" else NOT_DONE)
        finally:
            stop()
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
                if isinstance(event, Answer):
                    self._session.question = open_question(event.text)
                if isinstance(event, Answer) and event.outbound_id is not None:
                    await self._parts.inbox.outbox.delivered(event.outbound_id)
        except MicroclawError as exc:
            self.speak(exc.message)
            outcome = "failed"
        except Exception as exc:
            self._session.crashed(exc)
            self.speak(NO_ANSWER)
            outcome = "failed"
        await self._end(outcome)

    def _follow(self, event: TurnEvent, cutter: SentenceCutter, streamed: str) -> None:
        match event:
            case Delta(text):
                self._say_all(cutter.feed(text))
            case ApprovalAsked():
                self._say_all(cutter.rest())
                if not self._is_hushed:  # else nobody hears it: a yes to something else must not answer it
                    self._put(event)
            case ToolRun(evidence=evidence):
                cutter.learn(evidence)
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

    def _put(self, asked: ApprovalAsked, before: str = "") -> None:
        self.asked = asked
        self._ask(spoken_question(asked.text, may_decide=asked.may_decide, before=before))
        self._finish_speaking()

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
        async with self._session.mouth:
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
        if self._spoken is None and not self._is_hushed:  # nothing of it was for the ear
            self._session.show("idle")
        if self._spoken is not None and self._spoken.failure is not None and outcome == "answered":
            outcome = "failed"
        if self._is_hushed:
            outcome = "interrupted"
        self._parts.traces.end(self._trace, outcome)
