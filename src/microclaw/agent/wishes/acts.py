"""Reads what is to be done with a thing: "should light up for a minute", "off again", "flash it twice".

Its words are in act_words.toml.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.wishes.patterns import Patterns, compile_rows
from microclaw.agent.wishes.things import words_of
from microclaw.tables import read_table

_MARK: Final = r"(?:output|led|input)#(?:\d+|@[a-z]+)?"
_OUT: Final = (
    rf"(?P<out>{_MARK}(?:(?: ¦)?(?: and| also| plus| &)? {_MARK})*"
    r"|it(?! is\b| gets\b)|them|that one|the one|both(?: of them)?)"
)
_TABLE: Final = read_table(__package__, "act_words")
_PATTERNS: Final = compile_rows(_TABLE["acts"], _TABLE["parts"] | {"out": _OUT})
_SHORT: Final = compile_rows(_TABLE["short"], _TABLE["parts"])
_DETAILS: Final = compile_rows(_TABLE["details"], _TABLE["parts"])
_MORE: Final = re.compile(
    rf"(?:(?:and|then|also|next) )+(?:on |at |in )?(?P<out>{_MARK})(?= for| ¦| and| then| at| when| if|$)"
)
_BARE: Final = re.compile(
    rf"(?P<out>{_MARK})(?= (?:when|whenever|if|while|as long as|above|below|over|under|at clock|at \d)\b)"
)
_VALUES: Final = {
    "once": "1",
    "briefly": "1",
    "twice": "2",
    "thrice": "3",
    "fast": "200 ms",
    "quickly": "200 ms",
    "rapidly": "200 ms",
    "slow": "2000 ms",
    "slowly": "2000 ms",
}
# Which field of an act a detail fills, and with which words. "Every 2 s" is the time between two changes of a light.
_DETAIL_FIELDS: Final = {
    "span": ("span", "{}"),
    "end": ("span", "{}"),
    "count": ("count", "{}"),
    "period": ("period", "with a period of {}"),
    "every": ("period", "every {}"),
    "speed": ("period", "every {}"),
}
_BEEPS: Final = "with a period of 400 ms"
_COUNTED: Final = frozenset({"blink", "beep", "pulse"})
_AS_BEFORE: Final = frozenset({"on", "off", "toggle", "blink"})
_WORDS: Final = {
    "on": "turn on {out}",
    "off": "turn off {out}",
    "toggle": "toggle {out}",
    "blink": "blink {out}",
    "beep": "beep {out}",
    "pulse": "pulse {out}",
    "fade": "fade {out} in over {amount}",
    "ramp": "fade {out} up to {amount}",
    "breathe": "fade {out} in and out",
    "dim": "dim {out} to {amount}",
    "servo": "set the servo on {out} to {amount}",
    "keep": "keep the temperature at {amount} with {out}",
}
_WORDS_ALONE: Final = {
    "later": "wait {amount}",
    "warn": "warn me",
    "count": "count it",
    "all off": "turn everything off",
    "wait": "wait {amount}",
    "read": "read {amount}",
}
"""The acts that switch no pin."""


class Act(Struct, frozen=True):
    """What is to be done: its verb, and the marks of its things. `end` is where its words end.

    `span` is how long, `count` how often, `period` how fast a light blinks, `amount` how much or to what, each in the
    words of the grammar.
    """

    end: int
    verb: str
    out: tuple[str, ...] = ()
    span: str = ""
    count: str = ""
    period: str = ""
    amount: str = ""

    @property
    def words(self) -> str:
        """The act in the words of the grammar."""
        if self.verb in _WORDS_ALONE:
            return _WORDS_ALONE[self.verb].format(amount=self.amount)
        outputs = [words_of(mark) for mark in self.out]
        if self.verb == "alternate":
            return f"turn on {' and '.join(outputs)} in turn"
        return " and ".join(self._words_for(output) for output in outputs)

    @property
    def words_together(self) -> str:
        """The act of a sentence that has no other: its pins stand together."""
        if self.verb == "beep" and self.count:
            return replace(self, verb="blink", period=_BEEPS).words
        is_level = self.verb in ("on", "off") and not self.span
        if not is_level or "led#" in self.out:
            return self.words
        return self._words_for(" also ".join(words_of(mark) for mark in self.out))

    def _words_for(self, output: str) -> str:
        words = _WORDS[self.verb].format(out=output, amount=self.amount)
        if self.count:
            words += f" {self.count} times"
        if self.period:
            words += f" {self.period}"
        if self.span:
            words += f" for {self.span}"
        return words


def read_act(text: str, start: int, last: tuple[str, ...]) -> Act | None:
    """Read an act from this place on. `last` are the marks that "it" means."""
    act = _longest(_PATTERNS, text, start, last)
    if act is None and last:
        act = _longest(_SHORT, text, start, last)
    if act is None:
        return None
    return _with_details(text, act)


def read_more(text: str, start: int, before: Act) -> Act | None:
    """Read "and then pin 7 for a minute", which leaves the verb to the act before it."""
    match = _MORE.match(text, start)
    if match is None or before.verb not in _AS_BEFORE:
        return None
    return _with_details(text, Act(match.end(), before.verb, _marks(match["out"], ())))


def read_bare(text: str, start: int, before: Act | None) -> Act | None:
    """Read "red lamp on pin 4 when ..." at the begin of a clause: it is as the act before it, or on."""
    match = _BARE.match(text, start)
    if match is None or not re.search(r"(?:^|¦ |\band )$", text[:start]):
        return None
    if before is None:
        if match["out"].startswith("input#"):
            return None
        return Act(match.end(), "on", (match["out"],))
    if before.verb not in _AS_BEFORE or before.verb == "off" or before.span:
        return None
    return Act(match.end(), before.verb, (match["out"],))


def _longest(patterns: Patterns, text: str, start: int, last: tuple[str, ...]) -> Act | None:
    best: Act | None = None
    for verb, pattern in patterns:
        match = pattern.match(text, start)
        if match is None or (best is not None and match.end() <= best.end):
            continue
        groups = match.groupdict("")
        out = _marks(groups.get("out", ""), last)
        if verb in _WORDS_ALONE:
            out = ()
        elif not out:
            continue
        best = Act(
            match.end(),
            verb,
            out,
            span=groups.get("direct", ""),
            count=groups.get("count", ""),
            amount=_plain_amount(groups.get("amount", "")),
        )
    return best


def _plain_amount(words: str) -> str:
    """Return an amount in the words of the grammar: "temperature ¦ air humidity" is "temperature and humidity"."""
    words = words.replace("air ", "").replace(" ¦ and ", " and ")
    return words.replace(" ¦ ", " and ")


def _marks(words: str, last: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(re.findall(_MARK, words)) or last


def _with_details(text: str, act: Act) -> Act:
    """Return the act with how long, how often and how fast, which the words after it say."""
    while True:
        longer = _with_detail(text, act)
        if longer is None:
            return act
        act = longer


def _with_detail(text: str, act: Act) -> Act | None:
    for name, pattern in _DETAILS:
        match = pattern.match(text, act.end)
        if match is None or not _may_have(act, name):
            continue
        field, words = _DETAIL_FIELDS[name]
        if field == "period" and act.count:
            words = _DETAIL_FIELDS["period"][1]
        value = words.format(_VALUES.get(match["value"], match["value"]))
        return replace(act, end=match.end(), **{field: value})
    return None


def _may_have(act: Act, detail: str) -> bool:
    if detail == "span":
        return not act.span and act.verb not in _WORDS_ALONE
    if detail == "end":
        return not act.span and act.verb == "on"
    if detail == "count":
        return not act.count and act.verb in _COUNTED
    if detail == "every" and act.count:
        # So often all of it is done.
        return False
    return not act.period and act.verb == "blink"
