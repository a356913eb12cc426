"""Tools only for the model that need no device: the time, and a text into a person's chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from microclaw.agent.outbox import Outbox
from microclaw.auth.gate import Effect, Permission
from microclaw.auth.people import People, Person
from microclaw.errors import ToolFailed
from microclaw.events import Evidence
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput


class SayParameters(Parameters, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=4000)]
    person: Annotated[str, Meta(max_length=80, description="A name; left out: who asks.")] | None = None


def clock_tool(clock: Callable[[], datetime]) -> Tool[Any]:
    """Build the tool `time`."""

    async def tell(_: Parameters, __: ToolContext) -> ToolOutput:
        now = clock()
        fields = {"now": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A"), "zone": str(now.tzinfo)}
        return ToolOutput({"success": True, **fields})

    return Tool("time", "The date and time now.", Parameters, Permission.READ, Effect.READ, tell)


def say_tool(*, outbox: Outbox, people: People) -> Tool[Any]:
    """Build the tool `say`: a message into a chat. Another person than the caller sees who sent it."""

    def addressed(asked: SayParameters, context: ToolContext) -> tuple[Person, str, str]:
        """Return the receiver, and the channel and chat of the message. Raises ToolFailed, UnknownName."""
        if asked.person is None:
            person = people.get(context.person_id)
        else:
            person = people.find_by_name(asked.person)
        if person is None:
            raise ToolFailed("nobody to say it to", next_step="name a person")
        chats = person.addresses
        if asked.person is None or (not chats and person.person_id == context.person_id):
            chats = ((context.channel, context.chat_id),)
        if not chats:
            raise ToolFailed(f"{person.name} has no chat with this host", next_step="microclaw person list")
        return person, *chats[0]

    async def say(asked: SayParameters, context: ToolContext) -> ToolOutput:
        person, channel, chat_id = addressed(asked, context)
        sender = people.get(context.person_id)
        text = asked.text
        if sender is not None and sender.person_id != person.person_id:
            text = f"from {sender.name}: {asked.text}"
        number = await outbox.push(channel, chat_id, text, person=person.person_id)
        evidence = Evidence("accepted", f"on its way to {person.name} in {channel}")
        return ToolOutput({"success": True, "person": person.name, "channel": channel, "message": number}, (evidence,))

    def words(asked: SayParameters, context: ToolContext, _: Sequence[str]) -> str:
        return f"tell {addressed(asked, context)[0].name}: {asked.text}"

    text = "Send a text into a person's chat, by itself and not as the answer."
    return Tool("say", text, SayParameters, Permission.ACT, Effect.ONCE, say, words=words)
