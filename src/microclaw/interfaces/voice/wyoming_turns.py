"""Sentences of Wyoming clients (Home Assistant's Assist) as turns of the agent, with spoken answers.

A client sends a sentence and waits for one answer. An approval question is such an answer: its yes or no is the next
sentence of the same conversation, and the answer to that is the rest of the turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Final

from msgspec import Struct

from microclaw.addresses import single_address
from microclaw.agent.language.quantities import is_no, is_yes
from microclaw.agent.turn.outbox import AcceptedMessage
from microclaw.errors import MicroclawError, Overloaded
from microclaw.events import VOICE_CHANNEL, Answer, ApprovalAsked, ApprovalSettled, Inbound
from microclaw.interfaces.voice.confirmation import RecentTranscripts, did_you_say, must_ask_back
from microclaw.interfaces.voice.engines.engine import Transcript
from microclaw.interfaces.voice.session_context import NO_ANSWER, SAY_AGAIN, TOO_MANY, AgentParts
from microclaw.interfaces.voice.spoken_text import MAX_SPOKEN_CHARS, MORE, sentences_of, spoken_question

HANDLE_S: Final = 60.0
MAX_TURNS: Final = 32
"""Turns of all clients that run or wait for a yes."""
STILL_WORKING: Final = "I am still working on it."
DONE: Final = "Done."
_log = logging.getLogger(__name__)


class SpokenReply(Struct, frozen=True):
    """The answer to a client. `is_handled` is False if the request failed; `asked` is set if it is a question."""

    text: str
    is_handled: bool
    asked: ApprovalAsked | None = None


class _Turn:
    """A running turn. `replies` has its questions and its answer; `asked` is a question that was sent to the client."""

    def __init__(self, chat_id: str) -> None:
        self.chat_id = chat_id
        self.asked: ApprovalAsked | None = None
        self.task: asyncio.Task[None] | None = None
        self.replies: asyncio.Queue[SpokenReply] = asyncio.Queue()


class WyomingTurns:
    """The turns of all clients. They continue if their client leaves; `tasks` runs them."""

    def __init__(self, parts: AgentParts, tasks: asyncio.TaskGroup) -> None:
        self._parts = parts
        self._tasks = tasks
        self._turns: set[_Turn] = set()
        self._unconfirmed = RecentTranscripts()
        """By chat, the sentence that waits for a yes to "Did you say ...?"."""

    async def handle(self, transcript: Transcript, chat_id: str) -> SpokenReply:
        """Return the answer to a sentence of this conversation, or the question of its turn.

        A sentence with low confidence is asked back, and begins a turn after a yes. A yes answers the last question.
        """
        try:
            turn = await self._turn_for(transcript, chat_id)
            if isinstance(turn, SpokenReply):
                return turn
            return await self._next_reply(turn)
        except MicroclawError as exc:
            return SpokenReply(spoken_line(exc.message), is_handled=False)
        except TimeoutError:
            return SpokenReply(STILL_WORKING, is_handled=True)

    async def _turn_for(self, transcript: Transcript, chat_id: str) -> _Turn | SpokenReply:
        """Return the turn that answers a sentence, or a reply that needs no turn."""
        text = transcript.text
        unconfirmed = self._unconfirmed.take(chat_id)
        if unconfirmed is not None and is_no(text):
            return SpokenReply(SAY_AGAIN, is_handled=True)
        if unconfirmed is not None and is_yes(text):
            return await self._begin_turn(unconfirmed.text, chat_id)
        turn = self._decide_question(text, chat_id)
        if turn is not None:
            return turn
        if must_ask_back(transcript):
            self._unconfirmed.put(chat_id, transcript)
            return SpokenReply(spoken_line(did_you_say(text)), is_handled=True)
        return await self._begin_turn(text, chat_id)

    def _decide_question(self, text: str, chat_id: str) -> _Turn | None:
        """Decide a question of this chat if the text is a yes or no; return the question's turn, or None."""
        if not is_yes(text) and not is_no(text):
            return None
        for turn in self._turns:
            if turn.chat_id == chat_id and turn.asked is not None:
                approval_id = turn.asked.approval_id
                turn.asked = None
                self._parts.approvals.decide(approval_id, approved=is_yes(text), by=self._parts.person_id)
                return turn
        return None

    async def _next_reply(self, turn: _Turn) -> SpokenReply:
        """Wait for the next reply of the turn. Raises TimeoutError."""
        async with asyncio.timeout(HANDLE_S):
            reply = await turn.replies.get()
        # Only now, because before it a yes would decide a question that the person did not hear.
        turn.asked = reply.asked
        return reply

    async def _begin_turn(self, text: str, chat_id: str) -> _Turn:
        """Start a turn of the agent. Raises Overloaded if too many turns run."""
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
        """Stop following the running turns. The agent continues them."""
        for turn in self._turns:
            if turn.task is not None:
                turn.task.cancel()

    async def _follow(self, turn: _Turn, accepted: AcceptedMessage) -> None:
        """Put the questions and the answer of a turn into its replies."""
        try:
            async for event in accepted.events:
                match event:
                    case ApprovalAsked():
                        words = spoken_question(event.text, may_decide=event.may_decide)
                        turn.replies.put_nowait(SpokenReply(spoken_line(words), is_handled=True, asked=event))
                    case ApprovalSettled():
                        turn.asked = None
                    case Answer():
                        is_handled = event.error_code is None or event.waits_for_yes
                        default = DONE if is_handled else NO_ANSWER
                        words = spoken_line(event.text) or default
                        turn.replies.put_nowait(SpokenReply(words, is_handled))
                        await self._parts.inbox.outbox.note_delivered(event.outbound_id)
        except MicroclawError as exc:
            turn.replies.put_nowait(SpokenReply(spoken_line(exc.message), is_handled=False))
        except Exception:
            _log.exception("a turn of a Wyoming client failed")
            turn.replies.put_nowait(SpokenReply(NO_ANSWER, is_handled=False))
        finally:
            self._turns.discard(turn)


def chat_of(address: str, conversation: str, connection: str) -> str:
    """Return a chat's id: the client's address with its id of the conversation, or else with the connection's id.

    Home Assistant has a conversation for each satellite: a yes in the kitchen does not answer a question in the hall. A
    client without one has a chat while it is connected: the next client at its address may be another person's.
    """
    place = single_address(address)
    if not conversation:
        return f"wyoming {place} connection {connection}"
    digest = hashlib.sha256(conversation.encode(errors="replace")).hexdigest()
    return f"wyoming {place} {digest[:16]}"


def spoken_line(text: str) -> str:
    """Return the spoken sentences of a text on one line; the part above MAX_SPOKEN_CHARS stays in the chat."""
    spoken = ""
    for sentence in sentences_of(text):
        if len(spoken) + len(sentence) > MAX_SPOKEN_CHARS:
            return f"{spoken} {MORE}".strip()
        spoken = f"{spoken} {sentence}".strip()
    return spoken
