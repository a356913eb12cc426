"""The agent: each message that the mail accepts becomes a turn with its history. It keeps no queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Protocol, Self

from microclaw.agent.compaction import Compactor
from microclaw.agent.effects import EffectJournal, settle
from microclaw.agent.mail import Mail, Received, RunningTurn
from microclaw.agent.strangers import conversation, strange_from
from microclaw.agent.turn import Turn, TurnLimits, TurnRequest
from microclaw.agent.turn_log import Joined, TurnRow, row_from, row_text
from microclaw.auth.approvals import Approvals, Pending, Settled
from microclaw.auth.people import OwnerAlone, Roles
from microclaw.errors import MicroclawError, PermissionRefused, UnknownName
from microclaw.events import Answer, ApprovalAsked, ApprovalSettled, Inbound, TurnEvent
from microclaw.models.budget import ASKED_BY, AskedBy
from microclaw.models.protocol import DeviceContext, Image, Model, ToolSpec, UserText
from microclaw.store.sessions import Role, SessionMessage
from microclaw.tools.toolbox import Toolbox

_log = logging.getLogger(__name__)

HISTORY_MESSAGES: Final = 400  # looked at; what of them a model is given is the compactor's
EFFECT_DAYS: Final = 30
_DAY_S: Final = 86_400
_UNHEARD: Final = Answer(
    "I can read words and pictures; voice messages and files I cannot",
    error_code="not_supported",
    next_step="write it, or send a picture of it",
)


class Surroundings(Protocol):
    """What a turn is told of the devices (agent.context)."""

    async def scene(self, device: str | None) -> DeviceContext: ...

    def system(self, scene: DeviceContext) -> str: ...

    async def situation(self, scene: DeviceContext, inbound: Inbound, text: str) -> str: ...

    def history_tokens(self, system: str, situation: str) -> int: ...


class Sessions(Protocol):
    """The kept conversations (store.sessions): only the person's text and the final answer."""

    async def load(self, channel: str, chat_id: str, newest: int = ...) -> tuple[SessionMessage, ...]: ...

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None: ...


class ActiveSkills(Protocol):
    """Which skills a chat has active, and the tools they name (knowledge.skills)."""

    def active(self, channel: str, chat_id: str) -> Collection[str]: ...

    def shown_tools(self, channel: str, chat_id: str) -> Collection[str]: ...


class AgentLoop:
    """`async with AgentLoop(...) as agent`; leaving cancels the turns still running and closes the model."""

    def __init__(
        self,
        *,
        mail: Mail,
        model: Model,
        tools: Toolbox,
        surroundings: Surroundings,
        sessions: Sessions,
        journal: EffectJournal,
        compactor: Compactor | None = None,
        skills: ActiveSkills | None = None,
        approvals: Approvals | None = None,
        roles: Roles | None = None,
        limits: TurnLimits | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._mail = mail
        self._model = model
        self._tools = tools
        self._surroundings = surroundings
        self._sessions = sessions
        self._journal = journal
        self._compactor = compactor or Compactor()
        self._skills = skills
        self._approvals = approvals
        self._roles = roles or OwnerAlone()
        self._limits = limits or TurnLimits()
        self._now_s = now_s
        self._stack = AsyncExitStack()

    @property
    def mail(self) -> Mail:
        return self._mail

    @property
    def model_name(self) -> str:
        return self._model.name

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._model.aclose)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            warming = group.create_task(self._warm_up(), name="warm up the model")
            stack.callback(warming.cancel)
            await self._keep_missing()
            await stack.enter_async_context(self.mail.serving(self))
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
        resumed = await self.mail.resume()
        return await settle(self._journal, {_turn_id(message_id) for message_id in resumed})

    async def chat(self, inbound: Inbound) -> AsyncIterator[TurnEvent]:
        """Events as they happen, then exactly one Answer, which counts as delivered: for those who want only a turn.

        Closing the iterator early stops the turn at the next step: a tool call that began is finished and journaled.
        """
        try:
            accepted = await self.mail.accept(inbound)
        except MicroclawError as exc:
            yield Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
            return
        answered = False
        try:
            async for event in accepted.events:
                if isinstance(event, Answer):
                    answered = True
                    if event.outbound_id is not None:
                        await self.mail.delivered(event.outbound_id)
                yield event
        finally:
            if not answered:
                self.mail.cancel(inbound.channel, inbound.chat_id, message_id=accepted.message_id)

    async def turn(self, running: RunningTurn) -> Answer:
        """Answer one message (mail.Serve)."""
        received, inbound = running.received, running.received.inbound
        ASKED_BY.set(AskedBy(inbound.principal, inbound.channel, inbound.chat_id))
        rows, joined = await self._rows(received)
        history = await self._begin_conversation(received, joined)
        if _said(inbound) == UserText(""):
            return _UNHEARD
        scene = await self._surroundings.scene(inbound.device)
        system = self._surroundings.system(scene)
        situation = await self._surroundings.situation(scene, inbound, inbound.text)
        log = _Log(self.mail, received.message_id, len(rows))
        turn = Turn(
            model=self._model,
            tools=self._tools,
            journal=self._journal,
            limits=self._limits,
            put=running.put,
            log=log,
            joining=lambda last: tuple(_joined(r) for r in running.take_joining(last=last)),
            offered=lambda: self._offered(inbound.channel, inbound.chat_id),
        )
        log.when_joined = lambda message: self._keep(inbound, "user", _shown(message.text))
        at_s = received.received_ms // 1000
        told = conversation(history, inbound, at_s, self._roles)
        budget_tokens = self._surroundings.history_tokens(system, situation)
        compacted = await self._compactor.compact(told.safe, budget_tokens, chat=(inbound.channel, inbound.chat_id))
        shown, foreign_s = told.shown(compacted)
        watch = _ApprovalWatch(self._approvals, running, turn)
        running.when_stopped(watch.stop)
        with watch:
            return await turn.run(
                TurnRequest(
                    turn_id=_turn_id(received.message_id),
                    said=_said(inbound),
                    principal=inbound.principal,
                    device=inbound.device,
                    system=system,
                    scene=scene,
                    history=shown,
                    situation=situation,
                    channel=inbound.channel,
                    chat_id=inbound.chat_id,
                    rows=rows,
                    task="heartbeat" if inbound.origin == "heartbeat" else "chat",
                    at_s=at_s,
                    foreign_s=foreign_s if (strange_s := strange_from(inbound, at_s)) is None else strange_s,
                    own=strange_s is None,
                )
            )

    def _offered(self, channel: str, chat_id: str) -> tuple[ToolSpec, ...]:
        if self._skills is None:
            return self._tools.specs
        return self._tools.offered(self._skills.active(channel, chat_id), self._skills.shown_tools(channel, chat_id))

    async def answered(self, received: Received, answer: Answer) -> None:
        """The answer is on the disk: the conversation is to have it too (mail.Serve)."""
        await self._keep(received.inbound, "assistant", answer.text, answer.foreign_s, answer.question)

    async def prune(self) -> None:
        """Forget old effects (mail.Serve)."""
        await self._journal.prune(int(self._now_s() - EFFECT_DAYS * _DAY_S) * 1000)

    async def _warm_up(self) -> None:
        """A model that cannot be loaded is told by the first turn; the loop goes on."""
        try:
            await self._model.warm_up()
        except MicroclawError as exc:
            _log.warning("%s cannot be used: %s (next: %s)", self._model.name, exc.message, exc.next_step)
        except Exception:
            _log.exception("%s cannot be loaded", self._model.name)

    async def _keep_missing(self) -> None:
        """Bring answers into their conversations that a crash kept out; one that cannot be read stops no host."""
        for message_id, inbound, answer in await self.mail.unkept():
            try:
                kept = await self._sessions.load(inbound.channel, inbound.chat_id)
                if not kept or (kept[-1].role, kept[-1].content) != ("assistant", answer.text):
                    await self._keep(inbound, "assistant", answer.text, answer.foreign_s, answer.question)
                await self.mail.kept(message_id)
            except MicroclawError as exc:
                _log.warning("a conversation still lacks an answer: %s", exc.message)

    async def _rows(self, received: Received) -> tuple[tuple[TurnRow, ...], tuple[Received, ...]]:
        """What the turn had come to before a crash, and the messages that had joined it."""
        if received.starts == 0:
            return (), ()
        joined = {message.message_id: message for message in await self.mail.part_of(received.message_id)}
        rows = [row_from(text) for text in await self.mail.rows(received.message_id)]
        whole = (_joined(joined[row.message_id]) if isinstance(row, Joined) else row for row in rows)
        return tuple(whole), tuple(joined.values())

    async def _begin_conversation(self, received: Received, joined: Sequence[Received]) -> tuple[SessionMessage, ...]:
        """The history before this message, which is added to what is kept, if a crash has not left it there."""
        inbound = received.inbound
        history = await self._sessions.load(inbound.channel, inbound.chat_id, HISTORY_MESSAGES)
        texts = [_shown(_said(message.inbound).text) for message in (received, *joined)]
        there = 0
        if received.starts:
            while there < len(texts) and there < len(history) and history[-1 - there].role == "user":
                there += 1
            history = history[: len(history) - there]
        for text in texts[there:]:
            await self._keep(inbound, "user", text, strange_from(inbound, received.received_ms // 1000))
        return history

    async def _keep(
        self, inbound: Inbound, role: Role, text: str, foreign_s: int | None = None, question: str | None = None
    ) -> None:
        message = SessionMessage(role, text, int(self._now_s()), inbound.principal, foreign_s, question)
        await self._sessions.append(inbound.channel, inbound.chat_id, [message])


class _Log:
    """A turn's rows, kept by the mail in order."""

    def __init__(self, mail: Mail, message_id: int, position: int) -> None:
        self._mail = mail
        self._message_id = message_id
        self._position = position
        self.when_joined: Callable[[Joined], Awaitable[None]] | None = None

    async def add(self, row: TurnRow) -> None:
        joins = row.message_id if isinstance(row, Joined) else None
        await self._mail.log(self._message_id, self._position, row_text(row), joins=joins)
        self._position += 1
        if isinstance(row, Joined) and self.when_joined is not None:
            await self.when_joined(row)


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
        inbound = self._running.received.inbound
        if (pending.channel, pending.chat_id) != (inbound.channel, inbound.chat_id):
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


def _joined(received: Received) -> Joined:
    said = _said(received.inbound)
    return Joined(received.message_id, said.text, said.images)


def _said(inbound: Inbound) -> UserText:
    """What the model is given of a message: its words, its pictures, and the names of what cannot be read."""
    lines = [inbound.text.strip()] if inbound.text.strip() else []
    if lines or _images(inbound):
        lines += [
            f"(attached: {a.name or a.kind}, {a.media_type}, {len(a.data):,} bytes; it cannot be read here)"
            for a in inbound.attachments
            if a.kind != "image"
        ]
    return UserText("\n".join(lines), _images(inbound))


def _shown(text: str) -> str:
    """A message as the conversation keeps it."""
    return text or "(no words: a picture or a recording)"


def _images(inbound: Inbound) -> tuple[Image, ...]:
    return tuple(Image(a.media_type, a.data) for a in inbound.attachments if a.kind == "image")
