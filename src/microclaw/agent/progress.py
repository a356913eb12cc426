"""What a turn has gathered so far, and how rows of a turn that was cut off bring it back. It runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from microclaw.agent.tries import DEPLOY_TOOL
from microclaw.agent.turn_log import Joined, Replied, Returned, TurnRow
from microclaw.auth.gate import Effect
from microclaw.events import Action, Evidence, Usage
from microclaw.models.protocol import AssistantReply, Message, ModelReply, ToolCall, ToolReturn, UserText
from microclaw.tools.tool import ToolResult

_MENDABLE: Final = frozenset({"build_error", "trial_failed"})


@dataclass(slots=True)
class Progress:
    """`messages` is what the model is asked with next; `foreign_s` is when strangers' words among them were read.

    `at_s` is when the turn's message came: what it reads counts from there, also when a crash makes it last longer.
    """

    messages: list[Message]
    at_s: int = 0
    foreign_s: int | None = None
    actions: list[Action] = field(default_factory=list)
    evidence: list[Evidence] = field(default_factory=list)
    usage: Usage = Usage()
    iterations: int = 0
    failed_deploys: int = 0
    failure: ToolResult | None = None  # of the latest call that was to change something

    @property
    def foreign(self) -> bool:
        return self.foreign_s is not None

    def replied(self, reply: ModelReply, calls: int) -> None:
        """The model's reply, of whose calls the first so many are run."""
        self.messages.append(AssistantReply(reply.text, reply.calls[:calls]))
        self.iterations += 1

    def returned(self, call: ToolCall, effect: Effect, result: ToolResult) -> None:
        self.messages.append(ToolReturn(call.call_id, call.name, result.content, failed=not result.ok))
        self.actions.append(Action(call.name, call.arguments, effect.value, result.ok))
        if result.foreign:
            self.foreign_s = self.at_s
        if result.ok:
            self.evidence.extend(result.evidence)
        if effect is not Effect.READ:
            self.failure = None if result.ok else result
        if call.name == DEPLOY_TOOL and result.error_code in _MENDABLE:
            self.failed_deploys += 1

    def joined(self, message: Joined) -> None:
        self.messages.append(UserText(message.text, message.images))

    def replay(
        self, rows: Sequence[TurnRow], calls_a_reply: int, effect_of: Callable[[str], Effect]
    ) -> ModelReply | None:
        """Bring the turn to where its rows end; the reply whose calls have not all returned is given back."""
        pending: ModelReply | None = None
        for row in rows:
            match row:
                case Replied(reply):
                    self.usage += reply.usage
                    self.replied(reply, calls_a_reply)
                    pending = reply if reply.calls else None
                case Returned(results):
                    assert pending is not None
                    for call, result in zip(pending.calls, results, strict=False):
                        self.returned(call, effect_of(call.name), result)
                    pending = None
                case Joined():
                    self.joined(row)
        return pending
