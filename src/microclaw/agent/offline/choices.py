"""The answers to a question of the dialogue that a person may choose: a page shows them as buttons."""

from __future__ import annotations

from typing import Final

from microclaw.agent.models.protocol import DeviceContext
from microclaw.agent.offline.boards import with_pins
from microclaw.agent.offline.decision import Say
from microclaw.agent.offline.unfinished import answers_to
from microclaw.events import Choice

YES_OR_NO: Final = (Choice("Yes", "yes"), Choice("No", "no"))


def choices_of(question: Say, device_context: DeviceContext | None) -> tuple[Choice, ...]:
    """Return the answers that complete the question; none if it asks for a value, as a pin."""
    if question.choices:
        return question.choices
    if question.asks == "confirmed":
        return YES_OR_NO
    if question.asks == "device" and device_context is not None:
        answers = [device.name for device in with_pins(device_context.devices)]
    elif question.template:
        answers = list(answers_to(question.template))
    else:
        answers = list(question.suggested)
    return tuple(Choice(answer, answer) for answer in answers)
