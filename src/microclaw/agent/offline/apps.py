"""Sentences about programs on a device: it asks the device what runs, then decides. It acts only on listed programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.boards import board_of, pin_target, with_pins
from microclaw.agent.offline.decision import Act, Context, Decider, Decision, Parse, Say, ToolFields, all_at_once
from microclaw.agent.offline.earlier_sentences import find_mentions, topic_words
from microclaw.agent.offline.thing_questions import tell_thing_state

App: TypeAlias = Mapping[str, Any]

_REMOVE: Final = "uninstall-wasm-app"
_SWITCH: Final = "switch-program"
IT: Final = frozenset({None, "", "it", "that", "this", "them"})
"""Names that name no program."""

_NO_NAME = re.compile(r"\b(?:my|the|that|this|our|little|thingy?|stuff|program|programme|app|one|light|led|effect)\b")
_TAKES_OFF = re.compile(r"(?i)\b(?:remov|delet|uninstall|get(?:ting)? rid|clear|eras|wip|free|releas|take .* off)")
_NOT_STOPPED = ("running", "waiting", "listed", None)


class AppOverview(Struct, frozen=True):
    """The programs of a device.

    `apps` are the listed ones by name, `missing` are lost and will be redeployed, `stopped` are kept for a start.
    """

    device: str
    apps: Mapping[str, App]
    missing: Sequence[str]
    stopped: Sequence[str]

    @property
    def present(self) -> list[str]:
        """The programs that can be stopped."""
        return [*self.apps, *self.missing]

    def __str__(self) -> str:
        """Return the programs as one clause."""
        text = f"On {self.device}: {', '.join(map(_describe, self.apps.values())) or 'no program'}"
        if self.missing:
            text += f"; missing there, to be redeployed: {', '.join(self.missing)}"
        if self.stopped:
            text += f"; stopped: {', '.join(self.stopped)}"
        return text


def _describe(app: App) -> str:
    """Return the name of a program with its state and its pins."""
    pins = app.get("pins") or []
    facts = []
    if app.get("state"):
        facts.append(str(app["state"]))
    if app.get("error") and app.get("state") == "running":
        facts.append("had a fault")
    if pins:
        word = "pins" if len(pins) > 1 else "pin"
        facts.append(f"{word} {', '.join(map(str, pins))}")
    if facts:
        return f"{app['name']} ({', '.join(facts)})"
    return str(app["name"])


def _app_status(context: Context, overview: AppOverview) -> Decision:
    """Answer whether the program of a name runs, or list all of them."""
    is_about_one = context.parse.word("app") not in IT or len(overview.apps) == 1
    if context.parse.kind == "list_apps" or not is_about_one:
        return Say(f"{overview}.")
    names = _find_names(context, overview.apps)
    if not names:
        name = context.parse.word("app") or ""
        if find_mentions(topic_words(name), context.earlier):
            return tell_thing_state(replace(context, parse=Parse("thing_state", {"topic": name})))
        return Say(f"No program of that name runs. {overview}.")
    app = overview.apps[names[0]]
    return Say(f"{names[0]} {_describe_state(context, app, overview.device)}.")


def _describe_state(context: Context, app: App, device: str) -> str:
    state = app.get("state") or "listed"
    error = app.get("error")
    if state == "running":
        fault = f", but {error}" if error else ""
        return f"runs on {device} ({_proof(context.results[0])}){fault}"
    if state == "listed":
        return f"is listed by {device}; its firmware does not report whether it still works"
    if state == "waiting":
        return f"waits for its next run on {device} ({app.get('runs') or 'it runs at times'})"
    cause = f": {error}" if error else ""
    return f"is on {device} but {state}{cause}"


def _remove(context: Context, overview: AppOverview) -> Decision:
    """Stop or remove the program of a name, the programs on a pin, or all of them after a yes."""
    if context.parse.kind == "remove_on_pin":
        return _remove_on_pin(context, overview)
    if context.parse.kind == "remove_all":
        return _remove_all(context, overview)
    return _remove_named(context, overview)


def _remove_on_pin(context: Context, overview: AppOverview) -> Decision:
    pin = pin_target(context).pin
    names = [name for name, app in overview.apps.items() if pin in app.get("pins", ())]
    if names:
        return _remove_each(context, overview, names)
    return Say(f"No program of this host uses pin {pin}. {overview}.", "app_not_found", "what is running")


def _remove_all(context: Context, overview: AppOverview) -> Decision:
    verb = "stop"
    preposition = "on"
    names = overview.present
    if _takes_off(context):
        verb = "remove"
        preposition = "from"
        names = [*names, *overview.stopped]
    else:
        # A program that has ended is not stopped: undo would begin it once more.
        names = [name for name in names if overview.apps.get(name, {}).get("state") != "ended"]
    if not names:
        return Say(f"{overview}: there is nothing to {verb}.")
    if context.parse.confirmed:
        return _remove_each(context, overview, names)
    words = f"{', '.join(names)} {preposition} {overview.device}"
    return Say(f"That {verb}s {words}. Say yes to do it.", "confirm", f"yes, {verb} {words}", "confirmed")


def _remove_named(context: Context, overview: AppOverview) -> Decision:
    """Stop or remove the program of a name, or the only one after "stop it"."""
    name = context.parse.word("app")
    names = _find_names(context, overview.present)
    reason = "There is nothing to stop"
    if name is not None and name not in IT:
        if _takes_off(context):
            names = _find_names(context, [*overview.present, *overview.stopped])
        stopped = match_names(overview.stopped, name)
        if stopped and not names:
            step = f"start {stopped[0]}; or: remove {stopped[0]}"
            return Say(f"{stopped[0]} is stopped already on {overview.device}.", next_step=step)
        reason = f"There is no program {name!r}"
    if len(names) > 1:
        verb = "remove" if _takes_off(context) else "stop"
        sentences = tuple(f"{verb} {name} on {overview.device}" for name in names)
        return Say(f"Which one: {', '.join(names)}?", "ambiguous", f"{verb} {names[0]}", suggested=sentences)
    if names:
        return _remove_each(context, overview, names)
    step = "make one, as in: blink pin 2"
    if overview.apps:
        step = f"name one that is there: {overview.present[0]}"
    return Say(f"{reason}. {overview}.", "app_not_found", step)


def _takes_off(context: Context) -> bool:
    """Return True for "remove"; "stop" keeps the program for a start."""
    return _TAKES_OFF.search(context.sentence) is not None


def _remove_each(context: Context, overview: AppOverview, names: Sequence[str]) -> Decision:
    """Stop or remove these programs, then answer."""
    removed = [str(result.fields.get("appName")) for result in context.results if result.tool in (_REMOVE, _SWITCH)]
    acts = list[Act]()
    for name in names:
        if name in removed:
            continue
        # A program of another host cannot be kept, so it is removed.
        if _takes_off(context) or overview.apps.get(name, {}).get("foreign"):
            acts.append(Act(_REMOVE, context.on_device(appName=name), f"remove {name}"))
        else:
            acts.append(Act(_SWITCH, context.on_device(appName=name, switch="stop"), f"stop {name}"))
    if acts:
        return all_at_once(acts)
    last = context.results[-1]
    is_single = len(removed) == 1
    text = ", ".join(removed)
    if last.tool == _SWITCH:
        back = "start and a name"
        if is_single:
            back = f"start {removed[0]}"
        return Say(f'{text} stopped on {last.device} ({_proof(last)}); undo or "{back}" brings it back.')
    undo = ""
    if is_single and last.fields.get("undoable") is True:
        undo = "; undo brings it back"
    return Say(f"{text} removed from {last.device} ({_proof(last)}){undo}.")


def _switch_app(context: Context, overview: AppOverview) -> Decision:
    """Start or restart a program by its name. A removed program is not found here: undo brings it back."""
    last = context.results[-1]
    app_name = context.parse.word("app") or ""
    switch = context.parse.word("switch") or "restart"
    if last.tool == _SWITCH:
        return Say(f"{last.fields.get('appName')} {switch}ed on {last.device} ({_proof(last)}).")
    names = match_names([*overview.apps, *overview.stopped, *overview.missing], app_name)
    if not names:
        return Say(f"There is no program {app_name!r}. {overview}.", "app_not_found", "what is running")
    name = names[0]
    state = overview.apps.get(name, {}).get("state")
    if name not in overview.apps and name in overview.stopped:
        switch = "start"
    elif switch == "start" and state in _NOT_STOPPED:
        text = f"{name} is on {overview.device} and was not stopped."
        return Say(text, next_step=f"restart {name} on {overview.device}")
    elif switch == "start":
        # The program ended by itself, so the device still has it.
        switch = "restart"
    return Act(_SWITCH, context.on_device(appName=name, switch=switch), f"{switch} {name}")


_KINDS: Mapping[str, Callable[[Context, AppOverview], Decision]] = {
    **dict.fromkeys(("list_apps", "app_status"), _app_status),
    **dict.fromkeys(("remove_app", "remove_on_pin", "remove_all"), _remove),
    "switch_app": _switch_app,
}


def _decide(context: Context) -> Decision:
    """Ask the device for its list first, then decide."""
    kind = context.parse.kind
    boards = with_pins(context.device_context.devices)
    if context.device is None and kind == "list_apps" and len(boards) > 1:
        return _list_all(boards)
    if context.device is not None:
        boards = [context.device]
    app_name = context.parse.word("app") or ""
    owners = _boards_with(app_name, boards)
    if kind == "switch_app" and not owners:
        text = f"There is no program {app_name!r} of this host."
        if app_name in IT | {"again"}:
            text = "Start which program?"
        return Say(text, "app_not_found", "undo brings back a program that was just removed; what is running")
    if context.device is None and len(owners) == 1:
        context = replace(context, named_device=owners[0])
    if context.results:
        return _KINDS[kind](context, _read_overview(context.results[0]))
    # Both raise CannotDo, with a question which device or pin, before the board is asked.
    board_of(context)
    if kind == "remove_on_pin":
        pin_target(context)
    return Act("query-wasm-apps", context.on_device())


APPS: Mapping[str, Decider] = dict.fromkeys(_KINDS, _decide)


def _list_all(boards: Sequence[KnownDevice]) -> Say:
    """List the programs of all boards from what this host knows, without a call."""
    lines = ["What this host put there:"]
    for board in boards:
        names = ", ".join(app.name for app in board.apps) or "nothing"
        lines.append(f"{board.name}: {names}")
    return Say("\n".join(lines), next_step=f"what is running on {boards[0].name}")


def _boards_with(name: str, boards: Sequence[KnownDevice]) -> list[KnownDevice]:
    """Return the boards that have a program of this name, by what this host put there."""
    if not name:
        return []
    all_names = list[str]()
    for board in boards:
        all_names.extend(known_apps(board))
    names = set(match_names(all_names, name))
    return [board for board in boards if not names.isdisjoint(known_apps(board))]


def _read_overview(result: ToolFields) -> AppOverview:
    fields = result.fields
    apps = {str(app["name"]): app for app in fields.get("apps", ()) if "name" in app}
    return AppOverview(result.device, apps, fields.get("missing") or (), fields.get("stopped") or ())


def known_apps(board: KnownDevice) -> list[str]:
    """Return the programs that this host put on the board, with the stopped ones."""
    return [*(app.name for app in board.apps), *board.stopped]


def _find_names(context: Context, names: Collection[str]) -> list[str]:
    """Return the apps with the name in the sentence.

    Without a name ("stop it"), return the apps whose name is a word of the sentence, or all of them.
    """
    name = context.parse.word("app") or ""
    if name not in IT:
        return match_names(names, name)
    words = {_stem(word) for word in re.findall(r"[\w-]+", context.sentence.lower())}
    return [name for name in names if _stem(name) in words] or list(names)


def match_names(names: Collection[str], spoken_name: str) -> list[str]:
    """Return the names that are equal to this one, else to its bare word ("traffic light" for "traffic-light")."""
    # "My blinky thing" is named "blinky".
    bare = _NO_NAME.sub(" ", spoken_name).strip()
    for form in (str, _plain, _stem):
        forms = {form(spoken_name)}
        if form is _stem:
            forms.add(form(bare))
        matches = [name for name in names if form(name) in forms]
        if matches:
            return matches
    return []


def _plain(name: str) -> str:
    # The sentence is in its normal form, too: "zero" is 0 in it.
    return re.sub(r"[\s_-]+", "", normalize_quantities(name.lower()))


def _stem(name: str) -> str:
    """Return the name without its ending: "blinker", "blinking" and "blink" are one word, "fader" and "fade" too."""
    return re.sub(r"(?:ing|er|ed|e|r|y)$", "", _plain(name))


def _proof(result: ToolFields) -> str:
    return result.proof[1] or "accepted, no read-back"
