"""Answers how often something happened, and the highest, lowest or direction of a reading, from what programs printed.

The host asks for no readings by itself. Where no program wrote any, the answer says so and how to write them from now.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from microclaw.agent.offline.decision import Context, Decider, Decision, Say
from microclaw.agent.offline.earlier_sentences import find_mentions, topic_words
from microclaw.agent.offline.thing_questions import (
    Subject,
    log_lines,
    names_button,
    next_call,
    programs_on,
    reading_calls,
    sensor_calls,
    sensor_words,
    subject_of,
)

_COUNT: Final = re.compile(r"\bcount(?:ed|er)?\b\D{0,12}(\d+)|\b(\d+) (?:times|presses|counts)\b", re.I)
_ASKED_TO_COUNT: Final = re.compile(r"\bcount\b", re.I)
_UNITS: Final = {"temperature": "°C", "humidity": "%", "pressure": "hPa"}


def _counted(context: Context) -> Decision:
    """Tell the newest counts in the programs' logs, of the thing's pin if that is known."""
    subject = _counted_subject(context)
    call = next_call(context, reading_calls(context, "read-logs", "query-wasm-apps"))
    if call is not None:
        return call
    counters = list[str]()
    if subject.pin is not None:
        counters = programs_on(context, subject.pin)
    counts = dict[str, str]()
    for program, line in log_lines(context):
        match = _COUNT.search(line)
        is_meant = subject.pin is None or program in counters
        if match is not None and is_meant:
            counts[program] = match[1] or match[2]
    thing = f"the {subject.words}"
    if subject.pin is not None:
        thing = f"the {subject.words} (pin {subject.pin})".replace(f"the pin {subject.pin} ", "it ")
    if counts:
        listed = "; ".join(f"{program} has counted {count}" for program, count in counts.items())
        return Say(f"{listed}, since it was started: that is its last line in the log.{subject.quoted}")
    counter = next((program for program in counters if "count" in program), None)
    if counter is not None:
        text = f"{counter} has counted 0 so far for {thing}: its log has no count since it was started."
        return Say(f"{text}{subject.quoted}")
    text = f"That was not recorded: no program of this host counts {thing}, so I do not know."
    pin = subject.pin if subject.pin is not None else "N"
    return Say(f"{text}{subject.quoted}", next_step=f"from now on: count the presses of the button on pin {pin}")


def _counted_subject(context: Context) -> Subject:
    """Return the thing that is counted: of the user's sentences first one that asked to count, if there is any."""
    words = topic_words(context.parse.word("topic") or "")
    counting = list(filter(_ASKED_TO_COUNT.search, context.earlier))
    mentions = find_mentions(words, counting)
    if not mentions and len(counting) == 1 and not names_button(words):
        mentions = find_mentions(("count",), counting)
    if mentions and context.parse.number("pin") is None:
        return Subject(" ".join(words), mentions[0].pin, mentions)
    return subject_of(context)


def _values(context: Context, quantity: str) -> list[float]:
    """Return the values of the quantity in the programs' logs, the oldest first."""
    pattern = re.compile(rf"\b{quantity}\b[ :=]{{1,3}}(-?\d+(?:\.\d+)?)", re.I)
    values = list[float]()
    for _, line in log_lines(context):
        match = pattern.search(line)
        if match is not None:
            values.append(float(match[1]))
    return values


def _logged(context: Context) -> Decision:
    """Tell the highest or lowest reading in the logs, or if they went up or down; else the reading of now."""
    quantity = context.parse.word("quantity") or ""
    calls = [*reading_calls(context, "read-logs"), *sensor_calls(context, [quantity]).values()]
    call = next_call(context, calls)
    if call is not None:
        return call
    values = _values(context, quantity)
    is_trend = context.parse.kind == "logged_trend"
    least_count = 2 if is_trend else 1
    if len(values) < least_count:
        return _not_recorded(context, quantity)
    if is_trend:
        text = _trend_text(quantity, values)
    else:
        text = _extreme_text(context, quantity, values)
    return Say(f"{text} Older ones are not in the log any more.")


def _extreme_text(context: Context, quantity: str, values: list[float]) -> str:
    is_most = context.parse.number("most")
    value = max(values) if is_most else min(values)
    word = "highest" if is_most else "lowest"
    return (
        f"The {word} {quantity} in the programs' log is {value:g} {_UNITS[quantity]}, of {len(values)} readings in it."
    )


def _trend_text(quantity: str, values: list[float]) -> str:
    first = values[0]
    last = values[-1]
    if last == first:
        way = "is the same"
    elif last > first:
        way = "has gone up"
    else:
        way = "has gone down"
    unit = _UNITS[quantity]
    return f"The {quantity} {way}: from {first:g} to {last:g} {unit}, in {len(values)} readings of the programs' log."


def _not_recorded(context: Context, quantity: str) -> Say:
    sensors = list(sensor_calls(context, [quantity]))
    text = f"Too little was recorded: no program wrote the {quantity} into its log, so I do not know."
    step = f"from now on: read the {quantity} every 5 minutes and print it"
    return Say(f"{text} Now:{sensor_words(context, sensors)}", next_step=step)


LOG_QUESTIONS: Final[Mapping[str, Decider]] = {
    "counted": _counted,
    "logged_extreme": _logged,
    "logged_trend": _logged,
}
