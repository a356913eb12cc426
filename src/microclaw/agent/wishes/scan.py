"""Reads the marked words of a wish from the left: what begins something, how things are, what is to be done, and when."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from microclaw.agent.wishes.acts import Act, read_act, read_more
from microclaw.agent.wishes.compose import Condition, Item, Pace, Time
from microclaw.agent.wishes.events import Event, read_event
from microclaw.agent.wishes.things import MARK, MarkedWish
from microclaw.agent.wishes.wording import END

_AND: Final = r"(?:(?:and|but|so|then|also) )*"
_CONNECTORS: Final = (
    ("unless", re.compile(rf"{_AND}(?:unless|except (?:when|if|while)|(?:but )?not (?:if|when|while)) ")),
    ("until", re.compile(rf"{_AND}(?:until|up to the moment) (?:when )?")),
    (
        "while",
        re.compile(
            rf"{_AND}(?:only )?(?:while|(?:for )?as long as|so long as|only (?:if|when)|provided(?: that)?)(?: that)? "
        ),
    ),
    (
        "trigger",
        re.compile(
            rf"{_AND}(?:(?:when(?:ever)?|if|as soon as|every time|each time|the moment|once|in case|should|upon)"
            r"|(?:on|with|at|after) (?=a |an |each |every |any |the |motion|movement|opening|closing|press))(?: that| both)? "
            r"(?!clock|\d)|"
            r"on (?=button#)|(?=(?:above|below|over|under) -?\d+ milli (?:degrees|percent))"
        ),
    ),
)
_JOIN: Final = re.compile(rf"(?: {END})? (?P<word>and|or)(?: (?:when|if|also))? ")
_GAP: Final = re.compile(
    rf"{_AND}(?:(?:at most|at the most|(?:never|not|no) more(?: often)? than)(?: once)? (?:in |per )?(?:every |period )?"
    r"|only (?:once )?(?:every|period) )(?P<ms>\d+ ms)"
)
_EVERY: Final = re.compile(r"(?:once )?(?:every|period|at period) (?P<ms>\d+ ms)(?! day)")
_DAY: Final = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)s?"
_DAYS: Final = rf"{_DAY}(?:(?: {END})?(?: and)? {_DAY})*"
_PART: Final = r"(?: (?:in the (?:morning|afternoon|evening)|at night))?"
_CLOCK: Final = rf"(?:clock \d{{4}}|(?:\d+ ms (?:before|after) )?(?:the )?(?:sunset|sunrise|dusk|dawn)){_PART}"
_NAMED_PART: Final = r"(?:mornings?|evenings?|afternoons?|nights?)"
_TIMES: Final = (
    ("window", re.compile(rf"(?:between|from) (?P<from>{_CLOCK}|\d{{1,2}}) (?:and|to|until|-) (?P<to>{_CLOCK})")),
    ("clock", re.compile(rf"(?:and )?(?:again )?(?:at |by |around |about )*(?P<clock>{_CLOCK})")),
    ("clock", re.compile(rf"(?P<clock>at \d{{1,2}}(?:000 milli)?(?! ?(?:ms|milli|percent|\d)){_PART})")),
    ("days", re.compile(rf"(?:(?:but )?only )?(?P<days>(?:every|each) (?:single )?(?:day|{_NAMED_PART})|daily)")),
    (
        "days",
        re.compile(
            rf"(?:(?:but )?only )?(?:every|each) (?P<count>other|second|third|fourth|1000 ms|\d+) (?:days?|{_NAMED_PART})"
        ),
    ),
    ("days", re.compile(r"(?:(?:but )?only )?(?:on |at |every |each )?(?:the )?(?P<weekdays>weekdays?|weekends?|school days)")),
    ("days", re.compile(rf"(?:(?:but )?only )?(?:on |every |each )(?P<named>{_DAYS})")),
    ("days", re.compile(rf"(?P<date>tomorrow(?: {_NAMED_PART})?|tonight|today)")),
    ("delay", re.compile(r"(?P<delay>in \d+ ms)(?: from now)?")),
)  # fmt: skip
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
        for read in (self._read_pace, self._read_time, self._read_condition, self._read_act, self._read_subject):
            if read():
                return True
        return False

    def _add(self, item: Item, end: int) -> bool:
        self.items.append(item)
        self.skipped[-1].is_remark = False
        self._at = end
        return True

    def _read_pace(self) -> bool:
        gap = _GAP.match(self._text, self._at)
        if gap is not None:
            return self._add(Pace(gap["ms"], is_gap=True), gap.end())
        every = _EVERY.match(self._text, self._at)
        if every is not None:
            return self._add(Pace(every["ms"]), every.end())
        return False

    def _read_time(self) -> bool:
        for kind, pattern in _TIMES:
            match = pattern.match(self._text, self._at)
            if match is not None:
                return self._add(Time(kind, _time_words(match)), match.end())
        return False

    def _read_condition(self) -> bool:
        for role, pattern in _CONNECTORS:
            match = pattern.match(self._text, self._at)
            if match is not None and self._read_events(match.end(), role):
                return True
        return False

    def _read_subject(self) -> bool:
        """Read "movement on pin 16 turns on the lamp": what begins it needs no "when"."""
        return self._read_events(self._at, "trigger")

    def _read_events(self, start: int, role: str) -> bool:
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
        return self._add(Condition(tuple(events), role, is_any="or" in joints), event.end)

    def _without_article(self, start: int) -> int:
        article = _ARTICLE.match(self._text, start)
        if article is None:
            return start
        return article.end()

    def _read_act(self) -> bool:
        act = read_act(self._text, self._at, self._out)
        if act is not None and re.search(r"\bboth\b", self._text[self._at : act.end]):
            act = self._of_both(act)
        if act is None and self._act is not None:
            act = read_more(self._text, self._at, self._act)
        if act is None:
            return False
        if act.out:
            self._out = act.out
            self._act = act
        return self._add(act, act.end)

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


def _time_words(match: re.Match[str]) -> str:
    """Return a time in the words of the grammar."""
    groups = {name: words for name, words in match.groupdict().items() if words is not None}
    if "from" in groups:
        return f"from {groups['from']} to {groups['to']}"
    if "count" in groups:
        count = {"other": "2", "second": "2", "1000 ms": "2", "third": "3", "fourth": "4"}
        return f"every {count.get(groups['count'], groups['count'])} days"
    if "weekdays" in groups:
        if groups["weekdays"].startswith("weekend"):
            return "on weekends"
        return "every weekday"
    if "named" in groups:
        days = re.findall(r"(\w+day)", groups["named"])
        return f"every {' and '.join(days)}"
    if "days" in groups:
        return "every day"
    if "clock" in groups:
        clock = groups["clock"]
        if clock.startswith("clock"):
            return f"at {clock}"
        return clock
    return next(iter(groups.values()))
