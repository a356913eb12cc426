"""What is said about schedules: the call that adds one, its answer, which one is meant. It schedules nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import asdict

from microclaw.agent.language.times import When, format_when
from microclaw.agent.offline.decision import Act, Context, Decision, Say, ToolFields, capitalize
from microclaw.events import Choice

# Buttons of one question.
MAX_CHOICES: Final = 9
HOST_MUST_RUN: Final = "This host must run then."


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
    if when.delay_ms is not None:
        # "Fade in 3 s" has two readings, so the delay stands before the task.
        words = f"{time} {task}"
    return Act("schedule-add", context.on_device(when=values, do=task), words)


def answer_schedule(fields: Mapping[str, Any]) -> Say:
    """Answer with what is done, if it is done once or again and again, when next, and that the host must run then."""
    return answer_schedules([fields])


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
