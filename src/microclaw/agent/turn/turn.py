"""One turn: asks the model and runs its tool calls, until it answers or a limit ends it. It keeps no history."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from msgspec.structs import replace

from microclaw.agent.models.protocol import (
    AssistantReply,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolReturn,
    ToolSpec,
    UserText,
)
from microclaw.agent.turn.action_record import (
    DEPLOY_TOOL,
    NOTHING,
    action_of,
    asks_back,
    call_step,
    code_step,
    draft_step,
    message_of,
    model_step,
    newest_screens,
    proof_note,
    repetition_answer,
    shown_call,
    with_record,
)
from microclaw.agent.turn.history import ContextWindow
from microclaw.agent.turn.model_requests import TurnLimits, ask
from microclaw.agent.turn.replies import NO_TRY_LEFT, answer_text, call_instead_of_text, no_tool_caller, refusal_of_call
from microclaw.agent.turn.tool_selection import select_tools
from microclaw.agent.turn.toolbox import INTERNAL, EndedError, Toolbox
from microclaw.agent.turn.turn_journal import (
    OLD_ORDER,
    OUTCOME_UNKNOWN,
    ReplyRow,
    TurnCancelled,
    TurnJournal,
    old_order,
    outcome_unknown,
)
from microclaw.agent.turn.turn_request import TurnRequest
from microclaw.errors import (
    BudgetSpent,
    BuildError,
    ExpectationNotMet,
    MicroclawError,
    ModelError,
    ToolRetry,
    TrialFailed,
)
from microclaw.events import (
    Action,
    Answer,
    ApprovalSettled,
    Evidence,
    ResultFile,
    Step,
    ToolRun,
    TurnEvent,
    Usage,
)
from microclaw.host.auth.approvals import Approvals
from microclaw.host.auth.approved_act import ApprovalOutcome, PendingApproval
from microclaw.host.operations.operation import Effect
from microclaw.host.operations.tool import Begin, ToolContext, ToolResult
from microclaw.host.store.journal import EffectKey
from microclaw.programs.changes.change_log import change_origin
from microclaw.text import without_fences

_log = logging.getLogger(__name__)

_UNKNOWN: Final = (
    "The host stopped while {call} was running, so its outcome is unknown: it may have been done or not. "
    "I did not do it again. Shall I?"
)
_SAY_AGAIN: Final = "the model gave wrong arguments; say it in other words"
_BROKEN_PROGRAM: Final = frozenset({BuildError.code, TrialFailed.code})
_REFUSED_PROGRAM: Final = _BROKEN_PROGRAM | {ExpectationNotMet.code}
_LAST_WORD: Final = (
    "No more calls are possible now. Say what was done and what is missing, and what the person can do about it."
)


@dataclass(eq=False, slots=True)
class Turn:
    """One turn with its results so far. `await turn.run(put)`, once, returns an answer; only cancellation raises.

    `window` is None if no model reads a prompt. The turn's own questions in `approvals` are events for its listener.
    """

    request: TurnRequest
    journal: TurnJournal
    model: Model
    tools: Toolbox
    limits: TurnLimits
    window: ContextWindow | None
    approvals: Approvals | None = None
    _put: Callable[[TurnEvent], None] = field(default=lambda _event: None, init=False)
    _deadline: float = field(default=0.0, init=False)
    # When each waiting approval was asked for, in the event loop's time.
    _asked_at: dict[str, float] = field(default_factory=dict, init=False)
    # Each action has one result, at the same index.
    _actions: list[Action] = field(default_factory=list, init=False)
    _results: list[ToolResult] = field(default_factory=list, init=False)
    # Evidence and files come only from actions that are done.
    _evidence: list[Evidence] = field(default_factory=list, init=False)
    _files: list[ResultFile] = field(default_factory=list, init=False)
    _last_act: ToolResult | None = field(default=None, init=False)
    # The last program that was not deployed.
    _refused: ToolResult | None = field(default=None, init=False)
    # Only broken programs count, not programs that miss an expectation.
    _failed_deploys: int = field(default=0, init=False)
    _usage: Usage = field(default=Usage(), init=False)
    _iterations: int = field(default=0, init=False)
    # The model has written a call as text before.
    _has_written_call: bool = field(default=False, init=False)
    # The stand-in model that was announced last.
    _stand_in: str = field(default="", init=False)
    # The messages of the next request to the model.
    _messages: list[Message] = field(init=False)
    # When untrusted text in the messages was read, and the calls that read it.
    _tainted_s: int | None = field(init=False)
    _sources: list[str] = field(default_factory=list, init=False)

    @property
    def tokens(self) -> int:
        """The tokens that the turn has used so far."""
        return self._usage.input_tokens + self._usage.output_tokens

    def stop(self) -> None:
        """Start nothing more and withdraw the questions that wait for approval.

        Waiting for the model ends at once, and so does a call that has changed nothing yet, its compiler included. A
        change that has begun is finished.
        """
        self.journal.stop()
        for approval_id in tuple(self._asked_at):
            # The question came from them.
            assert self.approvals is not None
            self.approvals.withdraw(approval_id)

    async def run(self, put: Callable[[TurnEvent], None]) -> Answer:
        """Ask the model and run its calls until it answers.

        The deadline is checked before each request and call. The time that a person takes to decide does not count.
        """
        request = self.request
        self._put = put
        self._tainted_s = request.tainted_s
        self._messages = [*request.history, replace(request.message, note=request.prompt.note)]
        self._deadline = asyncio.get_running_loop().time() + self.limits.turn_s
        leave = None
        if self.approvals is not None:
            leave = self.approvals.listen(self._hear)
        try:
            if request.resumes:
                await self._repeat_replies()
            return await self._work()
        except MicroclawError as exc:
            end = exc
        except Exception:
            # A fault of ours must not hide what was done before it.
            _log.exception("a turn failed (%s/%s)", request.inbound.channel, request.inbound.chat_id)
            end = _host_fault()
        finally:
            if leave is not None:
                leave()
            self._messages.clear()
        return self._build_answer(self._ended_text(end), end.code, end.next_step)

    async def _repeat_replies(self) -> None:
        """Run the replies from before a crash again; their calls that have a result are not run."""
        for reply in await self.journal.read_back():
            self._usage += reply.usage
            await self._act(reply)

    async def _work(self) -> Answer:
        while (limit_error := self._check_limits()) is None:
            reply = await self._ask()
            if reply.calls:
                self.journal.add(ReplyRow(reply))
                await self._act(reply)
            elif not self._sends_back(reply):
                return self._answer(reply)
        return await self._last_word(limit_error)

    def _check_limits(self) -> EndedError | None:
        """Return the reason why the model gets no more calls, or None if it still gets them."""
        refused = self._refused
        if refused is not None and self._has_no_try_left():
            reason = without_fences(json.loads(refused.content)["message"])
            text = f"no program passed in {self._failed_deploys} tries; the last one: {reason}"
            return EndedError(text, refused.error_code or INTERNAL, refused.next_step)
        if self._iterations >= self.limits.iterations:
            text = f"I stopped after {self._iterations} rounds of tool calls without coming to an end"
            next_step = "ask for one step at a time" if refused is None else refused.next_step
            return EndedError(text, "turn_limit", next_step)
        return None

    def _has_no_try_left(self) -> bool:
        return self._failed_deploys >= self.limits.deploy_tries

    async def _last_word(self, end: EndedError) -> Answer:
        """Ask the model once more, for words only. Return them, with the reason of the end and the list of acts.

        Raises `end` if it fails or calls again, TurnCancelled if the person stopped the turn.
        """
        # Without a window no model reads a prompt.
        if self.window is None:
            raise end
        self._messages.append(UserText(_LAST_WORD))
        try:
            reply = await self._ask(is_last=True)
        except (ModelError, BudgetSpent):
            raise end from None
        words = reply.text.strip()
        calls_again = bool(reply.calls) or self._written_call(reply) is not None
        if calls_again or not words:
            raise end
        return self._build_answer(with_record(f"{words}\n\n{end.message}", self._actions), end.code, end.next_step)

    def _ended_text(self, end: MicroclawError) -> str:
        """Return an error's text with the list of acts.

        If a fault of the host prevents the list, the text has none; the answer has the actions anyway.
        """
        try:
            return with_record(end.message, self._actions)
        except Exception:
            _log.exception("the list of acts of turn %s cannot be written", self.journal.turn_id)
            return end.message

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        """Report a question of this turn, or its end, to the listener; the deadline moves by the time it waited."""
        pending = news if isinstance(news, PendingApproval) else news.pending
        # The listener of this turn did not cause the questions of schedules and of the API.
        if pending.turn != self.journal.turn_id or self.approvals is None:
            return
        now = asyncio.get_running_loop().time()
        if isinstance(news, PendingApproval):
            self._asked_at[pending.approval_id] = now
            self._put(self.approvals.question(pending, actions=tuple(self._actions)))
            return
        asked_at = self._asked_at.pop(pending.approval_id, None)
        if asked_at is not None:
            self._deadline += now - asked_at
            self._put(ApprovalSettled(pending.approval_id, news.outcome, news.by))

    async def _ask(self, *, is_last: bool = False) -> ModelReply:
        """Ask for the next reply; the last one may call no tool."""
        if self.limits.tokens is not None and self.tokens >= self.limits.tokens:
            text = f"it used {self.tokens:,} tokens, {self.limits.tokens:,} are allowed"
            raise BudgetSpent(text, next_step="give it a smaller task")
        if self.journal.stopped:
            raise TurnCancelled()
        # A literal reply is the same when it is asked for again after a crash.
        if not self.journal.is_literal:
            await self.journal.flush()
        # A stopping host cancels the turn here, between two calls.
        await asyncio.sleep(0)
        deadline = self._deadline
        began = asyncio.get_running_loop().time()
        asking = ask(
            self.model,
            self._build_request(may_call=not is_last),
            self._put,
            limits=self.limits,
            window=self.window,
            older=len(self.request.history),
            until=deadline,
        )
        try:
            reply = await self.journal.until_stopped(asking, deadline)
        except TimeoutError as exc:
            raise ModelError(
                f"{self.model.name} did not answer before the turn's {self.limits.turn_s:g} s were over",
                next_step="ask again; if it stays slow, choose another model with MICROCLAW_MODEL",
            ) from exc
        # A stand-in is announced once, not with each of its replies.
        if reply.instead and reply.model != self._stand_in:
            self._put(Step("model", reply.instead))
        self._stand_in = reply.model if reply.instead else ""
        took_ms = (asyncio.get_running_loop().time() - began) * 1000
        step = model_step(reply.model or self.model.name, reply, took_ms)
        if step:
            self._put(step)
        self._usage += reply.usage
        return replace(reply, calls=tuple([self.tools.with_own_name(call) for call in reply.calls]))

    def _build_request(self, *, may_call: bool) -> ModelRequest:
        tools: tuple[ToolSpec, ...] = ()
        if self.window is not None:
            tools = select_tools(self.tools.tools, self._messages)
        most_tokens = self.limits.answer_tokens
        return self.request.for_model(self._messages, tools, may_call=may_call, max_tokens=most_tokens)

    def _sends_back(self, reply: ModelReply) -> bool:
        """Ask a model once to call the tool that it wrote as text. Return True if it is to be asked again.

        Raises EndedError the second time.
        """
        if self.window is None or reply.literal:
            return False
        words = self._written_call(reply)
        if words is None:
            return False
        if self._has_written_call:
            raise no_tool_caller(reply.model or self.model.name)
        self._has_written_call = True
        self._messages += [AssistantReply(reply.text), words]
        return True

    def _written_call(self, reply: ModelReply) -> UserText | None:
        return call_instead_of_text(reply, [tool.name for tool in self.tools.tools])

    async def _act(self, reply: ModelReply) -> None:
        """Run the calls of a reply in order. Raises MicroclawError if the turn cannot continue."""
        self._messages.append(AssistantReply(reply.text, reply.calls, provider_parts=reply.provider_parts))
        self._iterations += 1
        for index, call in enumerate(reply.calls):
            not_run = refusal_of_call(reply, index, self.limits.calls_a_reply)
            if not_run is None and call.name == DEPLOY_TOOL and self._has_no_try_left():
                not_run = NO_TRY_LEFT
            if not_run is not None:
                self._messages.append(ToolReturn(call.call_id, call.name, not_run, failed=True))
                self._put(Step("tool", f"{shown_call(call)}: {json.loads(not_run)['message']}"))
                continue
            earlier_result = repetition_answer(call, self._actions, self._results)
            if earlier_result is not None:
                self._messages.append(ToolReturn(call.call_id, call.name, earlier_result))
                self._put(Step("tool", f"{shown_call(call)}: done already in this turn, not done again"))
                continue
            key = EffectKey(self.journal.turn_id, self._iterations - 1, index)
            result = await self._result_of(reply, call, key)
            if result.error_code == OUTCOME_UNKNOWN and result == outcome_unknown(call):
                raise EndedError(_UNKNOWN.format(call=shown_call(call)), OUTCOME_UNKNOWN, result.next_step)
            if result.error_code == OLD_ORDER:
                raise old_order(self.journal.age_s)
            if result.error_code == INTERNAL:
                raise _host_fault()

    async def _result_of(self, reply: ModelReply, call: ToolCall, key: EffectKey) -> ToolResult:
        """Return the result of a call and note it; a call with a result from before a crash is not run again."""
        effect = self.tools.effect_of(call.name)
        old_result = self.journal.results.get(key)
        if old_result is not None:
            self._note_result(call, effect, old_result)
            return old_result
        began = asyncio.get_running_loop().time()
        result = await self._call(reply, call, key, effect)
        self._note_result(call, effect, result)
        self._report(call, result, (asyncio.get_running_loop().time() - began) * 1000)
        return result

    def _note_result(self, call: ToolCall, effect: Effect, result: ToolResult) -> None:
        """Add a call and its result to the record of the turn."""
        self._messages.append(message_of(call, result))
        self._actions.append(action_of(call, effect, result))
        self._results.append(result)
        if effect is not Effect.READ:
            self._last_act = result
        if result.ok:
            self._evidence += result.evidence
            self._files += result.files
        if result.foreign:
            # The text counts as read when the message came.
            self._tainted_s = self.request.at_s
            self._sources.append(f"{call.name} {call.arguments}")
        if call.name == DEPLOY_TOOL and result.ok:
            self._refused = None
            self._failed_deploys = 0
        if call.name == DEPLOY_TOOL and result.error_code in _REFUSED_PROGRAM:
            self._refused = replace(result, next_step=draft_step(call))
            self._last_act = self._refused
            if result.error_code in _BROKEN_PROGRAM:
                self._failed_deploys += 1

    async def _call(self, reply: ModelReply, call: ToolCall, key: EffectKey, effect: Effect) -> ToolResult:
        """Run a call. Raises MicroclawError if the turn may not begin it any more."""
        request = self.request
        if self.journal.stopped:
            raise TurnCancelled()
        if asyncio.get_running_loop().time() >= self._deadline:
            text = f"the turn took longer than {self.limits.turn_s:g} s and was ended before {call.name}"
            raise EndedError(text, "turn_limit", "ask for one step at a time")
        if call.name == DEPLOY_TOOL:
            author = reply.model or self.model.name
            attempt = self._failed_deploys + 1
            tries = self.limits.deploy_tries
            step = code_step(author, reply, call, self._usage, attempt=attempt, tries=tries)
            if step:
                self._put(step)
        self._put(ToolRun(call.name, "started"))

        async def run(begin: Begin) -> ToolResult:
            context = self._call_context(reply, begin)
            origin = request.change_origin(context, ahead=self.journal.take_waiting_rows)
            with change_origin(origin):
                return await self.tools.call(call.name, call.arguments, context, by_rule=reply.literal)

        return await self.journal.call(key, call, effect, run)

    def _call_context(self, reply: ModelReply, begin: Begin) -> ToolContext:
        context = self.request.for_tools(
            report=self._put,
            begin=begin,
            turn_id=self.journal.turn_id,
            is_tainted=self._tainted_s is not None,
            is_literal=reply.literal,
        )
        if self.request.tainted_s is not None:
            return context
        sources = tuple(sorted(set(self._sources)))
        return replace(context, schedule=self.request.inbound.schedule, sources=sources)

    def _report(self, call: ToolCall, result: ToolResult, took_ms: float) -> None:
        """Send the end of a call to the listener; it is noted before, so that a fault here hides no act."""
        state: Literal["done", "failed"] = "done" if result.ok else "failed"
        self._put(ToolRun(call.name, state, result.evidence))
        step = call_step(call, result, took_ms)
        if step is not None:
            self._put(step)

    def _answer(self, reply: ModelReply) -> Answer:
        words = answer_text(reply, reply.model or self.model.name)
        code = reply.failed_code
        next_step = reply.next_step
        last = self._last_act
        failed_act = None if last is None or last.ok else last
        if code is None and failed_act is not None and not asks_back(reply, self._actions):
            code = failed_act.error_code
            next_step = failed_act.person_step
            if code == ToolRetry.code and not reply.literal:
                next_step = _SAY_AGAIN
        if reply.from_results:
            text = reply.text.strip() + proof_note(reply.text, self._evidence, self._actions)
            answer = self._build_answer(text, code, next_step)
            return replace(answer, question=reply.question, choices=reply.choices)
        empty_record = "" if reply.literal else NOTHING
        text = with_record(words, self._actions, empty_record)
        return self._build_answer(text, code, next_step)

    def _build_answer(self, text: str, code: str | None, next_step: str | None) -> Answer:
        return Answer(
            text,
            tuple(self._actions),
            tuple(self._evidence),
            self._usage,
            code,
            next_step,
            tainted_s=self._tainted_s,
            files=tuple(self._files),
            screens=newest_screens(self._results),
        )


def _host_fault() -> EndedError:
    return EndedError("something went wrong inside the host", INTERNAL, "see the host's log")
