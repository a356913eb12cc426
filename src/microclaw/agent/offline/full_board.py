"""A board that has no place for one more program: which program it replaces is asked, then done with the installation.

Only programs are offered of which each makes room: the refused installation names them, before anything is stopped. The
replaced program is stopped, and the host keeps it. If the new one cannot be installed, it is started again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import without_commas
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.apps import match_names
from microclaw.agent.offline.boards import device_of
from microclaw.agent.offline.decision import (
    Act,
    Context,
    Decision,
    Parse,
    Say,
    ToolFields,
    capitalize,
    number_sentences,
)
from microclaw.errors import TooManyApps
from microclaw.text import count_text

_SWITCH: Final = "switch-program"
_DEPLOY: Final = "deploy-wasm-app"
_REPLACE: Final = "replace "
_MAX_OFFERED: Final = 8
_ANSWER: Final = re.compile(
    r"(?i)\W*(?:please )?(?:replace |instead of |in place of )?(?:the )?(?P<name>[\w-]{1,63})"
    r"(?: program)?(?: please)?\W*"
)


def make_room(context: Context, name: str, words: str) -> Act | None:
    """Return the call that stops the program that the user chose to be replaced, or None if there is none to stop."""
    chosen = context.parse.removes
    names = _names(device_of(context))
    if chosen not in names or name in names or _find(context, _SWITCH) is not None:
        return None
    arguments = context.on_device(appName=chosen, switch="stop")
    return Act(_SWITCH, arguments, f"stop {chosen}, then {words}")


def _ask_what_to_replace(device: KnownDevice, replaceable: Sequence[str]) -> Say:
    """Ask which program is replaced. `replaceable` are those that each make room, as the board's host found."""
    limit = device.board.firmware.max_apps
    names = replaceable[:_MAX_OFFERED]
    if not names:
        text = f"{device.name} has room for {count_text(limit, 'program')}, and others than mine have it."
        return Say(text, TooManyApps.code, f"see them: what is running on {device.name}")
    sentences = tuple(f"{_REPLACE}{name}" for name in names)
    text = f"{device.name} has room for {count_text(limit, 'program')}, and all places are taken, so I did nothing."
    if len(names) == 1 < limit:
        text += f" Only without {names[0]} it can run: both need the same pin, bus or timers."
    question = f"{text} What shall I replace? {number_sentences(sentences)}."
    return Say(question, "ambiguous", f"a number, or: {sentences[0]}; or: no", "room", sentences)


def with_replaced(sentence: str, parse: Parse, offered: Sequence[str]) -> Parse | None:
    """Return the parse with the program that an answer chooses, or None if it names none that was offered."""
    answer = _ANSWER.fullmatch(without_commas(sentence))
    if answer is None:
        return None
    names = match_names([choice.removeprefix(_REPLACE) for choice in offered], answer["name"])
    if len(names) != 1:
        return None
    return replace(parse, removes=names[0])


def after_failure(context: Context) -> Decision | None:
    """Return what follows a failed installation on a full board, or None for any other failure.

    A program that was stopped for it is started again.
    """
    name = context.parse.removes
    last = context.results[-1]
    if last.tool != _DEPLOY or last.ok:
        return None
    if name is not None and _find(context, _SWITCH) is not None:
        return Act(_SWITCH, context.on_device(appName=name, switch="start"), f"start {name}")
    if last.fields.get("error") == TooManyApps.code:
        return _ask_what_to_replace(device_of(context), last.fields.get("replaceable", ()))
    return None


def describe_restored(context: Context) -> Say | None:
    """Return the answer after the replaced program was to be started again, or None if it was not."""
    deployed = _find(context, _DEPLOY)
    if deployed is None or deployed.ok:
        return None
    last = context.results[-1]
    if last.tool != _SWITCH:
        return None
    outcome = f"{context.parse.removes} runs again"
    if not last.ok:
        outcome = (
            f"{context.parse.removes} is stopped, and could not be started: {last.fields.get('message', 'it failed')}"
        )
    text = f"{capitalize(str(deployed.fields.get('message', 'it failed')))}. {outcome}."
    return Say(text, str(deployed.fields.get("error", "tool_failed")), deployed.fields.get("next"))


def last_place(context: Context, result: ToolFields) -> str:
    """Return what is said after a program took the last place of its board; empty otherwise."""
    device = context.device
    if device is None or not result.ok or result.fields.get("replaced"):
        return ""
    limit = device.board.firmware.max_apps
    names = _names(device)
    is_new = result.fields.get("appName") not in names and context.parse.removes is None
    if not is_new or len(names) + 1 != limit or limit < 2:
        return ""
    return f" {device.name} has room for {count_text(limit, 'program')}, and this was the last place."


def replaced_text(context: Context) -> str:
    """Return what is said of the program that was stopped for a new one."""
    name = context.parse.removes
    if name is None or _find(context, _SWITCH) is None:
        return ""
    return f" {capitalize(name)} is stopped for it; undo takes both back."


def _find(context: Context, tool: str) -> ToolFields | None:
    """Return the first result of a tool, or None."""
    return next((result for result in context.results if result.tool == tool), None)


def _names(device: KnownDevice) -> set[str]:
    return {app.name for app in device.apps}
