"""Which words that nobody taught us are harmless where they stand: names, places, manners. It gives them no meaning.

A word of an open class (what hangs on a pin, where it is, who it is for, how) may be any word. A word that stands where
a verb stands may be a second thing to do, a number that no unit explains may change everything: those stay unread,
and a sentence with one is not acted on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from microclaw.models.frames import THINGS, Meant
from microclaw.models.quantities import QUANTITY_WORDS

Next = Callable[[str, int], Meant | None]

_DETERMINERS: Final = frozenset(
    re.findall(r"\w+", "a an the my our your his her their its this that these those some both")
)
_BEFORE_A_NAME: Final = frozenset(
    re.findall(
        r"\w+", "inside of for from near beside behind around above below next outside during among towards via past"
    )
)
_PREPOSITIONS: Final = _BEFORE_A_NAME | frozenset(
    re.findall(r"\w+", "in into on at by under over through with to like as onto upon within")
)
_ORDERS: Final = frozenset({"on", "off", "set", "toggle", "blink", "fade", "pulse", "dim", "stop", "hold", "react"})
_SWITCHES: Final = frozenset({"on", "off", "set", "toggle"})  # "start ventilator on pin 4", but "blink sos on pin 4"
_NO_LOAD: Final = frozenset(
    {"mains", "socket", "outlet", "wall", "ground", "gnd", "every", "all", "other", "same", "previous", "next"}
)
_JOINING: Final = (
    _DETERMINERS
    | _PREPOSITIONS
    | frozenset(re.findall(r"\w+", "to and then also so it is are i you we they not but if"))
)
_NO_MANNER: Final = frozenset({"family", "supply", "reply", "apply", "multiply", "assembly", "fly", "only", "anomaly"})
_JOINT: Final = re.compile(
    r" (?:(?:which|that|who) )?(?:(?:is|are|sits|hangs|lives) )?(?:(?:connected|wired|attached|hooked up|plugged) )?"
    r"(?:on|at|to|of|in|via|using|behind|under) (?:(?:the|my|our) )?(?:digital |output |gpio )?pin \d"
)
_WIRED: Final = re.compile(
    r" (?:up |on |down )?(?:to|on|at|into|onto|off|via|behind|from|in) (?:(?:the|my|our) )?pin \d"
)
_ORDER: Final = re.compile(
    r" (?:turn|switch|set|put|make|let|blink|flash|dim|fade|pulse|beep|toggle|read|show|tell|log)\b"
)
_WORDS: Final = re.compile(r"[a-z][a-z'-]*(?: [a-z][a-z'-]*)*")
_MAX_RUN: Final = 4
_BARE_PIN: Final = re.compile(
    r"(?:(?:on|off|pwm|output|out|relay|channel|contactor|port|line|socket number) )(\d{1,2})(?![\w.:%])"
    r"(?! ?(?:milli|ms|times?|x|degrees?|percent|pins?|leds?|lights?|hz|seconds?|minutes?|hours?)\b)"
)

_LEVEL: Final = r"(?:high|low|on|off)"
_NEXT_LEVEL: Final = re.compile(  # "pin 4 high and 5 low"
    rf"(\bpin \d+ (?:to )?{_LEVEL}(?: and| but| then)*) (\d{{1,2}}(?:(?: and| also) \d{{1,2}})*) (?={_LEVEL}\b)"
)
_COLOUR_ON: Final = re.compile(r"\b(red|yellow|amber|orange|green) (?:(?:is|=) )?(?:on|at|to) (\d{1,2})(?![\w.:%])")
_BARE_BUTTON: Final = re.compile(r"\b(button|key|switch) (\d{1,2})(?![\w.:%])(?! ?(?:milli|ms|times?|x)\b)")


def bare_pin(said: str) -> str:
    """ "the contactor on 12" as "... on pin 12", where that is the only number without a unit and no pin is named."""
    said = _COLOUR_ON.sub(r"\1 pin \2", _BARE_BUTTON.sub(r"\1 pin \2", said))
    while listed := _NEXT_LEVEL.search(said):
        pins = " also ".join(f"pin {number}" for number in re.findall(r"\d+", listed[2]))
        said = f"{said[: listed.start()]}{listed[1]} {pins} {said[listed.end() :]}"
    if re.search(r"\bpin \d", said) or len(_BARE_PIN.findall(said)) != 1:
        return said
    return _BARE_PIN.sub(lambda m: f"{m[0][: -len(m[1])]}pin {m[1]}", said)


def harmless(text: str, at: int, before: Sequence[Meant], known: Next) -> Meant | None:
    """The words from `at` on that are unknown, as what they are harmless as; None where they may change what is asked.

    `known`: the part that is known at a place of the text.
    """
    run = _run(text, at, known)
    if not run or not QUANTITY_WORDS.isdisjoint(run):
        return None  # "for tno minutes": a number that cannot be read
    said = " ".join(run)
    end = at + len(said)
    lead = [part for part in before if part.text]
    if len(run) == 1 and said.endswith("ly") and said not in _NO_MANNER:
        return Meant(frozenset({"filler"}), said)
    if not lead and len(run) == 1 and _ORDER.match(text, end):
        return Meant(frozenset({"filler"}), said)  # an address, or "please" in another language
    if len(run) == 1 and said.endswith(("ed", "ing")) and _WIRED.match(text, end):
        return Meant(frozenset({"filler"}), said)  # "the pump hooked to pin 7"
    thing = known(text, end + 1)
    if thing is not None and thing.numbers and "pin" not in thing.tags:
        return None  # half of what, how many times what
    while len(lead) > 1 and lead[-1].tags == {"filler"} and lead[-1].text not in _JOINING and _is_article(lead[-2]):
        lead.pop()  # "the test rig": "test" says nothing
    last = lead[-1].text.split(" ")[-1] if lead else ""
    if thing is not None and not thing.tags.isdisjoint(THINGS) and _may_name(run, lead, last):
        return Meant(frozenset({"load"}), text[at : end + 1 + len(thing.text)])
    if _JOINT.match(text, end) and _may_name(run, lead, last):
        return Meant(frozenset({"load"}), said)
    if last in _DETERMINERS:
        return _noun(said, run, lead)
    placed = bool(lead) and lead[-1].tags == {"filler"} and last in _BEFORE_A_NAME and len(run) <= 2
    return Meant(frozenset({"filler"}), said) if placed else None


def unknown_word(text: str, at: int, _before: Sequence[Meant], _known: Next) -> Meant | None:
    """Any word as one that says what nobody knows, for those who ask whether a clause says anything."""
    word = re.compile(r"\S+").match(text, at)
    return Meant(frozenset({"unknown"}), word[0]) if word else None


def _run(text: str, at: int, known: Next) -> list[str]:
    """The unknown words in a row."""
    words = _WORDS.match(text, at)
    run: list[str] = []
    here = at
    for word in words[0].split(" ") if words else ():
        if len(run) == _MAX_RUN or known(text, here) is not None:
            break
        run.append(word)
        here += len(word) + 1
    return run


def _may_name(run: Sequence[str], lead: Sequence[Meant], last: str) -> bool:
    """Whether the words can be a thing's name: after an article or an order, or where the sentence begins."""
    if not _NO_LOAD.isdisjoint(run):
        return False
    return not lead or last in _DETERMINERS or not lead[-1].tags.isdisjoint(_SWITCHES) or last in _PREPOSITIONS


def _is_article(part: Meant) -> bool:
    return part.text.split(" ")[-1] in _DETERMINERS


def _before_determiner(lead: Sequence[Meant]) -> Meant | None:
    """What stands before "the", which may be the end of a longer phrase ("kill the power to the")."""
    words = lead[-1].text.split(" ")
    if len(words) > 1:
        return Meant(lead[-1].tags, " ".join(words[:-1]))
    return lead[-2] if len(lead) > 1 else None


def _noun(said: str, run: Sequence[str], parts: Sequence[Meant]) -> Meant | None:
    """A noun after its article: what an order or a sentence begins with is a thing, all else a place or a person.

    After a second order it may be anything ("... and play a song").
    """
    lead = _before_determiner(parts)
    last = lead.text.split(" ")[-1] if lead is not None else ""
    ordered = lead is not None and not lead.tags.isdisjoint(_ORDERS) and "filler" not in lead.tags
    if ordered and sum(not part.tags.isdisjoint(_ORDERS) and "filler" not in part.tags for part in parts) > 1:
        return None
    if lead is None or ordered:
        return Meant(frozenset({"load"}), said) if _NO_LOAD.isdisjoint(run) else None
    if last in _PREPOSITIONS or "when" in lead.tags or "filler" in lead.tags:
        return Meant(frozenset({"filler"}), said)
    return None
