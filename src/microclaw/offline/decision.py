"""What the offline dialogue decides at one point of a turn: call a tool, answer, or ask. Plain values, no IO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from microclaw.models.protocol import DeviceContext, KnownDevice, ToolReturn
from microclaw.offline.parse import Parse, Slot


@dataclass(frozen=True, slots=True)
class Act:
    """Call one tool. `intent` and `plan` show how the sentence was understood.

    `words` is the sentence that says exactly this, and that a template reads: for a call that changes something.
    """

    tool: str
    arguments: Mapping[str, Any]
    intent: str | None = None
    plan: str | None = None
    code_origin: str | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class Say:
    """End the turn with words; `code` is set when what was asked was not done, `asks` for a slot that is missing."""

    text: str
    code: str | None = None
    next_step: str | None = None
    asks: Slot | None = None


Decision: TypeAlias = Act | Say


@dataclass(frozen=True, slots=True)
class Result:
    """A tool's answer, read."""

    tool: str
    ok: bool
    fields: Mapping[str, Any]

    @property
    def device(self) -> str:
        return str(self.fields.get("device", "the device"))

    @property
    def proof(self) -> tuple[str, str]:
        """Kind and text of its first evidence; ("accepted", "") when it has none."""
        for item in self.fields.get("evidence", ()):
            return str(item["kind"]), str(item["text"])
        return "accepted", ""


@dataclass(frozen=True, slots=True)
class Context:
    """A sentence understood, what was said, the devices, the device meant, and what tools answered so far."""

    parse: Parse
    said: str
    scene: DeviceContext
    device: KnownDevice | None
    named: bool  # the sentence itself names the device
    results: tuple[Result, ...] = ()

    def on_device(self, **arguments: Any) -> dict[str, Any]:
        """A tool call's arguments, with the device when the sentence names it."""
        return {**arguments, "device": self.device.name} if self.named and self.device else arguments


class CannotDo(Exception):
    """Ends the working out of a sentence with something to say."""

    def __init__(self, say: Say) -> None:
        super().__init__(say.text)
        self.say = say


def ask(text: str, next_step: str | None = None, slot: Slot | None = None) -> CannotDo:
    """A question back to the person instead of a guess. `slot`: what a short answer fills."""
    return CannotDo(Say(text, "ambiguous", next_step, slot))


def read_return(returned: ToolReturn) -> Result:
    """A tool's JSON as fields; text that is no JSON object counts as a message."""
    try:
        fields = json.loads(returned.content)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        fields = {"message": returned.content}
    return Result(returned.name, not returned.failed, fields)


def failure(result: Result) -> Say:
    """A tool's failure in its own words."""
    next_step = result.fields.get("next")
    message = str(result.fields.get("message", "it failed"))
    return Say(message, str(result.fields.get("error", "tool_failed")), str(next_step) if next_step else None)


def capital(text: str) -> str:
    """The text as the beginning of a sentence, a name like virtual-1 kept; its end is open for a full stop."""
    first = text.split(" ", 1)[0].rstrip(":,")
    return (text[:1].upper() + text[1:] if first.isalpha() else text).rstrip(".")
