"""One turn: ask the model, run its tool calls, until it answers or a limit ends it. Keeps no history, opens nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.agent.acts import answer_text, with_record
from microclaw.agent.asking import Asking, RetryLimits, TurnCancelled
from microclaw.agent.attempts import DEPLOY_TOOL
from microclaw.agent.offer import called_in, subject_of
from microclaw.agent.step_text import call_step, code_step, proof_note, repeated_step, unknown_text
from microclaw.agent.stoppable_call import StoppableCalls
from microclaw.agent.toolbox import INTERNAL, Toolbox
from microclaw.agent.turn_journal import OUTCOME_UNKNOWN, JoinRow, ReplyRow, TurnJournal, outcome_unknown
from microclaw.agent.turn_progress import TurnProgress
from microclaw.agent.window import Window
from microclaw.apps.change_log import conversation_of, made_by
from microclaw.auth.approvals import asking_turn
from microclaw.auth.gate import Effect
from microclaw.auth.people import person_behind
from microclaw.config.settings import ModelTask
from microclaw.errors import MicroclawError
from microclaw.events import FILE_CHANNELS, Action, Answer, ToolRun, TurnEvent
from microclaw.knowledge.skills import Skills
from microclaw.models.protocol import (
    AskedBy,
    DeviceContext,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolReturn,
    ToolSpec,
    UserText,
)
from microclaw.operations.tool import Begin, ToolContext, ToolResult
from microclaw.store.journal import EffectKey
from microclaw.text import without_fences

_log = logging.getLogger(__name__)

_CUT: Final = "… (cut off: the answer came to the limit of its tokens)"


class TurnLimits(Struct, frozen=True):
    """`deploy_tries` counts programs that fail their checks or their trial."""

    iterations: int = 10
    turn_s: float = 120.0
    calls_a_reply: int = 8
    deploy_tries: int = 3
    retries: RetryLimits = field(default_factory=RetryLimits)


class JoinedMessage(Struct, frozen=True):
    """A message that came while the turn ran and is part of it."""

    message_id: int
    text: UserText


class TurnRequest(Struct, frozen=True):
    """A message and its context when its turn begins. `rows` and `joined` come from a turn that a crash cut off.

    `at_s` is when the message came; `tainted_s` when untrusted text in it, or in `history`, was read. `own`: the
    message is the person's own words. `part_of`: the turn or request that changes belong to, if not this turn;
    `conversation`: the conversation, if not this chat.
    """

    message: UserText
    person_id: str
    device: str | None
    system: str
    device_context: DeviceContext
    history: tuple[Message, ...]
    dynamic_context: str = ""
    channel: str = "terminal"
    chat_id: str = "terminal"
    rows: tuple[ReplyRow | JoinRow, ...] = ()
    joined: tuple[JoinedMessage, ...] = ()
    task: ModelTask = "chat"
    at_s: int = 0
    tainted_s: int | None = None
    own: bool = True
    part_of: str | None = None
    conversation: str | None = None


def offered_tools(
    tools: Toolbox, skills: Skills | None, chat: tuple[str, str], messages: Sequence[Message]
) -> tuple[ToolSpec, ...]:
    """The tools for a chat's newest messages: what the person said last and before, and what this turn called."""
    active = skills.active(*chat) if skills is not None else ()
    named = skills.shown_tools(*chat) if skills is not None else ()
    return tools.offered(active, named, said=subject_of(messages), asked=called_in(messages))


class Turn:
    """`await Turn(...).run(request)` always returns an answer; it raises only on cancellation."""

    def __init__(
        self,
        *,
        model: Model,
        tools: Toolbox,
        journal: TurnJournal,
        limits: TurnLimits,
        put: Callable[[TurnEvent], None],
        joining: Callable[[bool], tuple[JoinedMessage, ...]] = lambda _last: (),
        offered: Callable[[Sequence[Message]], tuple[ToolSpec, ...]] | None = None,
        window: Window | None = None,
    ) -> None:
        """`joining(last)` returns the messages since its last call; with `last` and no message, none can join later.
        `offered` returns the tools of a request with these messages; all tools without it."""
        self._model = model
        self._tools = tools
        self._journal = journal
        self._limits = limits
        self._put = put
        self._joining = joining
        self._offered = offered or (lambda _messages: tools.specs)
        self._asking = Asking(
            model,
            self._put,
            window=window or Window(),
            turn_s=limits.turn_s,
            limits=limits.retries,
        )
        self._calls = StoppableCalls()
        self._deadline = 0.0
        self._progress: TurnProgress | None = None

    def stop(self) -> None:
        """Start nothing more. Waiting for the model ends at once, and so does a call that has not begun to change
        anything, its compiler included; a change that has begun is finished."""
        self._calls.stop()
        self._asking.stop()

    def so_far(self) -> tuple[Action, ...]:
        """What the turn has done and read until now."""
        return () if self._progress is None else tuple(self._progress.actions)

    def waited(self, seconds: float) -> None:
        """Move the deadline by the time that a person took to decide."""
        self._deadline += seconds

    async def run(self, request: TurnRequest) -> Answer:
        """Ask the model and run its calls until it answers. The deadline is checked before each request and call."""
        self._deadline = asyncio.get_running_loop().time() + self._limits.turn_s
        messages = [*request.history, request.message]
        progress = TurnProgress(messages, request.at_s, request.tainted_s)
        self._progress = progress
        try:
            if (ended := await self._resume(request, progress)) is not None:
                return ended
            while progress.iterations < self._limits.iterations:
                reply = await self._ask(request, progress)
                if not reply.calls:
                    if not await self._join(progress, after=reply):
                        return self._answer(reply, progress)
                    continue
                self._journal.add(ReplyRow(reply))
                if (ended := await self._act(request, progress, reply)) is not None:
                    return ended
                await self._join(progress)
        except MicroclawError as exc:
            return self._ended(progress, exc.message, exc.code, exc.next_step)
        except Exception:  # a fault of ours: what was done before it is told all the same
            _log.exception("a turn failed (%s/%s)", request.channel, request.chat_id)
            return self._broken(progress)
        return self._ended(
            progress,
            f"I stopped after {self._limits.iterations} rounds of tool calls without coming to an end",
            "turn_limit",
            "ask for one step at a time",
        )

    async def _resume(self, request: TurnRequest, progress: TurnProgress) -> Answer | None:
        """Replay the turn up to the crash: calls that have a result are not run again."""
        joined = {message.message_id: message.text for message in request.joined}
        for row in request.rows:
            if isinstance(row, JoinRow):
                progress.messages.append(joined[row.message_id])
                continue
            progress.usage += row.reply.usage
            if (ended := await self._act(request, progress, row.reply)) is not None:
                return ended
        if request.rows:
            await self._join(progress)
        return None

    async def _join(self, progress: TurnProgress, *, after: ModelReply | None = None) -> bool:
        """Add messages that came meanwhile; False without any. `after` is a reply that would end the turn."""
        joining = self._joining(after is not None)
        if not joining:
            return False
        if after is not None:
            self._journal.add(ReplyRow(after))
            progress.replied(after, 0)
        for message in joining:
            self._journal.add(JoinRow(message.message_id))
            progress.messages.append(message.text)
        await self._journal.flush()
        return True

    async def _ask(self, request: TurnRequest, progress: TurnProgress) -> ModelReply:
        await self._journal.before_asking()
        await asyncio.sleep(0)  # a stopping host cuts the turn off here, between two calls
        model_request = ModelRequest(
            request.system,
            tuple(progress.messages),
            self._offered(progress.messages),
            device_context=request.device_context,
            dynamic_context=request.dynamic_context,
            task=request.task,
            asked_by=AskedBy(person_behind(request.person_id), request.channel, request.chat_id),
        )
        reply = await self._asking.ask(model_request, older=len(request.history), deadline=self._deadline)
        progress.usage += reply.usage
        return reply

    async def _act(self, request: TurnRequest, progress: TurnProgress, reply: ModelReply) -> Answer | None:
        """Run the calls of a reply in order; returns an answer when the turn cannot go on."""
        calls = reply.calls[: self._limits.calls_a_reply]
        progress.replied(reply, len(calls))
        for index, call in enumerate(calls):
            key = EffectKey(self._journal.turn_id, progress.iterations - 1, index)
            effect = self._tools.effect_of(call.name)
            if (repeated := progress.repeats.answer_to(call)) is not None:
                progress.messages.append(ToolReturn(call.call_id, call.name, repeated.content))
                self._put(repeated_step(call))
                continue
            result = self._journal.known(key)
            if result is None:
                if self._calls.stopped:
                    raise TurnCancelled()
                if asyncio.get_running_loop().time() >= self._deadline:
                    return self._ended(
                        progress,
                        f"the turn took longer than {self._limits.turn_s:g} s and was ended before {call.name}",
                        "turn_limit",
                        "ask for one step at a time",
                    )
                result = await self._call(request, progress, reply, call, key, effect)
            progress.returned(call, effect, result)
            if result == outcome_unknown(call):
                text = with_record(unknown_text(call), progress.actions[:-1])
                return self._finished(progress, text, OUTCOME_UNKNOWN, result.next_step)
            if result.error_code == INTERNAL:
                return self._broken(progress)
            if call.name == DEPLOY_TOOL and progress.failed_deploys >= self._limits.deploy_tries:
                return self._deploys_failed(progress, result)
        return None

    async def _call(
        self,
        request: TurnRequest,
        progress: TurnProgress,
        reply: ModelReply,
        call: ToolCall,
        key: EffectKey,
        effect: Effect,
    ) -> ToolResult:
        if call.name == DEPLOY_TOOL:
            attempt = progress.failed_deploys + 1
            author = reply.model or self._model.name
            step = code_step(author, reply, call, progress.usage, attempt, self._limits.deploy_tries)
            if step is not None:
                self._put(step)
        self._put(ToolRun(call.name, "started"))
        began = asyncio.get_running_loop().time()

        async def run(begin: Begin) -> ToolResult:
            context = ToolContext(
                request.person_id,
                self._put,
                request.device,
                request.channel,
                request.chat_id,
                foreign=progress.tainted_s is not None and not (reply.literal and request.own),
                begin=begin,
                said=lambda: _user_words(progress.messages[len(request.history) :]),
                takes_files=request.channel in FILE_CHANNELS and request.task != "subagent",
            )
            conversation = request.conversation or conversation_of(request.channel, request.chat_id)
            turn_id = request.part_of or self._journal.turn_id
            ahead = self._journal.carried
            with made_by(turn_id, request.person_id, conversation, ahead=ahead), asking_turn(turn_id):
                return await self._tools.call(call.name, call.arguments, context)

        result = await self._journal.call(key, call, effect, lambda begin: self._calls.run(effect, begin, run))
        took_ms = (asyncio.get_running_loop().time() - began) * 1000
        self._put(ToolRun(call.name, "done" if result.ok else "failed", result.evidence))
        step = call_step(call, result, took_ms)
        if step is not None:
            self._put(step)
        return result

    def _answer(self, reply: ModelReply, progress: TurnProgress) -> Answer:
        if not reply.text.strip():
            return self._ended(
                progress,
                f"{reply.model or self._model.name} answered nothing",
                "model_error",
                "ask again, or choose another model with MICROCLAW_MODEL",
            )
        code, next_step = reply.failed_code, reply.next_step
        if code is None and progress.failure is not None:
            code, next_step = progress.failure.error_code, progress.failure.next_step
        if reply.from_results:
            text = reply.text.strip() + proof_note(reply.text, progress.evidence, progress.actions)
            return replace(self._finished(progress, text, code, next_step), question=reply.question)
        words = f"{reply.text.rstrip()} {_CUT}" if reply.cut else reply.text
        text = (with_record if reply.literal else answer_text)(words, progress.actions)
        return self._finished(progress, text, code, next_step)

    def _deploys_failed(self, progress: TurnProgress, result: ToolResult) -> Answer:
        failure = json.loads(result.content)
        others = [action for action in progress.actions if action.tool != DEPLOY_TOOL]
        last = without_fences(failure["message"])
        text = f"no program passed in {self._limits.deploy_tries} tries; the last one: {last}"
        return self._finished(
            progress,
            with_record(text, others),
            result.error_code or "build_error",
            result.next_step or "use other words, or write the program yourself: microclaw run FILE.c",
        )

    def _broken(self, progress: TurnProgress) -> Answer:
        return self._ended(progress, "something went wrong inside the host", INTERNAL, "see the host's log")

    def _ended(self, progress: TurnProgress, text: str, code: str | None, next_step: str | None) -> Answer:
        """A turn that broke: why, and what it had done until then."""
        return self._finished(progress, with_record(text, progress.actions), code, next_step)

    def _finished(self, progress: TurnProgress, text: str, code: str | None, next_step: str | None) -> Answer:
        return Answer(
            text,
            tuple(progress.actions),
            tuple(progress.evidence),
            progress.usage,
            code,
            next_step,
            tainted_s=progress.tainted_s,
            files=tuple(progress.files),
        )


def _user_words(messages: Sequence[Message]) -> str:
    """The person's own words."""
    return "\n".join(message.text for message in messages if isinstance(message, UserText))
