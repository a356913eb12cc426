"""The conversations: a turn with its history for each message of the inbox, and their removal. It keeps no queue.

While an act of a chat waits for a yes or a no: a no of who may decide withdraws the question, and so does any other
sentence of theirs. Nothing is done then, and the sentence has its turn. Only a yes that names the question counts, so
that nobody agrees to what they have not been shown here: another yes, and what others say, is answered at once with the
question, and is not kept.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from microclaw.agent.action_record import acts_of, notes_of
from microclaw.agent.context import HOST_NOTE_TAG, Prompt, TurnContext
from microclaw.agent.history import compact_history, newest_notes, split_tainted, tainted_from, with_tainted
from microclaw.agent.inbox import STOPPING, Inbox
from microclaw.agent.model_requests import TurnLimits
from microclaw.agent.old_orders import OldOrders
from microclaw.agent.outbox import RunningTurn
from microclaw.agent.toolbox import Toolbox
from microclaw.agent.turn import Turn, TurnRequest
from microclaw.agent.turn_journal import OLD_ORDER, TurnJournal, encode
from microclaw.auth.approvals import ID_CHARS, Approvals
from microclaw.auth.approved_act import PendingApproval
from microclaw.auth.gate import Effect
from microclaw.auth.people import ONLY_OWNER, Roles, person_behind
from microclaw.config.settings import ModelTask
from microclaw.errors import MicroclawError, Overloaded, PermissionRefused, StoreError, UnknownName
from microclaw.events import NOTHING_WAITS, Answer, Inbound
from microclaw.knowledge.search import Search, source_name
from microclaw.models.budget import tokens
from microclaw.models.protocol import AskedBy, ImageInput, Model, Said, UserText
from microclaw.operations.tool import result_of_error
from microclaw.store.journal import EffectKey, Journal
from microclaw.store.sessions import SessionMessage, Sessions, match_name, session_name
from microclaw.text import clean_text, fence_text, format_duration

_log = logging.getLogger(__name__)

HISTORY_MESSAGES: Final = 240  # loaded; what a model gets of them is `compact_history`
OFFLINE_MESSAGES: Final = 40  # loaded where no model reads them: the last answer counts, among what others said
MAX_STARTS: Final = 3  # a message whose turn stopped the host so often is not tried again
DRAIN_S: Final = 1.5
TYPED_IN: Final = "terminal"  # the channel whose lines the command line keeps for its arrow keys
_UNREADABLE: Final = Answer(
    "I can read words and pictures; voice messages and files I cannot",
    error_code="not_supported",
    next_step="write it, or send a picture of it",
)


@dataclass(eq=False, slots=True)
class Conversations:
    """`async with conversations.answering():` inside, messages are answered."""

    inbox: Inbox
    model: Model
    tools: Toolbox
    context: TurnContext
    sessions: Sessions
    journal: Journal
    approvals: Approvals | None = None
    roles: Roles = field(default_factory=lambda: ONLY_OWNER)
    limits: TurnLimits = field(default_factory=TurnLimits)
    now_s: Callable[[], float] = time.time
    _interrupted: set[EffectKey] = field(default_factory=set)  # when this host began, or took them up
    _resumed: set[str] = field(default_factory=set)
    _working: set[asyncio.Task[None]] = field(default_factory=set)
    _old_orders: OldOrders | None = None

    def __post_init__(self) -> None:
        if self.approvals is not None:
            self._old_orders = OldOrders(self.inbox, self.approvals, self.limits.settle_s)
            self.inbox.answer_at_once = partial(answer_at_once, self.approvals)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Leaving cancels running turns, which stay unanswered until the next start, and closes the model."""
        async with aclosing(self.model), asyncio.TaskGroup() as group:
            await self.inbox.take_up(at_start=True)
            self._interrupted = {effect.key for effect in await self.journal.unfinished()}
            await self.inbox.open()
            group.create_task(self._serve(group), name="conversations")
            try:
                yield
            finally:
                await self.drain()

    async def recover(self) -> tuple[str, ...]:
        """Resume the turns that a crash, or a dead host of the cluster, interrupted.

        Close their other open effects and return a sentence for each. Call it when the devices can be asked, and again
        after a failure; until then the chats of those turns wait.
        """
        self._resumed.update(f"m{number}" for number in self.inbox.resume())
        messages, effects = await self.inbox.take_up()
        self._resumed.update(f"m{number}" for number in messages)
        self._interrupted.update(effects)
        sentences = []
        works = []
        for left in await self.journal.unfinished():
            if left.key not in self._interrupted or left.turn in self._resumed:
                continue
            outcome = "had started and may be unfinished: asking for it again is safe"
            if left.effect == Effect.ONCE.value:
                outcome = "had started: outcome unknown, look before you ask for it again"
            sentences.append(f"{left.tool} {left.arguments[:120]}: {outcome}")
            works.append(self.journal.build_end(left.key, encode(result_of_error(MicroclawError(outcome))), ok=False))
        if works:
            await self.journal.write(works)
        self._interrupted.clear()
        return tuple(sentences)

    async def drain(self) -> None:
        """Accept no more, wait a short time for running tool calls, then cut off every turn. They are resumed later."""
        self.inbox.close()
        try:
            async with asyncio.timeout(DRAIN_S):
                for turn in self.inbox.unanswered_turns():
                    await turn.quiet.wait()
        except TimeoutError:
            _log.warning("a tool call was cut off by the host's end; it is checked at the next start")
        cut_off = tuple(self._working)
        for task in cut_off:
            task.cancel()
        if cut_off:
            await asyncio.wait(cut_off)
        for turn in self.inbox.unanswered_turns():
            turn.put(STOPPING)

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        async for turn in self.inbox:
            self._start(group, self._work(turn, group), f"turn {turn.number} of {'/'.join(turn.chat_key)}")

    def _start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str) -> None:
        task = group.create_task(work, name=name)
        self._working.add(task)
        task.add_done_callback(self._working.discard)

    async def _work(self, turn: RunningTurn, group: asyncio.TaskGroup) -> None:
        """Run the turn, store its answer and hand it out. It never raises because of one message."""
        answer = self._asking_if_old(turn, await self._answer(turn), group)
        inbound = turn.message.inbound
        at_s = turn.message.received_ms // 1000
        text = _user_text(inbound).text or "(no words: a picture or a recording)"
        person_id = inbound.person_id
        now_s = int(self.now_s())
        exchange = [
            SessionMessage("user", text, at_s, person_id, tainted_from(inbound, at_s)),
            SessionMessage(
                "assistant",
                answer.text,
                now_s,
                person_id,
                answer.tainted_s,
                answer.question,
                notes_of(answer.actions),
            ),
        ]
        await self.inbox.finish(turn, answer, self.sessions.build_append(*turn.chat_key, exchange))

    def _asking_if_old(self, turn: RunningTurn, answer: Answer, group: asyncio.TaskGroup) -> Answer:
        """Return the answer; that of an order which is too old names the question about it, if one comes."""
        orders = self._old_orders
        is_done = any(act.outcome != "refused" for act in acts_of(answer.actions))
        if answer.error_code != OLD_ORDER or is_done or orders is None:
            return answer
        if not orders.asks_about(turn.message):
            return answer
        asker = orders.add(turn.message)
        if asker is not None:
            self._start(group, orders.ask(asker), f"old orders of {'/'.join(turn.chat_key)}")
        return replace(answer, next_step="answer the question that comes")

    async def _answer(self, running: RunningTurn) -> Answer:
        number = running.number
        starts = running.message.starts
        try:
            if not running.message.begun:
                await self.inbox.table.claim((number,))
            if starts >= MAX_STARTS:
                text = f"the host stopped {starts} times while it worked on this message; it is not tried again"
                step = "say it in other words; the host's log may tell why"
                return Answer(text, error_code="interrupted", next_step=step)
            age_s = self.inbox.table.age_s(running.message)
            journal = TurnJournal(self.journal, f"m{number}", number, age_s)
            running.carried = journal.carried
            if _user_text(running.message.inbound) == UserText(""):
                return _UNREADABLE
            request = await self._request(running)
            window = self.context.window
            turn = Turn(request, journal, self.model, self.tools, self.limits, window, self.approvals)
            running.on_stop = turn.stop
            if running.stopped:
                turn.stop()
            return await turn.run(running.put)
        except MicroclawError as exc:
            return Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
        except Exception:
            _log.exception("a turn failed (%s/%s)", *running.chat_key)
            return Answer("something went wrong inside the host", error_code="internal", next_step="see the host's log")

    async def _request(self, running: RunningTurn) -> TurnRequest:
        """Return the message with its context and the part of its conversation that fits the model's window."""
        message = running.message
        inbound = running.message.inbound
        at_s = message.received_ms // 1000
        prompt = await self.context.prompt(inbound, at_s)
        most = OFFLINE_MESSAGES if self.context.window is None else HISTORY_MESSAGES
        history = await self.sessions.load(*running.chat_key, most)
        safe, tainted = split_tainted(history, inbound, at_s, self.roles)
        short: Sequence[Said] = safe
        if self.context.window is not None:
            budget = prompt.history_tokens
            asked_by = AskedBy(person_behind(inbound.person_id), *running.chat_key)
            short = await compact_history(safe, budget, asked_by, model=self.model, sessions=self.sessions)
        shown, shown_s = with_tainted(short, safe, tainted)
        notes, notes_s = newest_notes(history, inbound, at_s, self.roles)
        # A schedule's run is no further turn of what was said.
        if notes is not None and self.context.window is not None and inbound.origin == "person":
            prompt = with_notes(prompt, notes)
            shown_s = max(filter(None, (shown_s, notes_s)), default=None)
        own_s = tainted_from(inbound, at_s)
        if own_s is not None:
            shown_s = own_s
        task: ModelTask = "heartbeat" if inbound.origin == "heartbeat" else "chat"
        return TurnRequest(
            inbound,
            _user_text(inbound),
            prompt,
            shown,
            resumes=message.starts > 0,
            task=task,
            at_s=at_s,
            tainted_s=shown_s,
        )


def with_notes(prompt: Prompt, notes: str) -> Prompt:
    """Return the prompt with the notes of an earlier turn, or only their first line if they need half of the room."""
    if tokens(notes) > prompt.history_tokens // 2:
        notes = notes.partition("\n")[0]
    return replace(prompt, note=f"{prompt.note}\n{fence_text(notes, 'what you did last in this chat')}")


async def erase_conversation(name: str, *, sessions: Sessions, search: Search, history: Path) -> str:
    """Remove the conversation of that name or chat and return its full name.

    `history` is the file of the lines typed in `microclaw chat`. Memory and daily notes stay, and so do schedules, and
    programs with their source.

    Raises UnknownName, Overloaded while a turn of it waits or runs, and StoreError if its words may still be on the
    disk: then the removal can be tried again.
    """
    chats = await sessions.chats()
    busy = {session_name(*chat) for chat in chats if await sessions.is_busy(*chat)}  # also in its first turn
    full = match_name(name, sorted({*busy, *[one.name for one in await sessions.list()]}))
    if full in busy:
        raise Overloaded(f"{full} is being answered", next_step="wait for its answer or cancel it, then do it again")
    for chat in chats:
        if session_name(*chat) == full:
            await sessions.forget_chat(*chat)
    if full.partition("_")[0] == TYPED_IN:
        try:
            await asyncio.to_thread(history.unlink, missing_ok=True)
        except OSError as exc:
            raise StoreError(f"{history} cannot be removed: {exc.strerror}", next_step="remove it by hand") from exc
    async with search.without(source_name(full)):
        await sessions.empty(full)
        await search.scrub()
        await sessions.remove(full)  # last: until then it can be named again
    return full


def _user_text(inbound: Inbound) -> UserText:
    """Return a message as the model gets it: cleaned text, pictures, and the names of files that cannot be read."""
    text = HOST_NOTE_TAG.sub("", inbound.text).strip()
    attachments = inbound.attachments
    if not attachments:
        return UserText(clean_text(text))
    images = tuple(ImageInput(a.media_type, a.data) for a in attachments if a.kind == "image")
    others = [
        f"(attached: {a.name or a.kind}, {a.media_type}, {len(a.data):,} bytes; it cannot be read here)"
        for a in attachments
        if a.kind != "image" and (text or images)
    ]
    return UserText(clean_text("\n".join(filter(None, (text, *others)))), images)


MAX_SHOWN_CHARS: Final = 12_000
_FENCE: Final = "```"
_DECISION = re.compile(r"\W*(yes|no)\W+([0-9a-f]{4,64})\W*", re.IGNORECASE)
_BARE: Final = re.compile(r"\W*(yes|yeah|yep|y|no|nope|n)(?:\W+(?:please|do it|do that|go ahead))?\W*", re.IGNORECASE)
_NOTHING: Final = Answer(
    "Nothing waits for a yes in this chat.", error_code=NOTHING_WAITS, next_step="microclaw approval list"
)


def answer_at_once(approvals: Approvals, inbound: Inbound) -> Answer | None:
    """Return the answer to a yes or no, or to another sentence while a question of its chat waits.

    None: the sentence is for the model.
    """
    if inbound.origin != "person":
        return None
    decision = _DECISION.fullmatch(inbound.text)
    pending = approvals.pending()
    chat = (inbound.channel, inbound.chat_id)
    waiting_here = [question for question in pending if (question.channel, question.chat_id) == chat]
    if decision is not None:
        return _answer_decision(decision, pending, waiting_here, approvals, inbound.person_id)
    if not waiting_here:
        return None
    # A schedule's question does not hold up its chat.
    question = next((question for question in waiting_here if question.turn is not None), None)
    word = _BARE.fullmatch(inbound.text)
    if word is None:
        return _withdraw(question, approvals, inbound.person_id)
    # A yes counts only if it names the question.
    if question is None or _is_yes(word):
        return _question(question or waiting_here[0], approvals, inbound.person_id)
    return _decide(question, approvals, inbound.person_id, approved=False)


def _answer_decision(
    decision: re.Match[str],
    pending: Sequence[PendingApproval],
    waiting_here: Sequence[PendingApproval],
    approvals: Approvals,
    person_id: str,
) -> Answer | None:
    """Return the answer to a yes or no that names a question."""
    approval_id = decision[2].lower()
    if not waiting_here:
        is_elsewhere = any(question.approval_id == approval_id for question in pending)
        return _NOTHING if is_elsewhere or len(approval_id) == ID_CHARS else None
    question = next((question for question in waiting_here if question.approval_id == approval_id), None)
    is_yes = _is_yes(decision)
    if question is None or (is_yes and _too_long(question)):
        return _question(question or waiting_here[0], approvals, person_id)
    return _decide(question, approvals, person_id, approved=is_yes)


def _is_yes(word: re.Match[str]) -> bool:
    return word[1].lower().startswith("y")


def _decide(question: PendingApproval, approvals: Approvals, person_id: str, *, approved: bool) -> Answer:
    try:
        approvals.decide(question.approval_id, approved=approved, by=person_id)
    except (UnknownName, PermissionRefused) as exc:
        return Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
    verdict = "Approved" if approved else "Declined"
    return Answer(f"{verdict}: {question.action}.")


def _withdraw(question: PendingApproval | None, approvals: Approvals, person_id: str) -> Answer | None:
    """Withdraw the question because of another sentence; return the question if this person may not decide it."""
    if question is None:
        return None
    try:
        approvals.decide(question.approval_id, approved=False, by=person_id, goes_on=True)
    except PermissionRefused:
        return _question(question, approvals, person_id)
    except UnknownName:
        return None
    return None


def _question(pending: PendingApproval, approvals: Approvals, person_id: str) -> Answer:
    left = format_duration(max(1.0, round(approvals.seconds_left(pending))) * 1000)
    text = f"A question waits in this chat, for {left} more: {pending.action}?"
    yes = f"yes {pending.approval_id}"
    no = f"no {pending.approval_id}"
    if _too_long(pending):
        text += "\nWhat would happen is too long to be shown here."
        step = f"microclaw approval list, or: {no}"
    else:
        detail = "\n".join(pending.detail)
        if detail:
            text += f"\n{_FENCE}\n{detail}\n{_FENCE}"
        step = f"answer it with: {yes}, or: {no}"
    if not approvals.may_decide(pending, person_id):
        step = f"an owner decides this; to take it back: {no}"
    step = f"{step}; then say your sentence again, or say it in another chat: that is not held up"
    return Answer(text, error_code="question_waits", next_step=step)


def _too_long(pending: PendingApproval) -> bool:
    """Return True if a chat cannot show the whole question: a yes to its beginning would approve its end too."""
    detail = "\n".join(pending.detail)
    return len(detail) > MAX_SHOWN_CHARS or _FENCE in detail
