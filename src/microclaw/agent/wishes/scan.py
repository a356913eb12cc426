"""Reads the marked words of a wish from the left: what begins something, how things are, what is to be done, when."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.agent.wishes.acts import Act, read_act, read_bare, read_more
from microclaw.agent.wishes.events import Event, hold, read_event
from microclaw.agent.wishes.items import Condition, Item, Pace, Role, Time, TimeKind
from microclaw.agent.wishes.patterns import compile_rows
from microclaw.agent.wishes.things import MARK, MarkedWish
from microclaw.agent.wishes.wording import END
from microclaw.conversion import convert
from microclaw.tables import read_table

_TABLE: Final = read_table(__package__, "clause_words")
_CONNECTORS: Final = compile_rows(_TABLE["connectors"], _TABLE["parts"])
_PACES: Final = compile_rows(_TABLE["paces"], _TABLE["parts"])
_TIMES: Final = compile_rows(_TABLE["times"], _TABLE["parts"])
_AFTER: Final = re.compile(r"(?:(?:and|then|but) )*(?P<ms>\d+ ms) after (?:that )?(?=\S)")
_LATER: Final = re.compile(r"(?<!for) \d+ ms $")
"""Behind it "after" is no "when", but so much later."""
_SPAN: Final = re.compile(r"for (?P<ms>\d+ ms)(?= ¦|$)")
_LONGEST: Final = re.compile(
    r"(?:(?:and|but|or) )*(?:(?:it |should |run )*"
    r"(?:(?:for )?(?:not |no |never )(?:for )?(?:longer than|more than)"
    r"|(?:for )?(?:at (?:the )?most|up to|a maximum of|maximum|max))(?: for)? (?P<ms>\d+ ms)"
    r"|(?:for )?(?P<most_ms>\d+ ms) (?:at (?:the )?most|at the longest|maximum)"
    r"|(?:off )?after (?P<late_ms>\d+ ms) (?:at the latest|in any case))(?= ¦|$| when)"
)
_JOIN: Final = re.compile(rf"(?: {END})? (?P<word>and|or)(?: (?:when|if|also))? ")
_NTH: Final = re.compile(
    r"(?:(?:on|at|after|with|and) )*(?:every|each) "
    r"(?P<nth>second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|1000 ms|\d{1,2}(?:nd|rd|th)) "
    r"(?:time(?: that| when)? |(?=press |push |click |tap |opening |closing ))"
)
_ORDINALS: Final = {"second": "2nd", "1000 ms": "2nd"}
_DAY_COUNTS: Final = {"other": "2", "second": "2", "1000 ms": "2", "third": "3", "fourth": "4"}
_DAY_KINDS: Final = {"weekday": "every weekday", "weekend": "on weekends", "school day": "every weekday"}
_NARRATORS: Final = (["i"], ["we"], ["he"], ["she"], ["they"])
_ARTICLE: Final = re.compile(rf"(?:the|a|an|that|my|then) (?={MARK})")
_WORD: Final = re.compile(r"\S+")


class Clause(Struct):
    """The words of a clause that were not used. `is_remark`: none was used."""

    words: list[str] = field(default_factory=list)
    is_remark: bool = True


class Scan:
    """What was read of a wish: its `items` in order, and the words of each clause that were `skipped`."""

    def __init__(self, wish: MarkedWish) -> None:
        self.items: list[Item] = []
        self.skipped = [Clause()]
        self._wish = wish
        self._text = wish.text
        self._at = 0
        self._event: Event | None = None
        self._act: Act | None = None
        self._out: tuple[str, ...] = ()
        only = wish.only("output")
        if only is not None:
            self._out = (only,)
        while self._at < len(self._text):
            self._step()

    def _step(self) -> None:
        rest = self._text[self._at :]
        if rest[0] == " ":
            self._at += 1
        elif rest.startswith(END):
            self.skipped.append(Clause())
            self._at += len(END)
        elif not self._read_item():
            word = _WORD.match(rest)
            assert word is not None
            self.skipped[-1].words.append(word[0])
            self._at += word.end()

    def _read_item(self) -> bool:
        for read in (
            self._read_span,
            self._read_longest,
            self._read_nth,
            self._read_pace,
            self._read_time,
            self._read_condition,
            self._read_act,
            self._read_subject,
        ):
            if read():
                return True
        return False

    def _add(self, item: Item, end: int) -> bool:
        self.items.append(item)
        self.skipped[-1].is_remark = False
        self._at = end
        return True

    def _read_span(self) -> bool:
        """Read "for 30 min" as how long the act before it lasts, where a time stands between them."""
        match = _SPAN.match(self._text, self._at)
        if match is None or len(self.items) < 2:
            return False
        act, between = self.items[-2:]
        if not isinstance(act, Act) or not isinstance(between, Time):
            return False
        if act.span or act.verb != "on":
            return False
        self.items[-2] = replace(act, span=match["ms"])
        self.skipped[-1].is_remark = False
        self._at = match.end()
        return True

    def _read_longest(self) -> bool:
        """Read "but no longer than 20 min" behind what ends an act as how long it lasts at most."""
        match = _LONGEST.match(self._text, self._at)
        if match is None:
            return False
        last = self.items[-1] if self.items else None
        if not isinstance(last, Condition) or last.role != "until":
            return False
        for index, item in enumerate(self.items):
            if item is not self._act or item.span or item.verb != "on":
                continue
            self.items[index] = replace(item, span=match["ms"] or match["most_ms"] or match["late_ms"])
            self.skipped[-1].is_remark = False
            self._at = match.end()
            return True
        return False

    def _read_pace(self) -> bool:
        for kind, pattern in _PACES:
            match = pattern.match(self._text, self._at)
            if match is not None:
                if match["ms"].endswith("ns") and (self._act is None or self._act.verb != "blink"):
                    # The pitch of a tone.
                    return False
                times = match.groupdict("").get("times", "")
                pace = Pace(match["ms"], is_gap=kind == "gap", is_period=kind == "period", times=times)
                return self._add(pace, match.end())
        return False

    def _read_time(self) -> bool:
        for kind, pattern in _TIMES:
            match = pattern.match(self._text, self._at)
            if match is not None:
                if kind == "window" and _may_be_late(match["from"], match["to"]):
                    kind = "unknown"
                return self._add(Time(convert(kind, TimeKind), _time_words(match)), match.end())
        return False

    def _read_condition(self) -> bool:
        after = _AFTER.match(self._text, self._at)
        if after is not None and self._read_held(after):
            return True
        for role, pattern in _CONNECTORS:
            match = pattern.match(self._text, self._at)
            if match is None or (match[0].endswith("after") and _LATER.search(self._text[: self._at])):
                continue
            if self._read_events(match.end() + 1, convert(role, Role)):
                return True
        return False

    def _read_nth(self) -> bool:
        """Read "every 5th press of the button"."""
        match = _NTH.match(self._text, self._at)
        if match is None:
            return False
        return self._read_events(match.end(), "trigger", _ORDINALS.get(match["nth"], match["nth"]))

    def _read_held(self, after: re.Match[str]) -> bool:
        """Read "3 min after the door closes" as a door that has been closed for so long."""
        event = read_event(self._wish, self._without_article(after.end()), self._event)
        if event is None or not event.state or event.about.startswith("button#"):
            return False
        if self.items and isinstance(self.items[-1], Act) and self.items[-1].verb == "on":
            # "Keep it on 10 s after the door closes": it goes off then.
            return False
        self._event = event
        return self._add(Condition((hold(event, after["ms"], event.end),), "trigger"), event.end)

    def _read_subject(self) -> bool:
        """Read "movement on pin 16 turns on the lamp": what begins it needs no "when"."""
        event = read_event(self._wish, self._without_article(self._at), self._event)
        if event is None or not event.about:
            # "The shed gets damp" is told, and begins nothing.
            return False
        return self._read_events(self._at, "trigger")

    def _read_events(self, start: int, role: Role, nth: str = "") -> bool:
        event = read_event(self._wish, self._without_article(start), self._event)
        if event is None:
            return False
        events = [event]
        joints = set[str]()
        while True:
            joint = _JOIN.match(self._text, event.end)
            if joint is None:
                break
            following = read_event(self._wish, self._without_article(joint.end()), event)
            if following is None:
                break
            joints.add(joint["word"])
            event = following
            events.append(event)
        if len(joints) > 1:
            return False
        self._event = event
        if nth and joints:
            return False
        return self._add(Condition(tuple(events), role, is_any="or" in joints, nth=nth), event.end)

    def _without_article(self, start: int) -> int:
        article = _ARTICLE.match(self._text, start)
        if article is None:
            return start
        return article.end()

    def _read_act(self) -> bool:
        if self.skipped[-1].words[-1:] in _NARRATORS:
            # "I turn on the lamp by hand" is told, and not asked for.
            return False
        act = read_act(self._text, self._at, self._out)
        if act is not None and re.search(r"\bboth\b", self._text[self._at : act.end]):
            act = self._of_both(act)
        if act is None and self._act is not None:
            act = read_more(self._text, self._at, self._act)
        if act is None:
            act = read_bare(self._text, self._at, self._act)
        if act is None:
            return False
        if act.verb == "later":
            return self._read_later(act)
        if act.out:
            self._out = act.out
            self._act = act
        return self._add(act, act.end)

    def _read_later(self, later: Act) -> bool:
        """Read "turn it on after 10 s" as a wait before the act; not behind another wait, from which it may count."""
        for item in self.items:
            if isinstance(item, Act) and item.verb == "wait":
                return False
        if not self.items or not isinstance(self.items[-1], Act):
            return False
        self.items.insert(-1, replace(later, verb="wait"))
        self.skipped[-1].is_remark = False
        self._at = later.end
        return True

    def _of_both(self, act: Act) -> Act | None:
        """Return an act on "both": the two outputs of the acts before it."""
        marks = list[str]()
        for item in self.items:
            if isinstance(item, Act):
                marks += item.out
        out = tuple(dict.fromkeys(marks))
        if len(out) != 2:
            return None
        return replace(act, out=out)


def _may_be_late(start: str, end: str) -> bool:
    """Return True for "from 8 to 21:00", which may be 8 in the evening."""
    late = re.search(r"\bclock (\d\d)", end)
    return start.isdigit() and int(start) < 12 and late is not None and int(start) + 12 < int(late[1])


def _time_words(match: re.Match[str]) -> str:
    """Return a time in the words of the grammar."""
    for name, words in match.groupdict().items():
        if words is None:
            continue
        if name == "from":
            return f"from {words} to {match['to']}"
        if name == "clock":
            return f"at {words}".replace("at the ", "at ")
        if name == "daily":
            return "every day"
        if name == "count":
            return f"every {_DAY_COUNTS.get(words, words)} days"
        if name == "kind":
            return _DAY_KINDS[words]
        if name == "named":
            days = re.findall(r"\w+day", words)
            return f"every {' and '.join(days)}"
        return words
    return match[0]
