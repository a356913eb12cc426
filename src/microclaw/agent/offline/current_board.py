"""The board that a chat with several boards is about: the one that a person chose, else that of the last act.

If neither is there, it is the only board that is not away. A sentence that names a board is not changed.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec.structs import replace

from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline import boards
from microclaw.agent.offline.apps import IT, known_apps, match_names
from microclaw.agent.offline.decision import CannotDo, Context, Decision, Parse, Say, ask
from microclaw.agent.offline.memory import MEMORY

USE: Final = "use_board"
_USE: Final = re.compile(
    r"(?i)\W*(?:(?:please|now|ok|okay|let's|from now on),? )*"
    r"(?:use|switch to|change to|(?:work|continue|stay) (?:on|with)) "
    r"(?P<board>.{1,60}?)(?: (?:from (?:now|here) on|for now|now|only|again|instead|please))*\W*"
)
_OTHER: Final = re.compile(r"(?i)\b(?:the )?other (?:board|device)\b|(?<=use )the other one\b")
_HERE: Final = re.compile(r"(?i)(?<=\S )(?:here|on (?:this|that|the same) (?:board|device))(?=[\s.!?,]*$)")
# These are about all boards, or about none.
_OF_NO_BOARD: Final = frozenset(
    {"undo", "list_apps", "remove_all", "list_devices", "clock", "list_schedules", "cancel_schedule", *MEMORY}
)
_OF_A_PROGRAM: Final = frozenset({"remove_app", "app_status", "switch_app"})


def current_board(device_context: DeviceContext, chosen: str | None) -> KnownDevice | None:
    """Return the board that a sentence without a board is about, if the host cannot know it; else None."""
    candidates = boards.with_pins(device_context.devices)
    if len(candidates) < 2:
        return None
    for device in candidates:
        if device.name == chosen:
            return device
    if device_context.meant is not None:
        return None
    present = []
    for device in candidates:
        if not device.away:
            present.append(device)
    if len(present) == 1:
        return present[0]
    return None


def read_choice(sentence: str, device_context: DeviceContext) -> Context | None:
    """Read "use board-1 from now on". Return None for a sentence that names no board in this way."""
    match = _USE.fullmatch(sentence)
    if match is None:
        return None
    device = boards.read_device(match["board"], device_context)
    if device is None:
        return None
    return Context(Parse(USE), sentence, device_context, device)


def write_other_board(sentence: str, device_context: DeviceContext) -> str:
    """Return the sentence with the names of "here" and "the other board". Raises CannotDo if there are more others."""
    meant = device_context.meant
    candidates = boards.with_pins(device_context.devices)
    if len(candidates) < 2:
        return sentence
    if _OTHER.search(sentence):
        others = [device for device in candidates if device != meant]
        if len(others) != 1:
            names = ", ".join(device.name for device in others) or "none"
            raise ask(f"Which other board? There is: {names}.", "say its name")
        return _OTHER.sub(others[0].name, sentence)
    if meant is None:
        return sentence
    return _HERE.sub(f"on {meant.name}", sentence)


def on_current_board(context: Context, device_context: DeviceContext, current: KnownDevice) -> Context:
    """Return the sentence for the current board, if it names none and is about one.

    `device_context` is that of the request, in which no board is meant.
    """
    parse = context.parse
    if context.named_device is not None:
        return context
    app = parse.word("app")
    is_elsewhere = parse.kind in _OF_A_PROGRAM and app not in IT and not match_names(known_apps(current), app or "")
    if parse.kind in _OF_NO_BOARD or is_elsewhere:
        return replace(context, device_context=device_context)
    return replace(context, named_device=current)


def choose(context: Context) -> Decision:
    """Answer "use board-1"; the dialogue stores the choice."""
    if context.named_device is None:
        raise CannotDo(boards.NO_DEVICE)
    name = context.named_device.name
    return Say(f"From here on a sentence without a board is for {name}. Name another one to leave it.")
