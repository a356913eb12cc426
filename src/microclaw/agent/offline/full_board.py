"""A board that has no place for one more program: which program it replaces is asked, then done with the installation.

The replaced program is stopped, and the host keeps it. If the new one cannot be installed, it is started again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import without_commas
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.apps import known_apps, match_names
from microclaw.agent.offline.boards import device_of
from microclaw.agent.offline.decision import (
    Act,
    CannotDo,
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
_LIST: Final = "query-wasm-apps"
_OVER: Final = ("ended", "trapped", "dead", "missing")
"""States of programs that do nothing any more."""
_MAX_OFFERED: Final = 8
_ANSWER: Final = re.compile(
    r"(?i)\W*(?:please )?(?:replace |instead of |in place of )?(?:the )?(?P<name>[\w-]{1,63})"
    r"(?: program)?(?: please)?\W*"
)


def make_room(context: Context, name: str, words: str) -> Act | None:
    """Return the call that comes before the installation of `name`, or None if there is room for it.

    It stops the program that the user chose, or asks the board for the states of its programs. Raises CannotDo with the
    question what to replace.
    """
    device = device_of(context)
    chosen = context.parse.removes
    names = _names(device)
    if name in names or len(names) < device.board.firmware.max_apps or _find(context, _SWITCH) is not None:
        return None
    if chosen in names:
        arguments = context.on_device(appName=chosen, switch="stop")
        return Act(_SWITCH, arguments, f"stop {chosen}, then {words}")
    listed = _find(context, _LIST)
    if listed is None:
        return Act(_LIST, context.on_device(), words)
    rows = _rows(listed)
    # The host itself takes off a program that has ended by itself.
    for app in device.apps:
        if rows.get(app.name, {}).get("state") == "ended":
            return None
    raise CannotDo(ask_what_to_replace(device, rows))


def ask_what_to_replace(device: KnownDevice, rows: Mapping[str, Mapping[str, Any]]) -> Say:
    """Ask which program is replaced: those that do nothing any more come first, then the oldest."""
    limit = device.board.firmware.max_apps

    def order(app: Any) -> tuple[bool, int]:
        return rows.get(app.name, {}).get("state") not in _OVER, app.since_ms

    apps = sorted(device.apps, key=order)[:_MAX_OFFERED]
    if not apps:
        text = f"{device.name} has room for {count_text(limit, 'program')}, and others than mine have it."
        return Say(text, TooManyApps.code, f"see them: what is running on {device.name}")
    sentences = tuple(f"replace {app.name}" for app in apps)
    text = f"{device.name} has room for {count_text(limit, 'program')}, and all places are taken, so I did nothing."
    question = f"{text} What shall I replace? {number_sentences(sentences)}."
    return Say(question, "ambiguous", f"a number, or: {sentences[0]}; or: no", "room", sentences)


def with_replaced(sentence: str, parse: Parse, device: KnownDevice | None) -> Parse | None:
    """Return the parse with the program that an answer chooses, or None if it names none of the board."""
    answer = _ANSWER.fullmatch(without_commas(sentence))
    if answer is None or device is None:
        return None
    names = match_names(known_apps(device), answer["name"])
    if len(names) != 1:
        return None
    return replace(parse, removes=names[0])


def after_failure(context: Context) -> Decision | None:
    """Return what follows a failed installation on a full board, or None for any other failure.

    A program that was stopped for it is started again.
    """
    stopped = _find(context, _SWITCH)
    last = context.results[-1]
    if context.parse.removes is None or stopped is None:
        is_full = last.tool == _DEPLOY and last.fields.get("error") == TooManyApps.code
        if is_full and not last.ok:
            return ask_what_to_replace(device_of(context), {})
        return None
    name = context.parse.removes
    if last.tool == _DEPLOY and not last.ok:
        return Act(_SWITCH, context.on_device(appName=name, switch="start"), f"start {name}")
    return None


def describe_restored(context: Context) -> Say | None:
    """Return the answer after the replaced program was started again, or None if none was."""
    deployed = _find(context, _DEPLOY)
    if deployed is None or deployed.ok:
        return None
    last = context.results[-1]
    if last.tool != _SWITCH or not last.ok:
        return None
    text = f"{capitalize(str(deployed.fields.get('message', 'it failed')))}. {context.parse.removes} runs again."
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


def _rows(result: ToolFields) -> dict[str, Mapping[str, Any]]:
    rows: dict[str, Mapping[str, Any]] = {}
    for row in result.fields.get("apps", ()):
        rows[str(row.get("name"))] = row
    return rows


def _names(device: KnownDevice) -> set[str]:
    return {app.name for app in device.apps}
