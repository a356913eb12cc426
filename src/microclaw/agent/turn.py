"""One turn: ask the model, run its tool calls, until it answers or a limit ends it. Keeps no history, opens nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.acts import (
    DEPLOY_TOOL,
    NOTHING,
    action_of,
    call_step,
    code_step,
    draft_step,
    model_step,
    proof_note,
    repeated,
    shown_call,
    with_record,
)
from microclaw.agent.asking import TurnLimits, ask
from microclaw.agent.context import Prompt
from microclaw.agent.history import Window, tainted_from
from microclaw.agent.offer import offered
from microclaw.agent.replies import NO_TRY_LEFT, answer_text, call_instead_of_text, no_tool_caller, untaken
from microclaw.agent.toolbox import INTERNAL, EndedError, Toolbox
from microclaw.agent.turn_journal import (
    OLD_ORDER,
    OUTCOME_UNKNOWN,
    ReplyRow,
    TurnCancelled,
    TurnJournal,
    old_order,
    outcome_unknown,
)
from microclaw.apps.change_log import SCHEDULED, Maker, conversation_of, made_by
from microclaw.auth.approvals import ApprovalOutcome, Approvals, PendingApproval
from microclaw.auth.gate import Effect
from microclaw.auth.people import person_behind
from microclaw.config.settings import ModelTask
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
    FILE_CHANNELS,
    Action,
    Answer,
    ApprovalSettled,
    Evidence,
    Inbound,
    ResultFile,
    Step,
    ToolRun,
    TurnEvent,
    Usage,
)
from microclaw.models.protocol import (
    AskedBy,
    AssistantReply,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolReturn,
    UserText,
)
from microclaw.operations.tool import Begin, ToolContext, ToolResult
from microclaw.store.journal import EffectKey
from microclaw.text import without_fences

_log = logging.getLogger(__name__)

_UNKNOWN: Final = (
    "The host stopped while {call} was running, so its outcome is unknown: it may have been done or not. "
    "I did not do it again. Shall I?"
)
_SAY_AGAIN: Final = "the model gave wrong arguments; say it in other words"
_BROKEN: Final = ("something went wrong inside the host", INTERNAL, "see the host's log")
_BROKEN_PROGRAM: Final = frozenset({BuildError.code, TrialFailed.code})
_REFUSED_PROGRAM: Final = _BROKEN_PROGRAM | {ExpectationNotMet.code}
_LAST_WORD: Final = (
    "No more calls are possible now. Say what was done and what is missing, and what the person can do about it."
)


class TurnRequest(Struct, frozen=True):
    """A message and its context when its turn begins. `message` is how the model gets `inbound`.

    `resumes`: a crash cut this turn off. `at_s` is when the message came; `tainted_s` when untrusted text in it, or in
    `history`, was read. `part_of`: the turn or request that changes belong to, if not this turn; `conversation`: the
    conversation, if not this chat.
    """

    inbound: Inbound
    message: UserText
    prompt: Prompt
    history: tuple[Message, ...] = ()
    resumes: bool = False
    task: ModelTask = "chat"
    at_s: int = 0
    tainted_s: int | None = None
    part_of: str | None = None
    conversation: str | None = None


@dataclass(eq=False, slots=True)
class Turn:
    """One turn and what it has collected so far. `await turn.run(put)`, once, always returns an answer; it raises only
    on cancellation. `window` is None where no model reads a prompt. Questions in `approvals` that are this turn's are
    put to its listener."""

    request: TurnRequest
    journal: TurnJournal
    model: Model
    tools: Toolbox
    limits: TurnLimits
    window: Window | None
    approvals: Approvals | None = None
    _put: Callable[[TurnEvent], None] = field(default=lambda _event: None, init=False)
    _deadline: float = field(default=0.0, init=False)
    _asked_at: dict[str, float] = field(default_factory=dict, init=False)  # approvals that wait
    _actions: list[Action] = field(default_factory=list, init=False)
    _results: list[ToolResult] = field(default_factory=list, init=False)  # of the actions
    _evidence: list[Evidence] = field(default_factory=list, init=False)  # of those that are done, as are the files
    _files: list[ResultFile] = field(default_factory=list, init=False)
    _last_act: ToolResult | None = field(default=None, init=False)
    _refused: ToolResult | None = field(default=None, init=False)  # the last program that was not deployed
    _failed_deploys: int = field(default=0, init=False)  # of broken programs
    _usage: Usage = field(default=Usage(), init=False)
    _iterations: int = field(default=0, init=False)
    _has_written_call: bool = field(default=False, init=False)  # as text
    _stand_in: str = field(default="", init=False)  # the stand-in model that was announced last
    _messages: list[Message] = field(init=False)  # which go to the model next
    _tainted_s: int | None = field(init=False)  # when untrusted text in the messages was read
    _sources: list[str] = field(default_factory=list, init=False)  # the calls that read it

    @property
    def tokens(self) -> int:
        """Used by now."""
        return self._usage.input_tokens + self._usage.output_tokens

    def stop(self) -> None:
        """Start nothing more. Waiting for the model ends at once, and so does a call that has not begun to change
        anything, its compiler included; a change that has begun is finished. What waits for a yes is withdrawn."""
        self.journal.stop()
        for approval_id in tuple(self._asked_at):
            assert self.approvals is not None  # they told of it
            self.approvals.withdraw(approval_id)

    async def run(self, put: Callable[[TurnEvent], None]) -> Answer:
        """Ask the model and run its calls until it answers. The deadline is checked before each request and call; the
        time that a person takes to decide does not count."""
        request = self.request
        self._put = put
        self._tainted_s = request.tainted_s
        self._messages = [*request.history, replace(request.message, note=request.prompt.note)]
        self._deadline = asyncio.get_running_loop().time() + self.limits.turn_s
        if self.approvals is None:
            leave = None
        else:
            leave = self.approvals.listen(self._hear)
        try:
            for reply in await self.journal.read_back() if request.resumes else ():
                self._usage += reply.usage
                await self._act(reply)  # calls that have a result are not run again
            while (spent := self._spent()) is None:
                reply = await self._ask()
                if not reply.calls:
                    if self._sends_back(reply):
                        continue
                    return self._answer(reply)
                self.journal.add(ReplyRow(reply))
                await self._act(reply)
            return await self._last_word(spent)
        except MicroclawError as exc:
            end = exc
        except Exception:
            # A fault of ours must not hide what was done before it.
            _log.exception("a turn failed (%s/%s)", request.inbound.channel, request.inbound.chat_id)
            end = EndedError(*_BROKEN)
        finally:
            if leave is not None:
                leave()
            self._messages.clear()
        return self._finished(self._ended_text(end), end.code, end.next_step)

    def _spent(self) -> EndedError | None:
        """Return the reason why the model gets no more calls, or None as long as it gets them."""
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
        if self.window is None:  # no model reads a prompt
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
        return self._finished(with_record(f"{words}\n\n{end.message}", self._actions), end.code, end.next_step)

    def _ended_text(self, end: MicroclawError) -> str:
        """Return an error's text with the list of acts; if a fault of ours keeps the list from being written, without
        it: the answer has the actions all the same."""
        try:
            return with_record(end.message, self._actions)
        except Exception:
            _log.exception("the list of acts of turn %s cannot be written", self.journal.turn_id)
            return end.message

    def _hear(self, news: PendingApproval | ApprovalOutcome) -> None:
        pending = news if isinstance(news, PendingApproval) else news.pending
        if pending.turn != self.journal.turn_id or self.approvals is None:
            return  # a schedule's, or an act of the API: who listens to this turn did not ask for it
        now = asyncio.get_running_loop().time()
        if isinstance(news, PendingApproval):
            self._asked_at[pending.approval_id] = now
            self._put(self.approvals.question(pending, actions=tuple(self._actions)))
        elif (asked_at := self._asked_at.pop(pending.approval_id, None)) is not None:
            self._deadline += now - asked_at
            self._put(ApprovalSettled(pending.approval_id, news.outcome, news.by))

    async def _ask(self, *, is_last: bool = False) -> ModelReply:
        """Ask for the next reply; the last one may call no tool."""
        if self.limits.tokens is not None and self.tokens >= self.limits.tokens:
            text = f"it used {self.tokens:,} tokens, {self.limits.tokens:,} are allowed"
            raise BudgetSpent(text, next_step="give it a smaller task")
        if self.journal.stopped:
            raise TurnCancelled()
        if not self.journal.is_literal:  # who answered by rule does it again after a crash
            await self.journal.flush()
        await asyncio.sleep(0)  # a stopping host cuts the turn off here, between two calls
        inbound = self.request.inbound
        prompt = self.request.prompt
        tools = () if self.window is None else offered(self.tools.tools, self._messages)
        model_request = ModelRequest(
            prompt.system,
            tuple(self._messages),
            tools,
            may_call=not is_last,
            max_tokens=self.limits.answer_tokens,
            device_context=prompt.devices,
            dynamic_context=prompt.dynamic,
            task=self.request.task,
            asked_by=AskedBy(person_behind(inbound.person_id), inbound.channel, inbound.chat_id),
        )
        older = len(self.request.history)
        deadline = self._deadline
        began = asyncio.get_running_loop().time()
        asking = ask(self.model, model_request, self._put, self.limits, self.window, older, deadline)
        try:
            reply = await self.journal.until_stopped(asking, deadline)
        except TimeoutError as exc:
            raise ModelError(
                f"{self.model.name} did not answer before the turn's {self.limits.turn_s:g} s were over",
                next_step="ask again; if it stays slow, choose another model with MICROCLAW_MODEL",
            ) from exc
        if reply.instead and reply.model != self._stand_in:  # said once, not with each of its replies
            self._put(Step("model", reply.instead))
        self._stand_in = reply.model if reply.instead else ""
        took_ms = (asyncio.get_running_loop().time() - began) * 1000
        step = model_step(reply.model or self.model.name, reply, took_ms)
        if step:
            self._put(step)
        self._usage += reply.usage
        return replace(reply, calls=tuple([self.tools.with_own_name(call) for call in reply.calls]))

    def _sends_back(self, reply: ModelReply) -> bool:
        """Tell a model once to call the tool that it wrote as text; True if it is asked again.

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
        """Run the calls of a reply in order. Raises MicroclawError when the turn cannot go on."""
        self._messages.append(AssistantReply(reply.text, reply.calls, provider_parts=reply.provider_parts))
        self._iterations += 1
        for index, call in enumerate(reply.calls):
            not_run = untaken(reply, index, self.limits.calls_a_reply)
            if not_run is None and call.name == DEPLOY_TOOL and self._has_no_try_left():
                not_run = NO_TRY_LEFT
            if not_run is not None:
                self._messages.append(ToolReturn(call.call_id, call.name, not_run, failed=True))
                self._put(Step("tool", f"{shown_call(call)}: {json.loads(not_run)['message']}"))
                continue
            key = EffectKey(self.journal.turn_id, self._iterations - 1, index)
            known = repeated(call, self._actions, self._results)
            if known is not None:
                self._messages.append(ToolReturn(call.call_id, call.name, known))
                self._put(Step("tool", f"{shown_call(call)}: done already in this turn, not done again"))
                continue
            effect = self.tools.effect_of(call.name)
            began = asyncio.get_running_loop().time()
            old_result = self.journal.results.get(key)
            if old_result is None:
                result = await self._call(reply, call, key, effect)
            else:
                result = old_result
            self._take(call, effect, result)
            if old_result is None:
                self._report(call, result, (asyncio.get_running_loop().time() - began) * 1000)
            if result.error_code == OUTCOME_UNKNOWN and result == outcome_unknown(call):
                raise EndedError(_UNKNOWN.format(call=shown_call(call)), OUTCOME_UNKNOWN, result.next_step)
            if result.error_code == OLD_ORDER:
                raise old_order(self.journal.age_s)
            if result.error_code == INTERNAL:
                raise EndedError(*_BROKEN)

    def _take(self, call: ToolCall, effect: Effect, result: ToolResult) -> None:
        """Add what came of a call to what the turn has collected."""
        self._messages.append(ToolReturn(call.call_id, call.name, result.content, failed=not result.ok))
        self._actions.append(action_of(call, effect, result))
        self._results.append(result)
        if effect is not Effect.READ:
            self._last_act = result
        if result.ok:
            self._evidence += result.evidence
            self._files += result.files
        if result.foreign:
            self._tainted_s = self.request.at_s  # it counts as read when the message came
            self._sources.append(f"{call.name} {call.arguments}")
        if call.name == DEPLOY_TOOL and result.ok:
            self._refused = None
            self._failed_deploys = 0
        if call.name == DEPLOY_TOOL and result.error_code in _REFUSED_PROGRAM:
            self._refused = self._last_act = replace(result, next_step=draft_step(call))
            if result.error_code in _BROKEN_PROGRAM:
                self._failed_deploys += 1

    async def _call(self, reply: ModelReply, call: ToolCall, key: EffectKey, effect: Effect) -> ToolResult:
        """Run a call. Raises MicroclawError when the turn may not begin it any more."""
        request = self.request
        inbound = self.request.inbound
        if self.journal.stopped:
            raise TurnCancelled()
        if asyncio.get_running_loop().time() >= self._deadline:
            text = f"the turn took longer than {self.limits.turn_s:g} s and was ended before {call.name}"
            raise EndedError(text, "turn_limit", "ask for one step at a time")
        if call.name == DEPLOY_TOOL:
            author = reply.model or self.model.name
            attempt = self._failed_deploys + 1
            step = code_step(author, reply, call, self._usage, attempt, self.limits.deploy_tries)
            if step:
                self._put(step)
        self._put(ToolRun(call.name, "started"))
        is_own = tainted_from(inbound, request.at_s) is None

        async def run(begin: Begin) -> ToolResult:
            turn_id = request.part_of or self.journal.turn_id
            of_call = (inbound.person_id, self._put, inbound.device, inbound.channel, inbound.chat_id)
            foreign = self._tainted_s is not None and not (reply.literal and is_own)
            files = inbound.channel in FILE_CHANNELS and request.task != "subagent"
            said = request.message.text
            context = ToolContext(*of_call, foreign=foreign, begin=begin, said=said, takes_files=files, turn=turn_id)
            if request.tainted_s is None:
                context = replace(context, schedule=inbound.schedule, sources=tuple(sorted(set(self._sources))))
            conversation = request.conversation or conversation_of(inbound.channel, inbound.chat_id)
            conversation = f"{SCHEDULED if inbound.origin in ('schedule', 'heartbeat') else ''}{conversation}"
            carried = self.journal.carried
            with made_by(Maker(turn_id, inbound.person_id, conversation, ahead=carried, is_tainted=foreign)):
                return await self.tools.call(call.name, call.arguments, context)

        return await self.journal.call(key, call, effect, run)

    def _report(self, call: ToolCall, result: ToolResult, took_ms: float) -> None:
        """Tell the listener how a call ended; after it is noted, so that a fault here hides no act."""
        self._put(ToolRun(call.name, "done" if result.ok else "failed", result.evidence))
        step = call_step(call, result, took_ms)
        if step is not None:
            self._put(step)

    def _answer(self, reply: ModelReply) -> Answer:
        words = answer_text(reply, reply.model or self.model.name)
        code = reply.failed_code
        next_step = reply.next_step
        last = self._last_act
        if code is None and last is not None and not last.ok and not self._asks_back(reply):
            code = last.error_code
            next_step = last.person_step
            if code == ToolRetry.code and not reply.literal:
                next_step = _SAY_AGAIN
        if reply.from_results:
            text = reply.text.strip() + proof_note(reply.text, self._evidence, self._actions)
            return self._finished(text, code, next_step, reply.question)
        text = with_record(words, self._actions, "" if reply.literal else NOTHING)
        return self._finished(text, code, next_step)

    def _asks_back(self, reply: ModelReply) -> bool:
        """Return True if a model asks the person something after a refused act: that is an answer, and no failure."""
        acts = [action for action in self._actions if action.effect != Effect.READ]
        is_refused = bool(acts) and acts[-1].outcome == "refused"
        is_by_rule = reply.from_results
        return is_refused and not is_by_rule and reply.text.rstrip().endswith(("?", "？"))

    def _finished(self, text: str, code: str | None, next_step: str | None, question: str | None = None) -> Answer:
        told = (text, tuple(self._actions), tuple(self._evidence), self._usage, code, next_step)
        return Answer(*told, tainted_s=self._tainted_s, question=question, files=tuple(self._files))
