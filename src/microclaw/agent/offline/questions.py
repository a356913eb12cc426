"""Questions about what was done, who did it and what comes next, answered from the host's records. None of them acts.

The evidence are the changes, the schedules, the programs and a reading that the tools return. Where these have none,
the answer says so: a program's own switching, for example, is not in the list of changes.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from microclaw.agent.language.times import spoken_duration
from microclaw.agent.offline.boards import PinTarget, pin_target
from microclaw.agent.offline.decision import Act, Context, Decider, Decision, Say, capitalize
from microclaw.agent.offline.schedule_answers import pins_named_in
from microclaw.agent.offline.sentences import english

_MAX_SHOWN: Final = 8
# As many changes as one call lists. What was done before them is not known here.
_CHANGES: Final = 200
_SETS_PIN: Final = ("gpio.set", "pwm.set")
_OPEN: Final = "open"
"""What a part knows that is on a door, a window or a lid."""
_OPEN_LEVELS: Final = ("closed", "open")
# From when to when on the day.
_PARTS: Final = {"this morning": (0, 12), "this afternoon": (12, 18), "this evening": (17, 24)}
_CANCELLED: Final = "Schedules that were cancelled are not recorded."
_NOT_RECORDED: Final = "What a program switches by itself is not recorded there"


def next_read(context: Context, *tools: str) -> Act | None:
    """Return the next tool to read, or None after the last one."""
    if len(context.results) >= len(tools):
        return None
    tool = tools[len(context.results)]
    arguments = {}
    if tool == "list-changes":
        arguments = {"limit": _CHANGES}
    if tool in ("time", "schedule-list"):
        return Act(tool, arguments)
    return Act(tool, context.on_device(**arguments))


def tool_fields(context: Context, tool: str) -> Mapping[str, Any]:
    for result in context.results:
        if result.tool == tool:
            return result.fields
    return {}


def _now(context: Context) -> datetime:
    return datetime.fromisoformat(str(tool_fields(context, "time").get("now")))


def done_changes(context: Context) -> list[Mapping[str, Any]]:
    """Return the changes of the board that were done, newest first."""
    device = None
    if context.device is not None:
        device = context.device.name
    changes = list[Mapping[str, Any]]()
    for change in tool_fields(context, "list-changes").get("changes", ()):
        is_here = device in (None, change.get("device"))
        if is_here and change.get("state") == "done":
            changes.append(change)
    return changes


def _is_whole(context: Context) -> bool:
    """Return False if there may be changes that the list does not have, older than all in it."""
    fields = tool_fields(context, "list-changes")
    return "cut" not in fields and len(fields.get("changes", ())) < _CHANGES


def _none_of(context: Context) -> str:
    """Return the words for the changes that were searched without success."""
    if _is_whole(context):
        return "no change"
    return f"none of the newest {len(tool_fields(context, 'list-changes').get('changes', ()))} changes"


def changes_of_pin(changes: Sequence[Mapping[str, Any]], pin: int) -> list[Mapping[str, Any]]:
    """Return the changes that set this pin."""
    pattern = re.compile(rf"\bpin {pin}\b")
    matches = list[Mapping[str, Any]]()
    for change in changes:
        if change.get("kind") in _SETS_PIN and pattern.search(str(change.get("summary"))):
            matches.append(change)
    return matches


def _moment(context: Context, change: Mapping[str, Any]) -> datetime:
    # The tool writes times in the zone of the machine.
    return datetime.fromisoformat(str(change.get("at_ms"))).astimezone(_now(context).tzinfo)


def change_words(context: Context, change: Mapping[str, Any]) -> str:
    """Return a change in words: what, when, who asked for it, and if it was undone."""
    moment = _moment(context, change)
    day = f"{moment:%H:%M}"
    if moment.date() != _now(context).date():
        day = f"{moment:%Y-%m-%d %H:%M}"
    details = list[str]()
    if change.get("change_id"):
        details.append(f"change {change['change_id']}")
    if change.get("person"):
        details.append(f"asked by {change['person']}")
    if change.get("undone_by"):
        details.append(f"undone by {change['undone_by']}")
    return f"{day} {change.get('summary')} ({', '.join(details)})"


def _done_acts(context: Context) -> list[Mapping[str, Any]]:
    """Return the changes of the board that were done and the schedules that were added, newest first."""
    acts = done_changes(context)
    for row in tool_fields(context, "schedule-list").get("schedules", ()):
        summary = f"add schedule {row['schedule']}: {row.get('what')}, {row.get('when')}"
        acts.append({"at_ms": row.get("created_ms"), "summary": summary, "person": row.get("by")})
    return sorted(acts, key=partial(_moment, context), reverse=True)


def _pin_reason(context: Context) -> Decision:
    """Tell which program drives a pin, and which change set it last."""
    target = pin_target(context)
    call = next_read(context, "query-wasm-apps", "list-changes", "time")
    if call is not None:
        return call
    program = program_on(context, target)
    changes = changes_of_pin(done_changes(context), target.pin)
    if program is not None:
        return Say(f"{capitalize(target.words)} is driven by {program}.")
    if not changes:
        text = (
            f"I have no record that {target.words} was set: no program of this host drives it, and "
            f"{_none_of(context)} names it"
        )
        return Say(f"{text}. It may have been set elsewhere.", next_step=f"its level now: read pin {target.pin}")
    return Say(f"The last change of {target.words}: {change_words(context, changes[0])}.")


def running_programs(context: Context) -> list[Mapping[str, Any]]:
    """Return the rows of the programs that run on the board, as the tool that lists them has them."""
    rows = tool_fields(context, "query-wasm-apps").get("apps", ())
    return [row for row in rows if row.get("state") == "running"]


def program_on(context: Context, target: PinTarget) -> str | None:
    """Return the program that runs on the pin, with when it was installed or started."""
    for row in running_programs(context):
        if target.pin in (row.get("pins") or ()):
            name = str(row.get("name"))
            change = _start_of(context, name)
            if change is None:
                return name
            return f"{name}: {change_words(context, change)}"
    return None


def _start_of(context: Context, program: str) -> Mapping[str, Any] | None:
    """Return the newest change that installed or started the program."""
    for change in done_changes(context):
        is_of_program = re.search(rf"(?<![\w-]){re.escape(program)}(?![\w-])", str(change.get("summary"))) is not None
        if is_of_program and str(change.get("kind")) in ("app.deploy", "app.upgrade", "app.start", "app.restart"):
            return change
    return None


def _acts_of(context: Context) -> Decision:
    """List the changes and new schedules of a day or a part of it, or the changes of one pin."""
    target = None
    if context.parse.pins or context.parse.word("thing") is not None:
        target = pin_target(context)
    call = next_read(context, "time", "list-changes", "schedule-list")
    if call is not None:
        return call
    period = _period_of(context)
    changes = list[Mapping[str, Any]]()
    for change in _done_acts(context):
        if _is_in(context, change, period):
            changes.append(change)
    if target is not None:
        changes = changes_of_pin(changes, target.pin)
    if not changes:
        return _nothing_done(context, target, period)
    lines = [f"  {change_words(context, change)}" for change in changes[:_MAX_SHOWN]]
    more_count = len(changes) - len(lines)
    if more_count:
        at_least = "" if _is_whole(context) else "at least "
        lines.append(f"  and {at_least}{more_count} more: microclaw app changes")
    if target is None:
        lines.append(f"  {_CANCELLED}")
    return Say("\n".join([f"{capitalize(period)}, newest first:", *lines]))


def _nothing_done(context: Context, target: PinTarget | None, period: str) -> Say:
    if target is not None:
        text = f"{capitalize(_none_of(context))} of this host set {target.words} {period}"
        return Say(f"{text}. {_NOT_RECORDED}.")
    text = f"{capitalize(_none_of(context))} is of {period}"
    if _is_whole(context):
        text = f"Nothing was changed by this host {period}"
    return Say(f"{text}. {_CANCELLED}")


def _last_act(context: Context) -> Decision:
    """Tell the newest change or new schedule of this host."""
    call = next_read(context, "time", "list-changes", "schedule-list")
    if call is not None:
        return call
    changes = _done_acts(context)
    if not changes:
        return Say(f"I have no record of an act: {_none_of(context)} was done. {_NOT_RECORDED}.")
    return Say(f"The last act: {change_words(context, changes[0])}. {_CANCELLED}")


def _period_of(context: Context) -> str:
    last_ms = context.parse.number("last_ms")
    if last_ms is None:
        return context.parse.word("period") or "today"
    return f"in the last {spoken_duration(last_ms)}"


def _is_in(context: Context, change: Mapping[str, Any], period: str) -> bool:
    moment = _moment(context, change)
    last_ms = context.parse.number("last_ms")
    if last_ms is not None:
        return (_now(context) - moment).total_seconds() * 1000 <= last_ms
    days_ago = (_now(context).date() - moment.date()).days
    if period == "yesterday":
        return days_ago == 1
    first, last = _PARTS.get(period, (0, 24))
    return days_ago == 0 and first <= moment.hour < last


def _contact(context: Context) -> Decision:
    """Read the pin of a door contact. What a level means is known only of a recorded one."""
    target = pin_target(_with_contact(context))
    if not context.results:
        return Act("gpio-get", context.on_device(pin=target.pin))
    level = int(context.results[-1].fields["level"])
    device = context.results[-1].device
    word = ("low", "high")[level]
    parts = context.device.wiring.on_pin(target.pin) if context.device is not None else ()
    for part in parts:
        if _OPEN in part.facts.known:
            # A contact that is wired as usual connects the pin with ground while the door is shut.
            is_open = level == part.active_level
            name = part.label or part.id
            return Say(f"{capitalize(name)} is {_OPEN_LEVELS[is_open]}: pin {target.pin} of {device} is {word}.")
    text = (
        f"Pin {target.pin} of {device} is {word}. No door contact is recorded there, so I do not know if that is open."
    )
    return Say(text, next_step=f"with a contact to ground high is open; record it: microclaw device wiring {device}")


def _with_contact(context: Context) -> Context:
    """Return the sentence with the pin of the only recorded door contact, if it names none."""
    if context.device is None or context.parse.pins:
        return context
    contacts = [part for part in context.device.wiring.parts if _OPEN in part.facts.known]
    if len(contacts) != 1:
        return context
    pin = next(iter(contacts[0].pins.values()))
    return replace(context, parse=context.parse.on_pins([pin]))


def _next_run(context: Context) -> Decision:
    """Tell when a schedule that names the pin or the thing is due."""
    call = next_read(context, "schedule-list")
    if call is not None:
        return call
    pins = context.parse.pins
    pattern = ""
    if pins:
        pattern = rf"\bpin {pins[0]}\b"
    elif context.parse.word("thing") == "led":
        pattern = r"\bled\b"
    rows = []
    schedules = tool_fields(context, "schedule-list").get("schedules", ())
    for row in sorted(schedules, key=lambda schedule: str(schedule.get("next_ms"))):
        is_due = row.get("state") != "over" and row.get("next")
        if is_due and re.search(pattern, str(row.get("what")), re.I):
            rows.append(f"{row['next']}: {row.get('what')} (schedule {row['schedule']})")
    if not rows:
        text = "No schedule of this host names it. A program on the board may run it at times of its own"
        return Say(f"{text}.", next_step="what is scheduled")
    if not pattern:
        return Say(f"No schedule is found by that name. What is due: {'; '.join(rows[:_MAX_SHOWN])}.")
    return Say(f"Next: {'; '.join(rows[:_MAX_SHOWN])}.")


def _running_since(context: Context) -> Decision:
    """Tell since when the program on a pin runs, from the change that installed or started it."""
    target = pin_target(context)
    call = next_read(context, "query-wasm-apps", "list-changes", "time")
    if call is not None:
        return call
    program = program_on(context, target)
    if program is None:
        return Say(f"No program of this host runs on {target.words} now.", next_step="what is running")
    return Say(f"On {target.words} runs {program}.")


def _programs_for(context: Context) -> Decision:
    """List the ready programs whose words have the topic."""
    topic = _topic_of(context)
    if not context.results:
        return Act("catalog", {"words": topic})
    rows = context.results[-1].fields.get("entries", ())
    if not rows:
        return Say(f"No ready program has the word {topic!r}.", next_step="all: microclaw app search")
    text = f"{len(rows)} ready:"
    for row in rows[:_MAX_SHOWN]:
        text += f"\n  {row[0]}: {row[1]}"
    return Say(text, next_step="microclaw app install NAME")


def _ways_of(context: Context) -> Decision:
    """List the example sentences with the word of the topic."""
    word = re.escape(_topic_of(context).split(" ")[-1])
    examples = [*english().examples.values(), *english().display_examples, *english().recorded]
    sentences = dict[str, None]()
    for example in examples:
        sentence = re.sub(r"[{}]", "", example)
        if re.search(rf"\b{word}\b", sentence):
            sentences[sentence] = None
    if not sentences:
        return Say(f"I know no sentence with {_topic_of(context)!r}.", next_step="what can you do")
    return Say("\n  ".join(["As in:", *tuple(sentences)[:_MAX_SHOWN]]))


def _topic_of(context: Context) -> str:
    """Return the topic in the singular."""
    topic = (context.parse.word("topic") or "").strip(" ?.!")
    if topic.endswith("s") and len(topic) > 3:
        return topic[:-1]
    return topic


def pin_uses(context: Context) -> dict[int, str]:
    """Return what else uses each pin: a remembered name, or an act that left it on."""
    uses = dict[int, str]()
    device = context.device.name if context.device is not None else None
    for name in context.device_context.names:
        if name.device is None or name.device == (device or "").lower():
            uses[name.pin] = f"remembered as {name.name}"
    for pin, change in pins_left_on(context).items():
        uses[pin] = f"left on: {change['summary']} (change {change['change_id']})"
    return uses


def pin_schedules(context: Context) -> dict[int, str]:
    """Return the pins that schedules of this board name, each with all of these schedules in words."""
    device = context.device.name if context.device is not None else None
    numbers = defaultdict[int, list[str]](list)
    for row in tool_fields(context, "schedule-list").get("schedules", ()):
        is_here = row.get("state") != "over" and row.get("device") in (None, device)
        if is_here:
            for pin in pins_named_in(str(row.get("what"))):
                numbers[pin].append(str(row["schedule"]))
    texts = dict[int, str]()
    for pin, found in numbers.items():
        word = "schedules" if len(found) > 1 else "schedule"
        texts[pin] = f"named by {word} {', '.join(found)}"
    return texts


def pins_left_on(context: Context) -> dict[int, Mapping[str, Any]]:
    """Return the pins that a change left high or with a duty, each with that change."""
    newest = dict[int, Mapping[str, Any]]()
    for change in done_changes(context):
        match = re.search(r"\bpin (\d+)\b", str(change.get("summary")))
        is_set = change.get("kind") in _SETS_PIN and not change.get("undone_by") and not change.get("undoes")
        if match is not None and is_set:
            newest.setdefault(int(match[1]), change)
    pins = dict[int, Mapping[str, Any]]()
    for pin, change in newest.items():
        if not re.search(r" low$|\(duty 0 of", str(change.get("summary"))):
            pins[pin] = change
    return pins


QUESTIONS: Final[Mapping[str, Decider]] = {
    "pin_reason": _pin_reason,
    "acts_of": _acts_of,
    "last_act": _last_act,
    "contact": _contact,
    "next_run": _next_run,
    "running_since": _running_since,
    "programs_for": _programs_for,
    "ways_of": _ways_of,
}
