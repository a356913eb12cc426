"""One turn: ask the model, run its tool calls, until it answers or a limit ends it. Keeps no history, opens nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field

from microclaw.agent.effects import EffectJournal, run_journaled
from microclaw.agent.events import Action, Answer
from microclaw.agent.narrate import call_step, code_step, model_steps, proof_note
from microclaw.agent.tries import DEPLOY_TOOL
from microclaw.bus.events import Evidence, Report
from microclaw.errors import MicroclawError, ModelError
from microclaw.models.protocol import (
    AssistantReply,
    Message,
    Model,
    ModelReply,
    ModelRequest,
    ToolCall,
    ToolReturn,
    Usage,
    UserText,
)
from microclaw.models.scene import Scene
from microclaw.policy.gate import Effect
from microclaw.store.journal import EffectKey
from microclaw.tools.tool import ToolContext, ToolResult
from microclaw.tools.toolbox import Toolbox

_STOPPED = "stopped before the next step, as nobody listens any more"
_MENDABLE = frozenset({"build_error", "trial_failed"})


class _Stopped(MicroclawError):
    code = "cancelled"


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """`deploy_tries` counts programs that fail their checks or their trial."""

    iterations: int = 10
    turn_s: float = 120.0
    calls_a_reply: int = 8
    deploy_tries: int = 3
    message_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """A message with all that is known when it comes in."""

    turn_id: str
    text: str
    principal: str
    device: str | None
    system: str
    scene: Scene
    history: tuple[Message, ...]


@dataclass(slots=True)
class _Progress:
    """What a turn has gathered so far."""

    messages: list[Message]
    actions: list[Action] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    usage: Usage = Usage()
    deploys: int = 0
    failed_deploys: int = 0
    failure: ToolResult | None = None  # of the latest call that was to change something


class Turn:
    """`await Turn(...).run(request)` always gives an answer; it raises only on cancellation."""

    def __init__(
        self,
        *,
        model: Model,
        tools: Toolbox,
        journal: EffectJournal,
        limits: TurnLimits,
        report: Report,
    ) -> None:
        self._model = model
        self._tools = tools
        self._journal = journal
        self._limits = limits
        self._report = report
        self._stopped = False
        self._asking: asyncio.Timeout | None = None

    def stop(self) -> None:
        """Start nothing more: a tool call that runs is finished, waiting for the model ends at once."""
        self._stopped = True
        if self._asking is not None and not self._asking.expired():
            self._asking.reschedule(0)

    async def run(self, request: TurnRequest) -> Answer:
        """Ask and act until the model answers; the deadline is checked before each request and each call."""
        progress = _Progress([*request.history, UserText(request.text)])
        deadline = asyncio.get_running_loop().time() + self._limits.turn_s
        try:
            for iteration in range(self._limits.iterations):
                reply = await self._ask(request, progress, deadline)
                if not reply.calls:
                    return self._answer(reply, progress)
                ended = await self._act(request, progress, reply, iteration, deadline)
                if ended is not None:
                    return ended
        except MicroclawError as exc:
            return self._ended(progress, exc.message, exc.code, exc.next_step)
        return self._ended(
            progress,
            f"I stopped after {self._limits.iterations} rounds of tool calls without coming to an end",
            "turn_limit",
            "ask for one step at a time",
        )

    async def _ask(self, request: TurnRequest, progress: _Progress, deadline: float) -> ModelReply:
        began = asyncio.get_running_loop().time()
        if self._stopped:
            raise _Stopped(_STOPPED)
        asked = ModelRequest(request.system, tuple(progress.messages), self._tools.specs, scene=request.scene)
        try:
            async with asyncio.timeout_at(deadline) as self._asking:
                reply = await self._model.respond(asked)
        except TimeoutError as exc:
            if self._stopped:
                raise _Stopped(_STOPPED) from exc
            raise ModelError(
                f"{self._model.name} did not answer before the turn's {self._limits.turn_s:g} s were over",
                next_step="ask again; if it stays slow, choose another model with MICROCLAW_MODEL",
            ) from exc
        finally:
            self._asking = None
        progress.usage = _sum(progress.usage, reply.usage)
        took_ms = (asyncio.get_running_loop().time() - began) * 1000
        for step in model_steps(self._model.name, reply, took_ms):
            self._report(step)
        return reply

    async def _act(
        self, request: TurnRequest, progress: _Progress, reply: ModelReply, iteration: int, deadline: float
    ) -> Answer | None:
        """Run a reply's calls in order; an answer when the turn cannot go on."""
        calls = reply.calls[: self._limits.calls_a_reply]
        progress.messages.append(AssistantReply(reply.text, calls))
        for index, call in enumerate(calls):
            if self._stopped:
                raise _Stopped(_STOPPED)
            if asyncio.get_running_loop().time() >= deadline:
                return self._ended(
                    progress,
                    f"the turn took longer than {self._limits.turn_s:g} s and was ended before {call.name}",
                    "turn_limit",
                    "ask for one step at a time",
                )
            result = await self._call(request, progress, reply, call, EffectKey(request.turn_id, iteration, index))
            progress.messages.append(ToolReturn(call.call_id, call.name, result.content, failed=not result.ok))
            if call.name == DEPLOY_TOOL and progress.failed_deploys >= self._limits.deploy_tries:
                return self._given_up(progress, result)
        return None

    async def _call(
        self, request: TurnRequest, progress: _Progress, reply: ModelReply, call: ToolCall, key: EffectKey
    ) -> ToolResult:
        if call.name == DEPLOY_TOOL:
            progress.deploys += 1
            attempt = progress.failed_deploys + 1
            step = code_step(self._model.name, reply, call, progress.usage, attempt, self._limits.deploy_tries)
            if step is not None:
                self._report(step)
        context = ToolContext(request.principal, self._report, request.device)
        effect = self._tools.effect_of(call.name)
        began = asyncio.get_running_loop().time()
        result = await run_journaled(
            self._journal, key, call, effect, lambda: self._tools.call(call.name, call.arguments, context)
        )
        took_ms = (asyncio.get_running_loop().time() - began) * 1000
        progress.actions.append(Action(call.name, call.arguments, effect.value, result.ok))
        if result.ok:
            progress.evidence.extend(result.evidence)
        if effect is not Effect.READ:
            progress.failure = None if result.ok else result
        if call.name == DEPLOY_TOOL and result.error_code in _MENDABLE:
            progress.failed_deploys += 1
        step = call_step(call, result, took_ms)
        if step is not None:
            self._report(step)
        return result

    def _answer(self, reply: ModelReply, progress: _Progress) -> Answer:
        if not reply.text.strip():
            return self._ended(
                progress,
                f"{self._model.name} answered nothing",
                "model_error",
                "ask again, or choose another model with MICROCLAW_MODEL",
            )
        code, next_step = reply.failed_code, reply.next_step
        if code is None and progress.failure is not None:
            code, next_step = progress.failure.error_code, progress.failure.next_step
        text = reply.text.strip() + proof_note(reply.text, progress.evidence, progress.actions)
        return Answer(text, tuple(progress.actions), tuple(progress.evidence), progress.usage, code, next_step)

    def _given_up(self, progress: _Progress, result: ToolResult) -> Answer:
        said = json.loads(result.content)
        return self._ended(
            progress,
            f"no program passed in {self._limits.deploy_tries} tries; the last one: {said['message']}",
            result.error_code or "build_error",
            result.next_step or "say it in other words, or write the program yourself: microclaw run FILE.c",
        )

    def _ended(self, progress: _Progress, text: str, code: str, next_step: str | None) -> Answer:
        return Answer(text, tuple(progress.actions), tuple(progress.evidence), progress.usage, code, next_step)


def _sum(a: Usage, b: Usage) -> Usage:
    cost = None if a.cost_usd is None or b.cost_usd is None else a.cost_usd + b.cost_usd
    return Usage(a.input_tokens + b.input_tokens, a.output_tokens + b.output_tokens, cost)
