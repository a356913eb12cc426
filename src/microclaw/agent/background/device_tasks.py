"""Runs the tasks that devices ask for as turns of the agent, for the host's owner. It knows no connection."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from microclaw.agent.conversation import Conversations
from microclaw.errors import ToolFailed
from microclaw.events import Answer, Inbound, Step
from microclaw.link_server.tasks import TaskEnd, failure_text

CHANNEL: Final = "device"


class AgentTasks:
    """A device is one conversation, so its tasks run one after the other."""

    def __init__(self, conversations: Conversations) -> None:
        self._conversations = conversations

    async def run(self, device: str, text: str, tell: Callable[[str], None]) -> TaskEnd:
        """The turn's steps as they happen, then its answer. Cancelling it stops the turn at its next step."""
        inbound = Inbound(CHANNEL, device, text, device=device, origin="device")
        async with aclosing(self._conversations.chat(inbound)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return _end(event)
                if isinstance(event, Step):
                    tell(f"{event.stage}: {event.text}")
        raise ToolFailed("the turn ended without an answer", next_step="the traceback is in the host's log")


def _end(answer: Answer) -> TaskEnd:
    if answer.error_code is None:
        return TaskEnd(is_done=True, text=answer.text)
    return TaskEnd(is_done=False, text=failure_text(answer.error_code, answer.text, answer.next_step))
