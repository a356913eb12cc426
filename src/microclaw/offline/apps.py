"""Sentences about programs on a device: first what runs there, then what to do. Acts only on what the device lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from microclaw.language.quantities import normalize_quantities
from microclaw.language.times import split_when
from microclaw.models.protocol import DeviceContext, KnownDevice
from microclaw.offline.decision import Act, Context, Decision, Parse, Result, Say, failure
from microclaw.offline.pins import pin_target

App: TypeAlias = Mapping[str, Any]

ON_BOARDS: Final = "act-on-boards"
_QUERY: Final = "query-wasm-apps"
_REMOVE: Final = "uninstall-wasm-app"
_SWITCH: Final = "switch-program"
_MAX_BOARDS: Final = 8
"""So many are asked one after the other; of more than that it asks which one is meant."""

_POLITE: Final = r"\W*(?:(?:please|can you|could you|would you) )*"
_NAME: Final = r"(?:(?:the|my|our) )?(?:(?:app|program) )?(?:(?:called|named) )?(?P<name>[a-z0-9][\w-]*)"
_ORDER: Final = re.compile(
    rf"(?i){_POLITE}(?P<verb>stop|end|kill|quit|remove|delete|uninstall|start|run|restart|rerun) {_NAME}"
    r"(?P<is_app> (?:app|program))?(?: again)?(?: now)?(?:,? please)?\W*"
)
_SWITCHES: Final = {"start": "start", "run": "start", "restart": "restart", "rerun": "restart"}
_SAYS_APP: Final = re.compile(r"(?i)\b(?:app|program) ")
_NO_NAMES: Final = frozenset(
    {"it", "that", "this", "them", "these", "those", "one", "all", "everything", "again", "last", "board", "boards"}
    | {"device", "devices", "chip", "esp", "esp32", "host", "server", "microclaw", "pin", "led", "light", "lamp"}
)
_NO_NAME = re.compile(
    r"\b(?:my|the|that|this|our|little|thing|thingy|stuff|program|programme|app|one|light|led|effect)\b"
)
_ENDED = re.compile(r"(?i)^\W*(?:did|has|have|is)\b.*\b(?:stop|end|finish|crash|die|trap)")
_TAKES_OFF = re.compile(r"(?i)\b(?:remov|delet|uninstall|get(?:ting)? rid|clear|eras|wip|free|releas|take .* off)")


def program_order(said: str, known: DeviceContext, named: KnownDevice | None) -> Parse | Say | None:
    """An order about a program by its exact name, read before the templates: "stop lamp", "run steps at 8 pm".

    A program may be called as a part ("lamp") or a word of other orders. Only whole names of programs that a board has
    count here; whatever else is said goes on to the templates.
    """
    boards = (named,) if named is not None else known.devices
    timed = split_when(normalize_quantities(said), bare_hour=True)
    if timed is not None:
        # Nothing but the order and one time may be said: "every second tuesday" is not guessed at.
        what = re.sub(rf"(?i)^{_POLITE}", "", timed[0])
        order = program_order(what, known, named) if split_when(what, bare_hour=True) is None else None
        app = order.word("app") if isinstance(order, Parse) else None
        if app is None or not any(has_app(board, app) for board in boards):
            return None
        return Parse("schedule", {"what": what, "app": app}, when=timed[1])
    found = _ORDER.fullmatch(said)
    if found is None:
        return None
    switch, name = _SWITCHES.get(found["verb"].lower()), found["name"].lower()
    keeps = switch is None and _TAKES_OFF.search(said) is None  # "stop" is of what is there
    having = [app for board in boards for app in _having(board, name, stopped=not keeps)]
    # Who restarts what no board has hears so: that is never another act.
    is_unknown = name not in _NO_NAMES and (switch == "restart" or (switch == "start" and found["is_app"]))
    if not having and not is_unknown:
        return None
    is_device = any(one.name.lower() == name for one in known.devices)
    if is_device and switch == "restart" and not (found["is_app"] or _SAYS_APP.search(said)):
        text = f"{name} is a device, and a program is called so, too. Which do you mean? Nothing was done."
        return Say(text, "ambiguous", f"restart the program {name}; or: restart the board on {name}")
    app = having[0] if having else found["name"]
    return Parse("remove_app", {"app": app}) if switch is None else Parse("switch_app", {"app": app, "switch": switch})


def has_app(board: KnownDevice, name: str) -> bool:
    """True if the board has a program of exactly this name, stopped or not."""
    return bool(_having(board, name))


def _having(board: KnownDevice, name: str, *, stopped: bool = True) -> list[str]:
    """The board's programs of exactly this name; `stopped`: also those that are kept for a start."""
    there = [app.name for app in board.apps] + [*(board.stopped if stopped else ())]
    return [one for one in there if one.lower() == name.lower()]


class Listing(Struct, frozen=True):
    """The programs of a device: as it lists them, lost there and to be redeployed, and stopped, kept for a start."""

    device: str
    apps: Sequence[App]
    missing: Sequence[App]
    stopped: Sequence[App]

    def __str__(self) -> str:
        """The programs as one clause."""
        shown = (
            f"On {self.device}: {', '.join(map(_shown, self.apps))}" if self.apps else f"No program is on {self.device}"
        )
        shown += f"; missing there, to be redeployed: {_names(self.missing)}" if self.missing else ""
        return shown + (f"; stopped: {_names(self.stopped)}" if self.stopped else "")

    @property
    def example(self) -> str:
        """The next step where a program of that name is not there."""
        return f"name one that is there, as in: {self.apps[0]['name']}" if self.apps else "make one, as in: blink pin 2"


def _listing(found: Result) -> Listing:
    apps = [app for app in found.fields.get("apps", ()) if isinstance(app, dict) and "name" in app]
    missing, stopped = (
        [{"name": name} for name in found.fields.get(which) or () if isinstance(name, str)]
        for which in ("missing", "stopped")
    )
    return Listing(found.device, apps, missing, stopped)


def _names(apps: Iterable[App]) -> str:
    return ", ".join(str(app["name"]) for app in apps)


def _shown(app: App) -> str:
    pins = app.get("pins") or []
    facts = [str(app["state"])] if app.get("state") else []
    facts += [f"pin{'s' * (len(pins) > 1)} {', '.join(map(str, pins))}"] if pins else []
    return f"{app['name']} ({', '.join(facts)})" if facts else str(app["name"])


def _list_apps(_at: Context, there: Listing) -> Decision:
    return Say(f"{there}.")


def _app_status(at: Context, there: Listing) -> Say:
    named, device = _meant(at, there.apps), there.device
    if not _name_said(at) and len(there.apps) != 1:
        return Say(f"{there}.")
    if not named:
        return Say(f"No program of that name runs. {there}.")
    name, state = named[0]["name"], named[0].get("state")
    yes, no = ("", "") if _ENDED.search(at.said) else ("Yes, ", "No, ")
    if state == "running":
        return Say(f"{yes}{name} runs on {device} ({_proof(at.results[0])}).")
    if state in ("listed", None):
        return Say(f"{device} lists {name}; whether it still does its work, its firmware does not tell.")
    if state == "waiting":
        return Say(f"{name} waits for its next run on {device} ({named[0].get('runs') or 'it runs at times'}).")
    error = f": {named[0]['error']}" if named[0].get("error") else ""
    return Say(f"{no}{name} is on {device} but {state}{error}.")


def _remove_app(at: Context, there: Listing) -> Decision:
    if done := _removed(at):
        return done
    said = _name_said(at)
    kept = there.stopped if said else ()
    named = _meant(at, [*there.apps, *there.missing, *(() if _keeps(at) else kept)])
    if not named and (stopped := matching(kept, said)):
        name = stopped[0]["name"]
        return Say(f"{name} is stopped already on {there.device}.", next_step=f"start {name}; or: remove {name}")
    if not named and not said:
        return Say(f"{there}: there is nothing to stop.", "app_not_found", "what is running")
    if not named:
        return Say(f"There is no program {said!r}. {there}.", "app_not_found", there.example)
    if len(named) > 1:
        return Say(f"Which one: {_names(named)}?", "ambiguous", f"stop {named[0]['name']}")
    return _remove(at, named[0])


def _switch_app(at: Context, there: Listing) -> Decision:
    """Start or restart a program by its name. One that was removed is no program here: undo brings it back."""
    last, device = at.results[-1], there.device
    said, switch = at.parse.word("app") or "", at.parse.word("switch") or "restart"
    if last.tool == _SWITCH:
        return Say(f"{last.fields.get('appName')} {switch}ed on {last.device} ({_proof(last)}).")
    named = matching([*there.apps, *there.stopped, *there.missing], said)
    if not named:
        step = "undo brings back one that was just removed; what is running"
        return Say(f"There is no program {said!r} on {device}. {there}.", "app_not_found", step)
    name = str(named[0]["name"])
    if named[0] in there.stopped:
        switch = "start"
    elif switch == "start" and named[0].get("state") in ("running", "waiting", "listed", None):
        return Say(f"{name} is on {device} and was not stopped.", next_step=f"restart {name} on {device}")
    elif switch == "start":
        switch = "restart"  # it ended by itself
    return Act(_SWITCH, at.on_device(appName=name, switch=switch), f"{switch} {name}")


def _remove_on_pin(at: Context, there: Listing) -> Decision:
    pin = pin_target(at).pin
    if meant := [app for app in there.apps if pin in app.get("pins", ())]:
        return _remove_each(at, meant)
    return Say(f"No program of this host uses pin {pin}. {there}.", "app_not_found", there.example)


def _remove_all(at: Context, there: Listing) -> Decision:
    meant, stops = [*there.apps, *there.missing], _keeps(at)
    if stops:  # undo would begin what has ended once more
        meant = [app for app in meant if app.get("state") != "ended"]
    if not meant:
        return Say(f"{there}: there is nothing to {'stop' if stops else 'remove'}.")
    if at.parse.confirmed or _gone(at):
        return _remove_each(at, meant)
    words = f"stop {_names(meant)} on {there.device}" if stops else f"remove {_names(meant)} from {there.device}"
    return Say(f"That {words.replace(' ', 's ', 1)}. Say yes to do it.", "confirm", f"yes, {words}", "confirmed")


def _remove_each(at: Context, meant: Sequence[App]) -> Decision:
    """Take these programs off one after the other, then tell of it."""
    left = [app for app in meant if app["name"] not in _gone(at)]
    return _remove(at, left[0]) if left else _removed(at) or Say("Nothing was removed.")


_KINDS: Mapping[str, Callable[[Context, Listing], Decision]] = {
    "list_apps": _list_apps,
    "app_status": _app_status,
    "remove_app": _remove_app,
    "switch_app": _switch_app,
    "remove_on_pin": _remove_on_pin,
    "remove_all": _remove_all,
}


def _decide(at: Context) -> Decision:
    """Ask the device for its list first, then decide."""
    if at.parse.kind == "list_apps" and is_of_all(at):
        return _list_all(at)
    if at.device is None and (board := _board_with(at)) is not None:
        at = replace(at, device=board, named=True)
    if at.results:
        return _KINDS[at.parse.kind](at, _listing(at.results[0])) if at.results[0].ok else failure(at.results[0])
    if at.parse.kind == "remove_on_pin":
        pin_target(at)  # asks which pin, before the board is asked
    return Act(_QUERY, at.on_device())


APPS: Mapping[str, Callable[[Context], Decision]] = dict.fromkeys(_KINDS, _decide)


def is_of_all(at: Context) -> bool:
    """True if a sentence needs no device: it is about all boards, or about a program that one board alone has."""
    is_list = at.parse.kind == "list_apps" and 1 < len(_boards(at)) <= _MAX_BOARDS
    return at.device is None and (is_list or _board_with(at) is not None)


def _boards(at: Context) -> list[KnownDevice]:
    return [device for device in at.device_context.devices if device.board.pins]


def _board_with(at: Context) -> KnownDevice | None:
    """The only board that this host knows to have the program in the sentence, stopped ones included."""
    said = at.parse.word("app") or ""
    having = [board for board in _boards(at) if said and matching(known_apps(board, stopped=True), said)]
    return having[0] if len(having) == 1 else None


def known_apps(board: KnownDevice, *, stopped: bool = False) -> list[App]:
    return [{"name": name} for name in (*(app.name for app in board.apps), *(board.stopped if stopped else ()))]


def _list_all(at: Context) -> Decision:
    """Ask each board in turn, then tell of all."""
    boards = _boards(at)
    if len(at.results) < len(boards):
        return Act(_QUERY, {"device": boards[len(at.results)].name})
    if not any(found.ok for found in at.results):
        return failure(at.results[0])
    lines = []
    for board, one in zip(boards, at.results, strict=True):
        lines.append(str(_listing(one)) if one.ok else f"{board.name}: {one.fields.get('message', 'it failed')}")
    return Say("\n".join(f"{line}." for line in lines))


def _name_said(at: Context) -> str:
    """The name in the sentence; "" for none and for "it"."""
    said = at.parse.word("app") or ""
    return "" if said in ("it", "that", "this", "them") else said


def _meant(at: Context, apps: Sequence[App]) -> Sequence[App]:
    """The apps with the name in the sentence; without a name ("stop it") those with a word of it, or all."""
    if said := _name_said(at):
        return matching(apps, said)
    words = {_stem(word) for word in re.findall(r"[\w-]+", at.said.lower())}
    return [app for app in apps if _stem(str(app["name"])) in words] or apps


def matching(apps: Sequence[App], said: str) -> list[App]:
    """Apps of exactly this name, else of its bare word ("the blinker", "traffic light" for "traffic-light")."""
    bare = _NO_NAME.sub(" ", said).strip()  # "my blinky thing" is named "blinky"
    for form in (str, _plain, _stem):
        wanted = {form(said), form(bare)} if form is _stem else {form(said)}
        if found := [app for app in apps if form(str(app["name"])) in wanted]:
            return found
    return []


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name.lower())


def _stem(name: str) -> str:
    """ "blinker", "blinking" and "blink" are one word, "fader" and "fade" too."""
    return re.sub(r"(?:ing|er|ed|e|r|y)$", "", _plain(name))


def taking_off(at: Context, app: App) -> Act:
    """Take it off; "stop" keeps it for a start, as `app stop` does. What is not this host's cannot be kept."""
    name = str(app["name"])
    if not _keeps(at) or app.get("foreign"):
        return Act(_REMOVE, {"appName": name}, f"remove {name}")
    return Act(_SWITCH, {"appName": name, "switch": "stop"}, f"stop {name}")


def _remove(at: Context, app: App) -> Act:
    act = taking_off(at, app)
    return replace(act, arguments=at.on_device(**act.arguments))


def _keeps(at: Context) -> bool:
    return _TAKES_OFF.search(at.said) is None


def _gone(at: Context) -> list[str]:
    return [str(f.fields.get("appName")) for f in at.results if f.tool in (_REMOVE, _SWITCH) and f.ok]


def _removed(at: Context) -> Say | None:
    gone = _gone(at)
    if not gone:
        return None
    last, names = at.results[-1], ", ".join(gone)
    if last.tool == _SWITCH:
        back = f"start {gone[0]}" if len(gone) == 1 else "start and a name"
        return Say(f'{names} stopped on {last.device} ({_proof(last)}); undo or "{back}" brings it back.')
    was_stopped = set(gone) <= {app["name"] for app in _listing(at.results[0]).stopped}
    how = "removed from" if was_stopped else "stopped and taken off"
    is_undoable = len(gone) == 1 and last.fields.get("undoable") is True
    return Say(f"{names} {how} {last.device} ({_proof(last)}){'; undo brings it back' if is_undoable else ''}.")


def _proof(found: Result) -> str:
    return found.proof[1] or "accepted, no read-back"
