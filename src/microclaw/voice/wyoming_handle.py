"""Sentences of Wyoming clients (Home Assistant's Assist) as turns of the agent, answered in words for the ear.

A client asks and waits for one answer. A question of the gate is such an answer; its yes or no comes as the next
sentence of the same conversation, and gets the rest of the turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Final

from msgspec import Struct

from microclaw.addresses import single_address
from microclaw.agent.outbox import AcceptedMessage
from microclaw.errors import MicroclawError, Overloaded
from microclaw.events import VOICE_CHANNEL, Answer, ApprovalAsked, ApprovalSettled, Inbound
from microclaw.language.quantities import said_no, said_yes
from microclaw.voice.doubt import RecentTranscripts, did_you_say, must_ask_back
from microclaw.voice.engines.engine import Transcript
from microclaw.voice.parts import NO_ANSWER, SAY_AGAIN, TOO_MANY, AgentParts
from microclaw.voice.spoken_text import MAX_SPOKEN_CHARS, MORE, sentences_of, spoken_question

HANDLE_S: Final = 60.0
MAX_TURNS: Final = 32
"""Turns of all clients that are under way or wait for a yes."""
STILL_WORKING: Final = "I am still working on it."
DONE: Final = "Done."
_log = logging.getLogger(__name__)


class SpokenReply(Struct, frozen=True):
    """The client's words. `is_handled` is False when what was asked could not be done; `asked`: it is a question."""

    text: str
    is_handled: bool
    asked: ApprovalAsked | None = None


class _Turn:
    """`replies` has at most one for each question of the turn, and its answer. `asked` is a question that was heard."""

    def __init__(self, chat_id: str) -> None:
        self.chat_id = chat_id
        self.asked: ApprovalAsked | None = None
        self.task: asyncio.Task[None] | None = None
        self.replies: asyncio.Queue[SpokenReply] = asyncio.Queue()


class WyomingTurns:
    """Turns go on when their client leaves; `tasks` runs them."""

    def __init__(self, parts: AgentParts, tasks: asyncio.TaskGroup) -> None:
        self._parts = parts
        self._tasks = tasks
        self._turns: set[_Turn] = set()
        self._asked_back = RecentTranscripts()
        """By chat, the sentence that waits for a yes to "Did you say ...?"."""

    async def handle(self, transcript: Transcript, chat_id: str) -> SpokenReply:
        """Return the answer to a sentence of this conversation, or the question that its turn has.

        What was hardly heard is asked back, and begins a turn after a yes. A yes answers the question put last.
        """
        text = transcript.text
        unconfirmed = self._asked_back.take(chat_id)
        try:
            if unconfirmed is not None and said_no(text):
                return SpokenReply(SAY_AGAIN, True)
            if unconfirmed is not None and said_yes(text):
                return await self._answer(await self._begun(unconfirmed.text, chat_id))
            turn = self._decided_turn(text, chat_id)
            if turn is not None:
                return await self._answer(turn)
            if must_ask_back(transcript):
                self._asked_back.put(chat_id, transcript)
                return SpokenReply(for_one_breath(did_you_say(text)), True)
            return await self._answer(await self._begun(text, chat_id))
        except MicroclawError as exc:
            return SpokenReply(for_one_breath(exc.message), False)
        except TimeoutError:
            return SpokenReply(STILL_WORKING, True)

    def _decided_turn(self, text: str, chat_id: str) -> _Turn | None:
        """Return the turn of this chat whose question the text decides, or None."""
        if not said_yes(text) and not said_no(text):
            return None
        for turn in self._turns:
            if turn.chat_id == chat_id and turn.asked is not None:
                approval_id = turn.asked.approval_id
                turn.asked = None
                self._parts.approvals.decide(approval_id, approved=said_yes(text), by=self._parts.person_id)
                return turn
        return None

    async def _answer(self, turn: _Turn) -> SpokenReply:
        """Wait for the next words of the turn. Raises TimeoutError."""
        async with asyncio.timeout(HANDLE_S):
            reply = await turn.replies.get()
        turn.asked = reply.asked  # from now on: a yes to a question that nobody heard would decide it
        return reply

    async def _begun(self, text: str, chat_id: str) -> _Turn:
        if len(self._turns) >= MAX_TURNS:
            raise Overloaded(TOO_MANY, next_step="say it again")
        turn = _Turn(chat_id)
        self._turns.add(turn)
        try:
            inbound = Inbound(VOICE_CHANNEL, chat_id, text, person_id=self._parts.person_id)
            accepted = await self._parts.inbox.accept(inbound)
        except BaseException:
            self._turns.discard(turn)
            raise
        turn.task = self._tasks.create_task(self._follow(turn, accepted), name="voice: Wyoming turn")
        return turn

    def close(self) -> None:
        """Hear no more of the turns that are under way; they go on."""
        for turn in self._turns:
            if turn.task is not None:
                turn.task.cancel()

    async def _follow(self, turn: _Turn, accepted: AcceptedMessage) -> None:
        try:
            async for event in accepted.events:
                match event:
                    case ApprovalAsked():
                        words = spoken_question(event.text, may_decide=event.may_decide)
                        turn.replies.put_nowait(SpokenReply(for_one_breath(words), True, event))
                    case ApprovalSettled():
                        turn.asked = None
                    case Answer():
                        is_handled = event.error_code is None or event.waits_for_yes
                        words = for_one_breath(event.text) or (DONE if is_handled else NO_ANSWER)
                        turn.replies.put_nowait(SpokenReply(words, is_handled))
                        await self._parts.inbox.outbox.delivered(event.outbound_id)
        except MicroclawError as exc:
            turn.replies.put_nowait(SpokenReply(for_one_breath(exc.message), False))
        except Exception:
            _log.exception("a turn of a Wyoming client failed")
            turn.replies.put_nowait(SpokenReply(NO_ANSWER, False))
        finally:
            self._turns.discard(turn)


def chat_of(address: str, conversation: str, connection: str) -> str:
    """A chat's id: the client's address with its own id of the conversation, or else with that of the connection.

    Home Assistant has one for each satellite: a yes in the kitchen does not answer what was asked in the hall. A client
    without one has a chat for as long as it is connected: another one at its address may be another person's.
    """
    own = hashlib.sha256(conversation.encode(errors="replace")).hexdigest()[:16]
    return f"wyoming {single_address(address)} {own if conversation else f'connection {connection}'}"


def for_one_breath(text: str) -> str:
    """All of a text that is said, on one line; what is too long for the ear stays in the chat."""
    said = ""
    for sentence in sentences_of(text):
        if len(said) + len(sentence) > MAX_SPOKEN_CHARS:
            return f"{said} {MORE}".strip()
        said = f"{said} {sentence}".strip()
    return said
