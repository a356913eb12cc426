"""Tools for the model that need no device: the time, and a text into a person's chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from microclaw.agent.turn.outbox import Outbox
from microclaw.errors import ToolFailed
from microclaw.events import Evidence
from microclaw.host.auth.people import People
from microclaw.host.operations.operation import Effect, Permission
from microclaw.host.operations.tool import Parameters, Tool, ToolContext, ToolOutput
from microclaw.host.store.people import Person


class SayParameters(Parameters, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=4000)]
    person: Annotated[str, Meta(max_length=80, description="A name; without it: the person who asks.")] | None = None


def clock_tool(clock: Callable[[], datetime]) -> Tool[Any]:
    """Build the tool `time`."""

    async def tell(_: Parameters, __: ToolContext) -> ToolOutput:
        now = clock()
        fields = {"now": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A"), "zone": str(now.tzinfo)}
        return ToolOutput({"success": True, **fields})

    return Tool("time", "The date and time now.", Parameters, Permission.READ, Effect.READ, tell)


def say_tool(*, outbox: Outbox, people: People) -> Tool[Any]:
    """Build the tool `say`: a message into a chat. Another person than the caller sees who sent it."""

    def find_receiver(parameters: SayParameters, context: ToolContext) -> Person:
        """Return the receiver. Raises ToolFailed, UnknownName."""
        if parameters.person is None:
            person = people.get(context.person_id)
        else:
            person = people.find_by_name(parameters.person)
        if person is None:
            raise ToolFailed("the message has no receiver", next_step="name a person")
        return person

    def find_chat(person: Person, parameters: SayParameters, context: ToolContext) -> tuple[str, str]:
        """Return the channel and chat of the message. Raises ToolFailed."""
        # The caller is in the chat of the call; another chat is chosen only for a person that was named.
        if parameters.person is not None and person.addresses:
            return person.addresses[0]
        if parameters.person is None or person.person_id == context.person_id:
            return context.channel, context.chat_id
        raise ToolFailed(f"{person.name} has no chat with this host", next_step="microclaw person list")

    async def say(parameters: SayParameters, context: ToolContext) -> ToolOutput:
        person = find_receiver(parameters, context)
        channel, chat_id = find_chat(person, parameters, context)
        sender = people.get(context.person_id)
        text = parameters.text
        if sender is not None and sender.person_id != person.person_id:
            text = f"from {sender.name}: {text}"
        number = await outbox.push(channel, chat_id, text, person=person.person_id)
        evidence = Evidence("accepted", f"on its way to {person.name} in {channel}")
        return ToolOutput({"success": True, "person": person.name, "channel": channel, "message": number}, (evidence,))

    def words(parameters: SayParameters, context: ToolContext, _: Sequence[str]) -> str:
        person = find_receiver(parameters, context)
        find_chat(person, parameters, context)
        return f"tell {person.name}: {parameters.text}"

    text = "Send a text into a person's chat, by itself and not as the answer."
    return Tool("say", text, SayParameters, Permission.ACT, Effect.ONCE, say, words=words)
