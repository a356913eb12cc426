"""Reads a wish in a person's own words as a sentence of the grammar, which is then asked: "I read this as ...".

A word that is nothing to the wish is left out, and is told. One that could change the meaning ("not", a number,
"until") makes no sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from microclaw.agent.wishes.acts import Act
from microclaw.agent.wishes.compose import sentences
from microclaw.agent.wishes.scan import Scan
from microclaw.agent.wishes.things import MARK, mark_things
from microclaw.agent.wishes.wording import clauses

_FILLER: Final = frozenset(
    "please the a an my our your and then so also but it is that this these those to of for with in on at i i'd want would "
    "first now going like you we me us do make have has be there here by itself themselves again too well all some any about around "
    "bit little really very quite nice as should must both shall will can may let need needs which them they".split()
)
"""Words that change nothing where they are left over."""
_DECISIVE: Final = re.compile(
    rf"\d|^(?:{MARK}|not|no|never|don't|doesn't|won't|can't|cannot|isn't|without|except|unless|until|while|when|whenever"
    r"|if|or|otherwise|else|instead|opposite|reverse|before|after|between|during|from|off|high|low|above|below|over|under"
    r"|than|only|random|randomly|count|counts|counting|number|faster|slower|brighter|darker|reset|alternately|alternate"
    r"|alternating|turns|once|twice|thrice|half|double|longer|shorter|long|short|every|each|second|third|times"
    r"|tomorrow|yesterday|weekdays|weekends|holidays|least|most|more|less|print|log|record|read|measure|show|display"
    r"|play|say|send|mail|text|call|phone|melody|song|tune|sos|morse|servo|angle|degrees|percent|color|colour|sunset"
    r"|sunrise|dark|bright|brightness|proportional|ramp|fade|dim|pwm|frequency|tone|minutes?|seconds?|hours?|days?|stop"
    r"|start|toggle|blink|flash|open|close|blinking|speed|level|everything|same|too|soon|further|first|last|next|button|door|window|sensor|probe|detector|contact|reed|it's~)$"
)
_DECISIVE_IN_REMARK: Final = re.compile(
    rf"\d|^(?:{MARK}|never|don't|without|except|unless|until|while|when|whenever|if|otherwise|else|instead|only|random"
    r"|randomly|count|reset|print|log|record|read|measure|show|display|play|send|mail|call|sos|or|morse|servo|angle|percent"
    r"|minutes?|seconds?|hours?|blink|flash|toggle|repeat|reverse|debounce|every|each|alternate|interrupt|ignore|also"
    r"|holidays|weekdays|weekends)$"
)
"""A clause of which nothing was used is a remark ("the lawn needs no more than that"), if none of these is in it."""
_MAX_LEFT_OUT: Final = 20
Understands = Callable[[str], bool]


class Wish(Struct, frozen=True):
    """A sentence of the grammar, and the words that it leaves out, by clauses."""

    sentence: str
    left_out: tuple[str, ...] = ()
    is_plain: bool = False
    """It is one act on one thing, of which every word was understood."""


def read_wish(text: str, understands: Understands) -> Wish | None:
    """Return the wish as a sentence that is understood, or None."""
    marked = mark_things(clauses(text))
    if marked is None:
        return None
    scan = Scan(marked)
    left_out = _left_out(scan)
    if left_out is None:
        return None
    for sentence in sentences(scan.items):
        if understands(sentence):
            is_plain = len(scan.items) == 1 and isinstance(scan.items[0], Act) and not left_out
            return Wish(sentence, left_out, is_plain)
    return None


def _left_out(scan: Scan) -> tuple[str, ...] | None:
    """Return the words that were not used; None if one of them may change the meaning."""
    told = []
    count = 0
    for clause in scan.skipped:
        words = clause.words
        content = [word.strip("()\"'") for word in words if word not in _FILLER]
        decisive = _DECISIVE
        if clause.is_remark:
            decisive = _DECISIVE_IN_REMARK
        if any(decisive.search(word) for word in content):
            return None
        count += len(content)
        if content:
            told.append(" ".join(words))
    if count > _MAX_LEFT_OUT:
        return None
    return tuple(told)
