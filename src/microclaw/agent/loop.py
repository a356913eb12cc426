"""The agent: messages come in, events and one answer go out; one turn a chat at a time. Holds no connection."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

from microclaw.agent.effects import EffectJournal, settle
from microclaw.agent.events import Answer, TurnEvent
from microclaw.agent.stream import TurnStream
from microclaw.agent.turn import Turn, TurnLimits, TurnRequest
from microclaw.bus.events import Inbound
from microclaw.errors import MicroclawError, Overloaded, StoreError
from microclaw.models.protocol import AssistantReply, Message, Model, UserText
from microclaw.models.scene import Scene
from microclaw.store.sessions import Role, SessionMessage
from microclaw.tools.toolbox import Toolbox

_log = logging.getLogger(__name__)

PARALLEL_TURNS = 8
WAITING_TURNS_A_CHAT = 4
HISTORY_CHARS = 32 * 1024


class Surroundings(Protocol):
    """What a turn is told of the devices (agent.context)."""

    async def scene(self, device: str | None) -> Scene: ...

    def system(self, scene: Scene) -> str: ...


class Sessions(Protocol):
    """The kept conversations (store.sessions): only the person's text and the final answer."""

    async def load(self, channel: str, chat_id: str) -> tuple[SessionMessage, ...]: ...

    async def append(self, channel: str, chat_id: str, messages: Sequence[SessionMessage]) -> None: ...


class AgentLoop:
    """`async with AgentLoop(...) as agent`; leaving cancels the turns still running and closes the model."""

    def __init__(
        self,
        *,
        model: Model,
        tools: Toolbox,
        surroundings: Surroundings,
        sessions: Sessions,
        journal: EffectJournal,
        limits: TurnLimits | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._model = model
        self._tools = tools
        self._surroundings = surroundings
        self._sessions = sessions
        self._journal = journal
        self._limits = limits or TurnLimits()
        self._now_s = now_s
        self._group = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._chats: dict[tuple[str, str], _Chat] = {}
        self._slots = asyncio.Semaphore(PARALLEL_TURNS)

    @property
    def model_name(self) -> str:
        return self._model.name

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._start(self._warm_up(), "warm up the model")
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._running:
            task.cancel()
        try:
            await self._group.__aexit__(exc_type, exc, traceback)
        finally:
            await self._model.aclose()

    async def recover(self) -> tuple[str, ...]:
        """Close the effects that a crash left open; one sentence for each, for the person."""
        return await settle(self._journal)

    async def chat(self, inbound: Inbound) -> AsyncIterator[TurnEvent]:
        """Steps as they happen, then exactly one Answer.

        Closing the iterator early stops the turn at the next step: a tool call that began is finished and journaled.
        """
        stream = TurnStream()
        self._start(self._serve(inbound, stream), f"turn {inbound.channel}/{inbound.chat_id}")
        try:
            async for event in stream.events():
                yield event
        finally:
            stream.abandon()

    async def _warm_up(self) -> None:
        """A model that cannot be loaded is told by the first turn; the loop goes on."""
        try:
            await self._model.warm_up()
        except MicroclawError as exc:
            _log.warning("%s cannot be used: %s (next: %s)", self._model.name, exc.message, exc.next_step)
        except Exception:
            _log.exception("%s cannot be loaded", self._model.name)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._group.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, inbound: Inbound, stream: TurnStream) -> None:
        """Run a turn to its answer whatever goes wrong: the loop outlives every message."""
        try:
            answer = await self._in_order(inbound, stream)
        except MicroclawError as exc:
            answer = Answer(exc.message, error_code=exc.code, next_step=exc.next_step)
        except asyncio.CancelledError:
            stream.put(Answer("the host is stopping", error_code="cancelled", next_step="microclaw up"))
            raise
        except Exception:
            _log.exception("a turn failed (%s/%s)", inbound.channel, inbound.chat_id)
            answer = Answer(
                "something went wrong inside the host", error_code="internal", next_step="see the host's log"
            )
        stream.put(answer)

    async def _in_order(self, inbound: Inbound, stream: TurnStream) -> Answer:
        """One turn a chat at a time, in the order the messages came; few chats at once."""
        place = (inbound.channel, inbound.chat_id)
        chat = self._chats.setdefault(place, _Chat())
        if chat.turns > WAITING_TURNS_A_CHAT:
            raise Overloaded(
                f"{chat.turns} messages of this chat wait already", next_step="wait for the answers to those"
            )
        chat.turns += 1
        try:
            async with chat.lock, self._slots:
                return await self._turn(inbound, stream)
        finally:
            chat.turns -= 1
            if chat.turns == 0:
                self._chats.pop(place, None)

    async def _turn(self, inbound: Inbound, stream: TurnStream) -> Answer:
        text = inbound.text.strip()
        if refusal := self._unreadable(text):
            return refusal
        scene = await self._surroundings.scene(inbound.device)
        history = await self._sessions.load(inbound.channel, inbound.chat_id)
        await self._keep(inbound, "user", text)
        turn = Turn(
            model=self._model,
            tools=self._tools,
            journal=self._journal,
            limits=self._limits,
            report=stream.report,
        )
        stream.when_abandoned(turn.stop)
        answer = await turn.run(
            TurnRequest(
                turn_id=secrets.token_hex(8),
                text=text,
                principal=inbound.principal,
                device=inbound.device,
                system=self._surroundings.system(scene),
                scene=scene,
                history=_recent(history),
            )
        )
        try:
            await self._keep(inbound, "assistant", answer.text)
        except StoreError as exc:  # what was done is done: the person must hear of it
            _log.warning("an answer could not be kept: %s", exc.message)
            return replace(answer, text=f"{answer.text}\n(This conversation could not be kept: {exc.message}.)")
        return answer

    async def _keep(self, inbound: Inbound, role: Role, text: str) -> None:
        await self._sessions.append(inbound.channel, inbound.chat_id, [SessionMessage(role, text, int(self._now_s()))])

    def _unreadable(self, text: str) -> Answer | None:
        size = len(text.encode(errors="replace"))
        if not text:
            return Answer("that message is empty", error_code="empty_message", next_step="try: what can you do")
        if size > self._limits.message_bytes:
            limit = self._limits.message_bytes
            return Answer(
                f"that message has {size} bytes, at most {limit} are read",
                error_code="message_too_long",
                next_step="say it shorter",
            )
        return None


def _recent(kept: Sequence[SessionMessage]) -> tuple[Message, ...]:
    """The newest messages of at most HISTORY_CHARS, from one of the person's on (APIs want that)."""
    room, recent = HISTORY_CHARS, list[SessionMessage]()
    for message in reversed(kept):
        room -= len(message.content)
        if room < 0:
            break
        recent.append(message)
    while recent and recent[-1].role != "user":
        recent.pop()
    return tuple(_message(m) for m in reversed(recent))


def _message(kept: SessionMessage) -> Message:
    return UserText(kept.content) if kept.role == "user" else AssistantReply(kept.content)


class _Chat:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.turns = 0
