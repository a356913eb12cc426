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
from microclaw.agent.wishes.scan import Clause, Scan
from microclaw.agent.wishes.things import MARK, MarkedWish, mark_things, words_of
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
    r"|randomly|count|reset|print|log|record|read|measure|show|display|play|send|mail|call|sos|morse|servo|angle|percent"
    r"|minutes?|seconds?|hours?|blink|flash|toggle|repeat|reverse|debounce|every|each|alternate|interrupt|ignore|also"
    r"|holidays|weekdays|weekends)$"
)
"""A clause of which nothing was used is a remark ("the lawn needs no more than that"), if none of these is in it."""
_MAX_LEFT_OUT: Final = 20
Understands = Callable[[str], bool]


class Wish(Struct, frozen=True):
    """A wish as it is read.

    `sentence` is one of the grammar, `left_out` are words that it leaves out, by clauses. `open_words` are those that
    would change it and are not understood: the wish is not to be done without them. `is_plain`: it is one act on one
    thing, of which every word was understood.
    """

    sentence: str
    left_out: tuple[str, ...] = ()
    open_words: tuple[str, ...] = ()
    is_plain: bool = False


def read_wish(text: str, understands: Understands) -> Wish | None:
    """Return the wish as a sentence that is understood, or None."""
    marked = mark_things(clauses(text))
    if marked is None:
        return None
    scan = Scan(marked)
    left_out, open_words = _left_over(scan)
    for sentence in sentences(scan.items):
        if not understands(sentence):
            continue
        if not _names_all(sentence, marked):
            return None
        is_plain = len(scan.items) == 1 and isinstance(scan.items[0], Act) and not left_out
        return Wish(sentence, left_out, open_words, is_plain)
    return None


def _names_all(sentence: str, marked: MarkedWish) -> bool:
    """Return True if each pin of the wish is in the sentence: a thing that has no part in it was not understood."""
    pins = {int(number) for number in re.findall(r"\bpin (\d+)", sentence)}
    return all(thing.pin is None or thing.pin in pins for thing in marked.things.values())


def _left_over(scan: Scan) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words that were not used, by clauses: those that change nothing, and those that may."""
    left_out = []
    open_words = []
    for clause in scan.skipped:
        words = " ".join(clause.words)
        content = [word.strip("()\"'") for word in clause.words if word not in _FILLER]
        if not content:
            continue
        if any(_pattern(clause).search(word) for word in content) or len(content) > _MAX_LEFT_OUT:
            open_words.append(_unmarked(words))
        else:
            left_out.append(words)
    return tuple(left_out), tuple(open_words)


def _pattern(clause: Clause) -> re.Pattern[str]:
    if clause.is_remark and clause.words[0] not in ("or", "not"):
        return _DECISIVE_IN_REMARK
    return _DECISIVE


def _unmarked(words: str) -> str:
    """Return words with their things as a person may say them."""
    return re.sub(MARK, lambda match: words_of(match[0]), words)
