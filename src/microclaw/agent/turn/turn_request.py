"""The message that a turn answers, with its context, in the forms for the model and the tools. It runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from msgspec import Struct

from microclaw.agent.models.protocol import AskedBy, Message, ModelRequest, ToolSpec, UserText
from microclaw.agent.turn.context import Prompt
from microclaw.agent.turn.history import tainted_from
from microclaw.events import FILE_CHANNELS, Inbound, TurnEvent
from microclaw.host.config.settings import ModelTask
from microclaw.host.operations.tool import Begin, ToolContext
from microclaw.host.store.journal import Work
from microclaw.host.store.people import person_behind
from microclaw.programs.changes.change_log import SCHEDULED, ChangeOrigin, conversation_of


class TurnRequest(Struct, frozen=True):
    """A message and its context when its turn begins. `message` is `inbound` in the form for the model.

    `resumes`: a crash interrupted this turn. `at_s` is the time of the message; `tainted_s` the time when untrusted
    text in it, or in `history`, was read. Changes belong to the turn or request `part_of`, if that is not None, instead
    of to this turn, and to `conversation` instead of to the conversation of this chat.
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

    def for_model(
        self, messages: Sequence[Message], tools: tuple[ToolSpec, ...], *, may_call: bool, max_tokens: int | None
    ) -> ModelRequest:
        """Return the request to the model with these messages."""
        inbound = self.inbound
        return ModelRequest(
            self.prompt.system,
            tuple(messages),
            tools,
            may_call=may_call,
            max_tokens=max_tokens,
            device_context=self.prompt.devices,
            dynamic_context=self.prompt.dynamic,
            task=self.task,
            asked_by=AskedBy(person_behind(inbound.person_id), inbound.channel, inbound.chat_id),
        )

    def for_tools(
        self, *, report: Callable[[TurnEvent], None], begin: Begin, turn_id: str, is_tainted: bool, is_literal: bool
    ) -> ToolContext:
        """Return the context of a tool call, without its schedule and sources.

        `is_tainted`: the turn has read untrusted text. `is_literal`: the call follows by rule from the message.
        """
        inbound = self.inbound
        # Calls that follow from a trusted message by rule cannot be caused by earlier untrusted text.
        is_from_message = is_literal and tainted_from(inbound, self.at_s) is None
        return ToolContext(
            inbound.person_id,
            report,
            inbound.device,
            inbound.channel,
            inbound.chat_id,
            foreign=is_tainted and not is_from_message,
            begin=begin,
            said=self.message.text,
            takes_files=inbound.channel in FILE_CHANNELS and self.task != "subagent",
            turn=self.part_of or turn_id,
        )

    def change_origin(
        self, context: ToolContext, ahead: Callable[[], AbstractContextManager[Sequence[Work]]]
    ) -> ChangeOrigin:
        """Return the origin of the changes that a call makes; `ahead` is written with them."""
        inbound = self.inbound
        conversation = self.conversation or conversation_of(inbound.channel, inbound.chat_id)
        if inbound.origin in ("schedule", "heartbeat"):
            conversation = SCHEDULED + conversation
        return ChangeOrigin(context.turn, inbound.person_id, conversation, ahead=ahead, is_tainted=context.foreign)
