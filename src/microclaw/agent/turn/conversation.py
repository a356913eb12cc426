"""The conversations: a turn with its history for each message of the inbox, and their removal. It keeps no queue.

While an act of a chat waits for a yes or a no: a no of a person who may decide withdraws the question, and so does any
other sentence of that person. Nothing is done then, and the sentence has its turn. A yes counts if it names the
question, or if the person sees the question (`Inbound.seen`) and it is the only one there: nobody agrees to a question
that was not shown. Another yes, and the sentences of other people, are answered at once with the question, and are not
kept.
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

from microclaw.agent.knowledge.search import Search, source_name
from microclaw.agent.models.budget import tokens
from microclaw.agent.models.protocol import AskedBy, ImageInput, Model, Said, UserText
from microclaw.agent.turn.action_record import acts_of, notes_of
from microclaw.agent.turn.context import HOST_NOTE_TAG, Prompt, TurnContext
from microclaw.agent.turn.history import add_tainted, compact_history, newest_notes, split_tainted, tainted_from
from microclaw.agent.turn.inbox import STOPPING, Inbox
from microclaw.agent.turn.model_requests import TurnLimits
from microclaw.agent.turn.old_orders import OldOrders
from microclaw.agent.turn.outbox import RunningTurn
from microclaw.agent.turn.toolbox import Toolbox
from microclaw.agent.turn.turn import Turn
from microclaw.agent.turn.turn_journal import OLD_ORDER, TurnJournal, encode
from microclaw.agent.turn.turn_request import TurnRequest
from microclaw.errors import AlreadyAnswered, MicroclawError, Overloaded, PermissionRefused, StoreError, UnknownName
from microclaw.events import NOTHING_WAITS, Answer, Inbound
from microclaw.host.auth.approvals import ID_CHARS, Approvals
from microclaw.host.auth.approved_act import PendingApproval
from microclaw.host.auth.people import ONLY_OWNER, Roles
from microclaw.host.config.settings import ModelTask
from microclaw.host.operations.operation import Effect
from microclaw.host.operations.tool import result_of_error
from microclaw.host.store.journal import EffectKey, Journal
from microclaw.host.store.people import person_behind
from microclaw.host.store.sessions import SessionMessage, Sessions, match_name, session_name
from microclaw.text import clean_text, fence_text, format_duration

_log = logging.getLogger(__name__)

# The messages that are loaded; `compact_history` returns the part of them that a model gets.
HISTORY_MESSAGES: Final = 240
# Loaded if no model reads them: only the last answer counts, which stands among the messages of other people.
OFFLINE_MESSAGES: Final = 40
# A message is not tried again when the host has stopped in this many turns of it.
MAX_STARTS: Final = 3
DRAIN_S: Final = 1.5
# The channel whose lines the command line keeps for its arrow keys.
TYPED_IN: Final = "terminal"
_UNREADABLE: Final = Answer(
    "I can read words and pictures; voice messages and files I cannot",
    error_code="not_supported",
    next_step="write it, or send a picture of it",
)


@dataclass(eq=False, slots=True)
class Conversations:
    """The turns of all chats. `async with conversations.answering():` inside, messages are answered."""

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
    # Effects that were open when this host began, or when it took over the messages of a dead host.
    _interrupted: set[EffectKey] = field(default_factory=set)
    _resumed: set[str] = field(default_factory=set)
    _working: set[asyncio.Task[None]] = field(default_factory=set)
    _old_orders: OldOrders | None = None

    def __post_init__(self) -> None:
        if self.approvals is not None:
            self._old_orders = OldOrders(self.inbox, self.approvals, self.limits.settle_s)
            self.inbox.answer_at_once = partial(answer_at_once, self.approvals)

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[None]:
        """Answer messages inside. Leaving cancels running turns and closes the model.

        The cancelled turns stay unanswered until the next start.
        """
        async with aclosing(self.model), asyncio.TaskGroup() as group:
            await self.inbox.take_over(at_start=True)
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
        own_numbers = self.inbox.resume()
        self._resumed.update(map(_turn_id, own_numbers))
        numbers, effect_keys = await self.inbox.take_over()
        self._resumed.update(map(_turn_id, numbers))
        self._interrupted.update(effect_keys)
        sentences = []
        works = []
        for effect in await self.journal.unfinished():
            if effect.key not in self._interrupted or effect.turn in self._resumed:
                continue
            outcome = "had started and may be unfinished: asking for it again is safe"
            if effect.effect == Effect.ONCE.value:
                outcome = "had started: outcome unknown, look before you ask for it again"
            result = result_of_error(MicroclawError(outcome))
            sentences.append(f"{effect.tool} {effect.arguments[:120]}: {outcome}")
            works.append(self.journal.build_end(effect.key, encode(result), ok=False))
        if works:
            await self.journal.write(works)
        self._interrupted.clear()
        return tuple(sentences)

    async def drain(self) -> None:
        """Accept no more messages, wait a short time for running tool calls, then cut off every turn.

        The next start resumes those turns.
        """
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
        answer = await self._answer(turn)
        if answer.error_code == OLD_ORDER:
            answer = self._ask_about_old_order(turn, answer, group)
        answer = replace(answer, steps=tuple(turn.steps))
        inbound = turn.message.inbound
        at_s = turn.message.received_ms // 1000
        text = _user_text(inbound).text or "(no words: a picture or a recording)"
        person_id = inbound.person_id
        now_s = int(self.now_s())
        exchange = [
            SessionMessage("user", text, at_s, person_id, tainted_from(inbound, at_s), turn=turn.number),
            SessionMessage(
                "assistant",
                answer.text,
                now_s,
                person_id,
                answer.tainted_s,
                answer.question,
                notes_of(answer.actions),
                turn.number,
            ),
        ]
        await self.inbox.finish(turn, answer, self.sessions.build_append(*turn.chat_key, exchange))

    def _ask_about_old_order(self, turn: RunningTurn, answer: Answer, group: asyncio.TaskGroup) -> Answer:
        """Ask the person about an order that is too old; return its answer, which names the question if one comes."""
        orders = self._old_orders
        has_acted = any(act.outcome != "refused" for act in acts_of(answer.actions))
        if has_acted or orders is None or not orders.asks_about(turn.message):
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
            journal = TurnJournal(self.journal, _turn_id(number), number, age_s)
            running.carried = journal.take_waiting_rows
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
        has_window = self.context.window is not None
        max_messages = HISTORY_MESSAGES if has_window else OFFLINE_MESSAGES
        history = await self.sessions.load(*running.chat_key, max_messages)
        safe, tainted = split_tainted(history, inbound, at_s, self.roles)
        short: Sequence[Said] = safe
        if has_window:
            asked_by = AskedBy(person_behind(inbound.person_id), *running.chat_key)
            short = await compact_history(
                safe, prompt.history_tokens, asked_by, model=self.model, sessions=self.sessions
            )
        messages, tainted_s = add_tainted(short, safe, tainted)
        notes, notes_s = newest_notes(history, inbound, at_s, self.roles)
        # A schedule's run does not continue the conversation.
        if notes is not None and has_window and inbound.origin == "person":
            prompt = with_notes(prompt, notes)
            tainted_s = max(filter(None, (tainted_s, notes_s)), default=None)
        message_s = tainted_from(inbound, at_s)
        if message_s is not None:
            tainted_s = message_s
        task: ModelTask = "heartbeat" if inbound.origin == "heartbeat" else "chat"
        return TurnRequest(
            inbound,
            _user_text(inbound),
            prompt,
            messages,
            resumes=message.starts > 0,
            task=task,
            at_s=at_s,
            tainted_s=tainted_s,
        )


def _turn_id(message_number: int) -> str:
    return f"m{message_number}"


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
    busy_names = set()
    for chat in chats:
        if await sessions.is_busy(*chat):
            busy_names.add(session_name(*chat))
    # A conversation in its first turn is only among the busy ones.
    names = set(busy_names)
    for session in await sessions.list():
        names.add(session.name)
    full = match_name(name, sorted(names))
    if full in busy_names:
        raise Overloaded(f"{full} is being answered", next_step="wait for its answer or cancel it, then do it again")
    for chat in chats:
        if session_name(*chat) == full:
            await sessions.forget_chat(*chat)
    if full.partition("_")[0] == TYPED_IN:
        try:
            await asyncio.to_thread(history.unlink, missing_ok=True)
        except OSError as exc:
            raise StoreError(f"{history} cannot be removed: {exc.strerror}", next_step="remove it by hand") from exc
    async with search.removing_source(source_name(full)):
        await sessions.empty(full)
        await search.scrub()
        # The name goes last, so that a removal that failed can be tried again.
        await sessions.remove(full)
    return full


def _user_text(inbound: Inbound) -> UserText:
    """Return a message as the model gets it: cleaned text, pictures, and the names of files that cannot be read."""
    text = HOST_NOTE_TAG.sub("", inbound.text).strip()
    attachments = inbound.attachments
    if not attachments:
        return UserText(clean_text(text))
    images: list[ImageInput] = []
    notes: list[str] = []
    for file in attachments:
        if file.kind == "image":
            images.append(ImageInput(file.media_type, file.data))
        else:
            size = f"{len(file.data):,} bytes"
            notes.append(f"(attached: {file.name or file.kind}, {file.media_type}, {size}; it cannot be read here)")
    # A message of nothing but such files is empty, and is answered without a model.
    if not text and not images:
        return UserText("")
    lines = [text, *notes] if text else notes
    return UserText(clean_text("\n".join(lines)), tuple(images))


MAX_SHOWN_CHARS: Final = 12_000
_FENCE: Final = "```"
_DECISION = re.compile(r"\W*(yes|no)\W+([0-9a-f]{4,64})\W*", re.IGNORECASE)
_BARE: Final = re.compile(r"\W*(yes|yeah|yep|y|no|nope|n)(?:\W+(?:please|do it|do that|go ahead))?\W*", re.IGNORECASE)
_NOTHING: Final = Answer(
    "Nothing waits for a yes in this chat.", error_code=NOTHING_WAITS, next_step="microclaw approval list"
)

_PRESS: Final = Answer(
    "It is not clear which question you mean, so I did nothing.",
    error_code="question_waits",
    next_step="press the button of the one that you mean",
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
    word = _BARE.fullmatch(inbound.text)
    if not waiting_here:
        return None if word is None else _late_answer(approvals, inbound)
    # A schedule's question does not hold up its chat.
    questions_of_turns = [question for question in waiting_here if question.turn is not None]
    if word is None and not questions_of_turns:
        return None
    if word is None:
        return _withdraw(questions_of_turns[0], approvals, inbound.person_id)
    is_yes = _is_yes(word)
    is_only_one = len(waiting_here) == 1 and waiting_here[0].approval_id in inbound.seen
    if questions_of_turns and (is_only_one or not is_yes):
        return _decide(questions_of_turns[0], approvals, inbound.person_id, approved=is_yes)
    if inbound.seen and is_yes:
        return _PRESS
    question = (questions_of_turns or waiting_here)[0]
    return _question_answer(question, approvals, inbound.person_id)


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
        may_name_question = len(approval_id) == ID_CHARS or _find_question(pending, approval_id) is not None
        return _NOTHING if may_name_question else None
    question = _find_question(waiting_here, approval_id)
    if question is None:
        return _question_answer(waiting_here[0], approvals, person_id)
    is_yes = _is_yes(decision)
    if is_yes and _is_too_long(question):
        return _question_answer(question, approvals, person_id)
    return _decide(question, approvals, person_id, approved=is_yes)


def _late_answer(approvals: Approvals, inbound: Inbound) -> Answer | None:
    """Return how the question ended that the person still sees, or None if there is none."""
    for approval_id in reversed(inbound.seen):
        outcome = approvals.outcome(approval_id)
        if outcome is None or (outcome.pending.channel, outcome.pending.chat_id) != (inbound.channel, inbound.chat_id):
            continue
        text = f"That question is over ({outcome.outcome}): {outcome.pending.action}."
        return Answer(text, error_code=AlreadyAnswered.code, next_step="read what that led to")
    return None


def _find_question(questions: Sequence[PendingApproval], approval_id: str) -> PendingApproval | None:
    for question in questions:
        if question.approval_id == approval_id:
            return question
    return None


def _is_yes(word: re.Match[str]) -> bool:
    return word[1].lower().startswith("y")


def _decide(question: PendingApproval, approvals: Approvals, person_id: str, *, approved: bool) -> Answer:
    try:
        approvals.decide(question.approval_id, approved=approved, by=person_id)
    except (UnknownName, PermissionRefused) as exc:
        return Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
    verdict = "Approved" if approved else "Declined"
    return Answer(f"{verdict}: {question.action}.")


def _withdraw(question: PendingApproval, approvals: Approvals, person_id: str) -> Answer | None:
    """Withdraw the question because of another sentence; return the question if this person may not decide it."""
    try:
        approvals.decide(question.approval_id, approved=False, by=person_id, goes_on=True)
    except PermissionRefused:
        return _question_answer(question, approvals, person_id)
    except UnknownName:
        return None
    return None


def _question_answer(pending: PendingApproval, approvals: Approvals, person_id: str) -> Answer:
    """Return the question that waits as an answer, with the sentences that decide it."""
    left_s = max(1.0, round(approvals.seconds_left(pending)))
    text = f"A question waits in this chat, for {format_duration(left_s * 1000)} more: {pending.action}?"
    yes = f"yes {pending.approval_id}"
    no = f"no {pending.approval_id}"
    if _is_too_long(pending):
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


def _is_too_long(pending: PendingApproval) -> bool:
    """Return True if a chat cannot show the whole question: a yes to its beginning would approve its end too."""
    detail = "\n".join(pending.detail)
    return len(detail) > MAX_SHOWN_CHARS or _FENCE in detail
