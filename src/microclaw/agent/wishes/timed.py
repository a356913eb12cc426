"""Writes what was read of a wish as a sentence of the grammar: with its times, and without (compose.py)."""

from __future__ import annotations

from collections.abc import Sequence

from microclaw.agent.wishes.acts import Act
from microclaw.agent.wishes.compose import OPPOSITE, act_words, pace_words, untimed
from microclaw.agent.wishes.items import Condition, Item, Pace, Time, days_of, times_by_act


def sentences(items: Sequence[Item]) -> list[str]:
    """Return the sentences that may say it, the likeliest first; nothing if nothing is to be done."""
    times = [item for item in items if isinstance(item, Time)]
    has_pace = any(isinstance(item, Pace) for item in items)
    if times and (has_pace or any(isinstance(item, Condition) for item in items)):
        return _in_window(items, times)
    if times:
        return _timed(items)
    return untimed(items)


def _in_window(items: Sequence[Item], times: Sequence[Time]) -> list[str]:
    """Return what begins and is done in a window of each day, or of some days; nothing for what is off in it."""
    windows = [time.words for time in times if time.kind == "window"]
    days = days_of(items)
    if days is None or len(windows) != 1:
        return []
    if any(time.kind not in ("window", "days") for time in times):
        return []
    if any(isinstance(item, Act) and item.verb == "off" for item in items):
        return []
    rest = [item for item in items if not isinstance(item, Time)]
    return [f"{sentence}{days or ' every day'} {windows[0]}" for sentence in untimed(rest)]


def _timed(items: Sequence[Item]) -> list[str]:
    """Return acts with their times."""
    acts = []
    paces = []
    for item in items:
        if isinstance(item, Time) and item.kind == "unknown":
            return []
        if isinstance(item, Pace) and item.is_gap:
            return []
        if isinstance(item, Act):
            acts.append(item)
        elif isinstance(item, Pace):
            paces.append(item)
    days = days_of(items)
    if days is None:
        return _by_days(items, acts)
    times = times_by_act(items)
    if len(acts) == 1:
        return [_at_times(acts[0], f"{pace_words(paces)}{days}", " and ".join(times[0]))]
    if acts and times[0] and not any(times[1:]):
        return [f"{act_words(acts)}{days} {' and '.join(times[0])}"]
    if acts and all(times):
        return [_each_at_its_time(acts, times, days)]
    return []


def _at_times(act: Act, details: str, moments: str) -> str:
    words = f"{act.words_together}{details}"
    if moments.startswith("in ") and (act.span or act.count):
        # "Blink 2 times in 5 s" could be how long it takes.
        return f"{moments} {words}"
    return f"{words} {moments}".strip()


def _each_at_its_time(acts: Sequence[Act], times: Sequence[Sequence[str]], days: str) -> str:
    """Return "turn on pin 5 every day at 7 and off at 8"."""
    parts = list[str]()
    for act, moments in zip(acts, times, strict=True):
        words = act.words_together
        if not parts:
            words += days
        elif act.verb in OPPOSITE and act.out == acts[0].out and not act.span:
            words = act.verb
        parts.append(f"{words} {' and '.join(moments)}")
    return " and ".join(parts)


def _by_days(items: Sequence[Item], acts: Sequence[Act]) -> list[str]:
    """Return an act with "every saturday at 9 and every weekday at 06:45": each day has its time after it."""
    times = [item for item in items if isinstance(item, Time)]
    kinds = [time.kind for time in times]
    if len(acts) != 1 or kinds != ["days", "clock"] * 2:
        return []
    first, first_clock, second, second_clock = (time.words for time in times)
    return [f"{acts[0].words_together} {first} {first_clock} and {second} {second_clock}"]
