"""What a turn has collected so far: messages, acts and evidence. It runs no call."""

from __future__ import annotations

from dataclasses import dataclass, field

from microclaw.agent.acts import outcome_of, reason_of
from microclaw.agent.attempts import DEPLOY_TOOL
from microclaw.agent.repeats import Repeats
from microclaw.auth.gate import Effect
from microclaw.events import Action, Evidence, ResultFile, Usage
from microclaw.models.protocol import AssistantReply, Message, ModelReply, ToolCall, ToolReturn
from microclaw.operations.tool import ToolResult

_FIXABLE = frozenset({"build_error", "trial_failed"})


@dataclass(slots=True)
class TurnProgress:
    """What a turn has collected. `messages` go to the model next; `tainted_s` is when untrusted text in them was read.

    `at_s` is when the turn's message came. Untrusted text that the turn reads counts as read then.
    """

    messages: list[Message]
    at_s: int
    tainted_s: int | None
    actions: list[Action] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    usage: Usage = Usage()
    iterations: int = 0
    failed_deploys: int = 0
    failure: ToolResult | None = None  # of the latest call that was to change something
    repeats: Repeats = field(default_factory=Repeats)
    files: list[ResultFile] = field(default_factory=list)

    def replied(self, reply: ModelReply, calls: int) -> None:
        """Add the model's reply with its first `calls` calls."""
        self.messages.append(AssistantReply(reply.text, reply.calls[:calls]))
        self.iterations += 1

    def returned(self, call: ToolCall, effect: Effect, result: ToolResult) -> None:
        self.messages.append(ToolReturn(call.call_id, call.name, result.content, failed=not result.ok))
        self.repeats.returned(call, effect, result)
        outcome, reason = outcome_of(effect, result), reason_of(result)
        self.actions.append(Action(call.name, call.arguments, effect.value, outcome, result.evidence, reason))
        if result.foreign:
            self.tainted_s = self.at_s
        if result.ok:
            self.evidence.extend(result.evidence)
            self.files.extend(result.files)
        if effect is not Effect.READ:
            self.failure = None if result.ok else result
        if call.name == DEPLOY_TOOL and result.error_code in _FIXABLE:
            self.failed_deploys += 1
