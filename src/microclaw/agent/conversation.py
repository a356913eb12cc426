"""The conversations: each message of the inbox becomes a turn with its history. It keeps no queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from microclaw.agent.compaction import Compactor
from microclaw.agent.context import TurnContext
from microclaw.agent.inbox import Inbox
from microclaw.agent.running_turn import Message, RunningTurn
from microclaw.agent.taint import conversation, tainted_from
from microclaw.agent.turn import JoinedMessage, Turn, TurnLimits, TurnRequest
from microclaw.agent.turn_journal import TurnJournal, close_interrupted
from microclaw.auth.approvals import Approvals, Pending, Settled
from microclaw.auth.people import OwnerAlone, Roles
from microclaw.errors import MicroclawError, PermissionRefused, UnknownName
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Inbound, TurnEvent
from microclaw.knowledge.skills import Skills
from microclaw.models.protocol import AskedBy, Image, Model, ToolSpec, UserText
from microclaw.store.journal import Journal
from microclaw.store.sessions import SessionFiles, SessionMessage
from microclaw.text import clean_text
from microclaw.tools.toolbox import Toolbox

_log = logging.getLogger(__name__)

HISTORY_MESSAGES: Final = 400  # looked at; what of them a model is given is the compactor's
MAX_STARTS: Final = 3  # a message whose turn ended the host so many times is not tried again
PRUNE_EVERY: Final = 256  # answers
DRAIN_S: Final = 1.5
EFFECT_DAYS: Final = 30
_DAY_S: Final = 86_400
_UNHEARD: Final = Answer(
    "I can read words and pictures; voice messages and files I cannot",
    error_code="not_supported",
    next_step="write it, or send a picture of it",
)
_STOPPING: Final = Answer(
    "the host is stopping; your message is kept and answered when it is back",
    error_code="cancelled",
    next_step="microclaw up",
)


class Conversations:
    """`async with Conversations(...) as agent`: inside, messages are answered. Leaving cancels the turns still running,
    which stay unanswered, and closes the model."""

    def __init__(
        self,
        *,
        inbox: Inbox,
        model: Model,
        tools: Toolbox,
        context: TurnContext,
        sessions: SessionFiles,
        journal: Journal,
        compactor: Compactor | None = None,
        skills: Skills | None = None,
        approvals: Approvals | None = None,
        roles: Roles | None = None,
        limits: TurnLimits | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.inbox = inbox
        self._model = model
        self._tools = tools
        self._context = context
        self._sessions = sessions
        self._journal = journal
        self._compactor = compactor or Compactor()
        self._skills = skills
        self._approvals = approvals
        self._roles = roles or OwnerAlone()
        self._limits = limits or TurnLimits()
        self._now_s = now_s
        self._answered = 0
        self._working: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._model.aclose)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            warming = group.create_task(self._warm_up(), name="warm up the model")
            stack.callback(warming.cancel)
            await self._keep_missing()
            await self.inbox.open()
            group.create_task(self._serve(group), name="conversations")
            stack.push_async_callback(self.drain)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(exc_type, exc, traceback)

    async def recover(self) -> tuple[str, ...]:
        """Take up the turns that a crash cut off; other effects it left open are closed, one sentence for each.

        To be called once, when the devices can be asked; until then those turns' chats wait.
        """
        return await close_interrupted(self._journal, {_turn_id(number) for number in self.inbox.resume()})

    async def drain(self) -> None:
        """Accept nothing more, let tool calls that run end, for a while; then cut every turn off: they are resumed."""
        self.inbox.close()
        try:
            async with asyncio.timeout(DRAIN_S):
                for turn in self.inbox.running():
                    await turn.quiet.wait()
        except TimeoutError:
            _log.warning("a tool call was cut off by the host's end; it is looked after at the next start")
        cut_off = tuple(self._working)
        for task in cut_off:
            task.cancel()
        if cut_off:
            await asyncio.wait(cut_off)
        self.inbox.end_streams(_STOPPING)

    async def chat(self, inbound: Inbound) -> AsyncGenerator[TurnEvent, None]:
        """Events as they happen, then exactly one Answer, which counts as delivered: for those who want only a turn.

        Closing the iterator early stops the turn at the next step: a tool call that began is finished and journaled.
        """
        try:
            accepted = await self.inbox.accept(inbound)
        except MicroclawError as exc:
            yield _failed(exc)
            return
        answered = False
        try:
            async for event in accepted.events:
                if isinstance(event, Answer):
                    answered = True
                    if event.outbound_id is not None:
                        await self.inbox.outbox.delivered(event.outbound_id)
                yield event
        finally:
            if not answered:
                self.inbox.cancel(inbound.channel, inbound.chat_id, message_id=accepted.message_id)

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        async for turn in self.inbox:
            task = group.create_task(self._work(turn), name=f"turn {turn.number} of {'/'.join(turn.place)}")
            self._working.add(task)
            task.add_done_callback(self._working.discard)

    async def _work(self, turn: RunningTurn) -> None:
        """Run the turn to its answer whatever goes wrong: this outlives every message."""
        answer = await self._answer(turn)
        outbox = self.inbox.outbox
        with outbox.handing_out(*turn.place):
            answer = await self.inbox.answer(turn, answer)
            try:
                await self._keep(turn, answer)
            except MicroclawError as exc:
                _log.warning("a conversation could not be kept: %s", exc.message)
                answer = replace(answer, text=f"{answer.text}\n(This conversation could not be kept: {exc.message}.)")
            finally:
                outbox.hand_out(turn.place[0], answer, turn.streams)
        self.inbox.finish(turn)
        self._answered += 1
        if self._answered % PRUNE_EVERY == 0:
            await self._prune()

    async def _answer(self, turn: RunningTurn) -> Answer:
        starts = turn.message.starts
        try:
            if starts:
                turn.joined += await self.inbox.joined(turn.message)
            if starts >= MAX_STARTS:
                return Answer(
                    f"the host stopped {starts} times while it worked on this message; it is not tried again",
                    error_code="interrupted",
                    next_step="say it in other words; the host's log may tell why",
                )
            await self.inbox.begin(turn.message)
            return await self._run(turn)
        except MicroclawError as exc:
            return _failed(exc)
        except Exception:
            _log.exception("a turn failed (%s/%s)", *turn.place)
            return Answer("something went wrong inside the host", error_code="internal", next_step="see the host's log")

    async def _run(self, running: RunningTurn) -> Answer:
        message, inbound = running.message, running.message.inbound
        journal = TurnJournal(self._journal, _turn_id(message.message_id), message.message_id)
        history = await self._sessions.load(*running.place, HISTORY_MESSAGES)
        if message.starts:
            history = _without_question(history)
        if _said(inbound) == UserText(""):
            return _UNHEARD
        devices = await self._context.devices(inbound.device)
        system = self._context.system(devices)
        dynamic = await self._context.dynamic(devices, inbound, system)
        at_s = message.received_ms // 1000
        told = conversation(history, inbound, at_s, self._roles)
        budget_tokens = self._context.history_tokens(system, dynamic)
        asked_by = AskedBy(inbound.principal, *running.place)
        compacted = await self._compactor.compact(told.safe, budget_tokens, chat=running.place, asked_by=asked_by)
        shown, foreign_s = told.shown(compacted)
        tainted_s = tainted_from(inbound, at_s)
        turn = Turn(
            model=self._model,
            tools=self._tools,
            journal=journal,
            limits=self._limits,
            put=running.put,
            joining=lambda last: tuple(_joined(one) for one in running.take_joining(last=last)),
            offered=lambda: self._offered(inbound.channel, inbound.chat_id),
        )
        request = TurnRequest(
            said=_said(inbound),
            principal=inbound.principal,
            device=inbound.device,
            system=system,
            device_context=devices,
            history=shown,
            dynamic_context=dynamic,
            channel=inbound.channel,
            chat_id=inbound.chat_id,
            rows=await journal.read_back() if message.starts else (),
            joined=tuple(_joined(one) for one in running.joined),
            task="heartbeat" if inbound.origin == "heartbeat" else "chat",
            at_s=at_s,
            foreign_s=foreign_s if tainted_s is None else tainted_s,
            own=tainted_s is None,
        )
        watch = _ApprovalWatch(self._approvals, running, turn)
        running.when_stopped(watch.stop)
        with watch:
            return await turn.run(request)

    def _offered(self, channel: str, chat_id: str) -> tuple[ToolSpec, ...]:
        if self._skills is None:
            return self._tools.specs
        return self._tools.offered(self._skills.active(channel, chat_id), self._skills.shown_tools(channel, chat_id))

    async def _warm_up(self) -> None:
        """A model that cannot be loaded is told by the first turn; the host goes on."""
        try:
            await self._model.warm_up()
        except MicroclawError as exc:
            _log.warning("%s cannot be used: %s (next: %s)", self._model.name, exc.message, exc.next_step)
        except Exception:
            _log.exception("%s cannot be loaded", self._model.name)

    async def _keep(self, turn: RunningTurn, answer: Answer) -> None:
        """The messages of a turn and its answer, into the conversation."""
        messages = self._exchange((turn.message, *turn.joined), answer)
        there = await self._there(turn.place, messages[:-1]) if turn.message.starts else 0
        await self._sessions.append(*turn.place, messages[there:])
        if answer.outbound_id is not None:
            self.inbox.kept(turn.number)

    async def _keep_missing(self) -> None:
        """Bring answers into their conversations that a crash kept out; one that cannot be read stops no host."""
        for messages, answer in await self.inbox.unkept():
            first = messages[0].inbound
            try:
                place, exchange = (first.channel, first.chat_id), self._exchange(messages, answer)
                if missing := exchange[await self._there(place, exchange) :]:
                    await self._sessions.append(*place, missing)
                self.inbox.kept(messages[0].message_id)
            except MicroclawError as exc:
                _log.warning("a conversation still lacks an answer: %s", exc.message)

    def _exchange(self, messages: Sequence[Message], answer: Answer) -> list[SessionMessage]:
        """As the conversation keeps it."""
        kept = [
            SessionMessage(
                "user",
                _said(message.inbound).text or "(no words: a picture or a recording)",
                message.received_ms // 1000,
                message.inbound.principal,
                tainted_from(message.inbound, message.received_ms // 1000),
            )
            for message in messages
        ]
        principal = messages[0].inbound.principal
        return [
            *kept,
            SessionMessage("assistant", answer.text, int(self._now_s()), principal, answer.foreign_s, answer.question),
        ]

    async def _there(self, place: tuple[str, str], messages: Sequence[SessionMessage]) -> int:
        """How many of the messages, from the first on, a crash has left at the conversation's end."""
        wanted = [(one.role, one.content) for one in messages]
        last = [(one.role, one.content) for one in await self._sessions.load(*place, len(messages))]
        return next((n for n in range(len(messages), 0, -1) if last[-n:] == wanted[:n]), 0)

    async def _prune(self) -> None:
        try:
            await self.inbox.prune()
            await self.inbox.outbox.prune()
            await self._journal.prune(int(self._now_s() - EFFECT_DAYS * _DAY_S) * 1000)
        except MicroclawError as exc:
            _log.warning("old messages could not be pruned: %s", exc.message)


class _ApprovalWatch:
    """Tells a turn's listeners what waits for a yes, and takes the question back when the turn is cancelled."""

    def __init__(self, approvals: Approvals | None, running: RunningTurn, turn: Turn) -> None:
        self._approvals = approvals
        self._running = running
        self._turn = turn
        self._asked_at: dict[str, float] = {}
        self._leave: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        if self._approvals is not None:
            self._leave = self._approvals.listen(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        if self._leave is not None:
            self._leave()

    def stop(self) -> None:
        self._turn.stop()
        if self._approvals is None:
            return
        for pending in self._approvals.pending():
            if pending.approval_id in self._asked_at:
                try:
                    self._approvals.decide(pending.approval_id, approved=False, by=pending.principal)
                except (UnknownName, PermissionRefused) as exc:
                    _log.debug("a question was settled before it could be taken back: %s", exc.message)

    def _hear(self, news: Pending | Settled) -> None:
        pending = news if isinstance(news, Pending) else news.pending
        if (pending.channel, pending.chat_id) != self._running.place:
            return
        now = asyncio.get_running_loop().time()
        if isinstance(news, Pending):
            self._asked_at[pending.approval_id] = now
            asked = ApprovalAsked(pending.approval_id, pending.action, pending.detail, pending.expires_s)
            self._running.put(asked)
        elif (asked_at := self._asked_at.pop(pending.approval_id, None)) is not None:
            self._turn.waited(now - asked_at)
            self._running.put(ApprovalSettled(pending.approval_id, news.outcome))


def _turn_id(message_id: int) -> str:
    return f"m{message_id}"


def _failed(error: MicroclawError) -> Answer:
    return Answer(error.message, error_code=error.code, next_step=error.next_step)


def _without_question(history: tuple[SessionMessage, ...]) -> tuple[SessionMessage, ...]:
    """What a crash left at a conversation's end without its answer is the turn's own message."""
    while history and history[-1].role == "user":
        history = history[:-1]
    return history


def _joined(message: Message) -> JoinedMessage:
    return JoinedMessage(message.message_id, _said(message.inbound))


def _said(inbound: Inbound) -> UserText:
    """What the model is given of a message: its words, cleaned, its pictures, and the names of what cannot be read."""
    lines = [inbound.text.strip()] if inbound.text.strip() else []
    if lines or _images(inbound):
        lines += [
            f"(attached: {a.name or a.kind}, {a.media_type}, {len(a.data):,} bytes; it cannot be read here)"
            for a in inbound.attachments
            if a.kind != "image"
        ]
    return UserText(clean_text("\n".join(lines)), _images(inbound))


def _images(inbound: Inbound) -> tuple[Image, ...]:
    return tuple(Image(a.media_type, a.data) for a in inbound.attachments if a.kind == "image")
