"""What is said about schedules: the call that adds one, its answer, which ones are meant. It schedules nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import asdict

from microclaw.agent.language.times import When, format_when
from microclaw.agent.offline.decision import Act, Context, Decision, Say, ToolFields, all_at_once, capitalize
from microclaw.events import Choice

# Buttons of one question.
MAX_CHOICES: Final = 9
INSTEAD_OF: Final = "instead_of"
"""The slot of the number of the schedule that a new one takes the place of."""
HOST_MUST_RUN: Final = "This host must run then."
_PIN: Final = re.compile(r"\bpin (\d+)\b")
_NUMBERS: Final = re.compile(r"(?:(?:schedules?|numbers?|no|and|&|\d{1,6}) ?)+")


def take_back(context: Context, added: list[ToolFields], failed: ToolFields) -> Decision:
    """Remove the schedules of the sentence again, then tell why the other one could not be added."""
    removed = [result for result in context.results if result.tool == "schedule-remove"]
    if len(removed) < len(added) and failed.tool == "schedule-add":
        number = added[len(removed)].fields["schedule"]
        return Act("schedule-remove", {"schedule": number}, f"cancel schedule {number}")
    text = f"{capitalize(str(failed.fields.get('message', 'it failed')))}, so nothing was scheduled."
    if failed.tool != "schedule-add":
        text = f"{capitalize(str(failed.fields.get('message', 'it failed')))}. One of two schedules was made."
    return Say(text, str(failed.fields.get("error", "tool_failed")), failed.fields.get("next"))


def with_capitals(what: str, sentence: str) -> str:
    """Return the task as the user typed its words: a reminder's names keep their capitals."""
    typed = {word.lower(): word for word in sentence.split()}
    return " ".join(typed.get(word, word) for word in what.split())


def add_schedule(context: Context, when: When, task: str) -> Act:
    values = {name: value for name, value in asdict(when).items() if value}
    time = format_when(when)
    words = f"{task} {time}"
    wrong = context.parse.number(INSTEAD_OF)
    if when.delay_ms is not None:
        # "Fade in 3 s" has two readings, so the delay stands before the task.
        words = f"{time} {task}"
    if wrong is not None:
        words += f" instead of schedule {wrong}"
    return Act("schedule-add", context.on_device(when=values, do=task), words)


def answer_added(context: Context, added: ToolFields) -> Decision:
    """Answer with what is done, how often and when; first cancel the schedule that this one takes the place of."""
    answer = answer_schedules([added.fields])
    wrong = context.parse.number(INSTEAD_OF)
    if wrong is None:
        return answer
    if context.results[-1] is added:
        # The user has approved the words of the first call, which stand for both.
        return Act("schedule-remove", {"schedule": wrong}, "")
    return Say(f"{answer.text} Schedule {wrong} was cancelled.")


def answer_schedules(schedules: Sequence[Mapping[str, Any]], *, is_window: bool = False) -> Say:
    """Answer about the schedules of one sentence. `is_window`: the first one begins what the second one ends."""
    texts = [describe_schedule(fields) for fields in schedules]
    if is_window:
        # The window may be open just now.
        texts.append(f"It begins {schedules[0].get('next')}, not now.")
    return Say(" ".join([*texts, HOST_MUST_RUN]))


def describe_schedule(fields: Mapping[str, Any]) -> str:
    """Return what a schedule does and when, with its warning."""
    repetition = "once"
    if fields.get("kind") != "once":
        repetition = str(fields.get("when"))
    text = f"Schedule {fields.get('schedule')}: {fields.get('what')}, {repetition}; next {fields.get('next')}."
    if fields.get("warning"):
        text += f" Careful: {fields['warning']}."
    return text


def ask_which_schedule(schedules: Sequence[Mapping[str, Any]]) -> Say:
    """Ask which of these schedules is to be cancelled; its number answers."""
    lines = "; ".join(map(schedule_line, schedules))
    choices = []
    for schedule in schedules[:MAX_CHOICES]:
        number = schedule["schedule"]
        choices.append(Choice(f"{number}: {schedule.get('what')}", f"cancel schedule {number}"))
    return Say(
        f"Which one should be cancelled now: {lines}?",
        "ambiguous",
        choices[0].say,
        "number",
        choices=tuple(choices),
    )


def schedule_line(schedule: Mapping[str, Any]) -> str:
    """Return a schedule in one line, with when it is due next."""
    state = str(schedule.get("state"))
    if schedule.get("next"):
        state = f"next {schedule['next']}"
    if schedule.get("failure"):
        state += f"; last run failed: {schedule['failure']}"
    return f"{schedule['schedule']}: {schedule.get('when')}: {schedule.get('what')} ({state})"


class _Named(Struct, frozen=True):
    """The schedules that a sentence names: by their numbers, or by the pins that they name. Both may be empty."""

    numbers: tuple[int, ...] = ()
    pins: tuple[int, ...] = ()
    is_sure: bool = False

    def has(self, schedule: Mapping[str, Any]) -> bool:
        if self.numbers:
            return schedule["schedule"] in self.numbers
        if self.pins:
            return not pins_named_in(str(schedule.get("what"))).isdisjoint(self.pins)
        return True


def pins_named_in(text: str) -> set[int]:
    return {int(digits) for digits in _PIN.findall(text)}


def list_or_cancel_schedules(context: Context) -> Decision:
    """List the schedules that are not over, or cancel those that the sentence names."""
    if not context.results:
        return Act("schedule-list", {})
    schedules = [row for row in context.results[0].fields.get("schedules", ()) if row.get("state") != "over"]
    if context.parse.kind == "list_schedules":
        return _list_schedules(schedules)
    return _cancel_schedules(context, schedules)


def _cancel_schedules(context: Context, schedules: Sequence[Mapping[str, Any]]) -> Decision:
    named = _named_schedules(context)
    matches = [row for row in schedules if named.has(row)]
    removed = [result.fields.get("removed") for result in context.results if result.tool == "schedule-remove"]
    acts = list[Act]()
    for row in matches:
        number = row["schedule"]
        if number not in removed:
            acts.append(Act("schedule-remove", {"schedule": number}, f"cancel schedule {number}"))
    if removed and not acts:
        return _answer_cancelled(context, [row for row in matches if row["schedule"] in removed])
    if not matches:
        return _nothing_to_cancel(schedules, named)
    if named.is_sure or context.parse.confirmed:
        return all_at_once(acts)
    is_listed = bool(named.numbers) and context.parse.when is None
    is_single = bool(named.pins) and len(matches) == 1
    # "All at 8" is not all.
    is_all = bool(context.parse.values.get("all")) and (bool(named.pins) or "words" not in context.parse.values)
    if is_all or is_listed or is_single:
        return _ask_to_cancel(matches, named)
    return ask_which_schedule(matches)


def _named_schedules(context: Context) -> _Named:
    parse = context.parse
    number = parse.number("number")
    if number is not None:
        return _Named((number,), is_sure=parse.when is None)
    # Those that undo reverts.
    numbers = parse.word("numbers")
    if numbers is not None:
        return _Named(tuple(map(int, numbers.split())), is_sure=True)
    words = parse.word("words") or ""
    if _NUMBERS.fullmatch(words):
        return _Named(tuple(map(int, re.findall(r"\d+", words))))
    pins = pins_named_in(words)
    for name in context.device_context.names:
        if re.search(rf"\b{re.escape(name.name)}\b", words):
            pins.add(name.pin)
    return _Named(pins=tuple(sorted(pins)))


def _ask_to_cancel(schedules: Sequence[Mapping[str, Any]], named: _Named) -> Say:
    numbers = [row["schedule"] for row in schedules]
    text = f"That cancels now {'; '.join(map(schedule_line, schedules))}."
    missing = [str(number) for number in named.numbers if number not in numbers]
    if missing:
        text += f" There is no schedule {' or '.join(missing)}."
    step = f"yes, cancel {', '.join(map(str, numbers))}"
    return Say(f"{text} Say yes to do it.", "confirm", step, "confirmed")


def _answer_cancelled(context: Context, schedules: Sequence[Mapping[str, Any]]) -> Say:
    lines = "; ".join(map(schedule_line, schedules))
    for result in context.results:
        if result.fields.get("under_way"):
            return Say(f"Cancelled: {lines}. What had begun continues.")
    return Say(f"Cancelled: {lines}.")


def _list_schedules(schedules: Sequence[Mapping[str, Any]]) -> Say:
    if not schedules:
        return Say("Nothing is scheduled.", next_step="as in: every weekday at 7 turn on pin 4")
    in_order = sorted(schedules, key=lambda schedule: str(schedule.get("next_ms")))
    lines = [f"{len(schedules)} scheduled:"]
    for row in in_order:
        lines.append(f"  {schedule_line(row)}")
    return Say("\n".join(lines))


def _nothing_to_cancel(schedules: Sequence[Mapping[str, Any]], named: _Named) -> Say:
    if not schedules:
        step = "undo reverts the last change of a board"
        return Say("Nothing is scheduled, so nothing was cancelled.", "unknown_name", step)
    text = f"There is: {'; '.join(map(schedule_line, schedules))}"
    if named.pins:
        text = f"No schedule names pin {' or '.join(map(str, named.pins))}. {text}"
    step = f"cancel schedule {schedules[0]['schedule']}"
    return Say(f"{text}, so nothing was cancelled.", "unknown_name", step)
