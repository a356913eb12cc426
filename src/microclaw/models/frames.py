"""The words of a sentence where no template fits the whole of it: what each one means, whatever stands around it.

A template knows an order of words; people have others. Here every word or phrase must be known ("switch on", "pin 4",
"every 500 ms", "colder"), else the sentence is not understood. What a set of meanings asks for is in kinds.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

_LIT, _DARK = "(?:on|lit|high|bright|light|up)", "(?:off|dark|low|out|darkness|down|pause|unlit|dead|nothing)"
_NUMBERS = (
    ("pin", re.compile(r"(?:number )?pin \d+(?: (?:also|and) (?:also )?pin \d+)*(?![\w.])")),
    ("pin+adc", re.compile(r"analog(?:ue)? (?:input |pin |channel )?(\d+)(?![\w.])(?! (?:ms|milli))")),
    ("pin", re.compile(r"(?:digital )?(?:output|input|channel) (?:pin )?(\d+)(?![\w.])(?! (?:ms|milli))")),
    ("or", re.compile(r"or (?:pin )?(\d+)(?![\w.])(?! (?:ms|milli|times?)\b)")),
    ("every", re.compile(r"(?:every|each|once every|once each) (\d+) ms\b")),
    ("period", re.compile(r"(?:(?:at|with|in|by) )?(?:a |an )?period (\d+) ms\b")),
    (
        "every+ms",
        re.compile(
            r"(?:with|at)(?: an?)?(?: (?:interval|pace|rhythm|rate)(?: of)?)? (\d+) ms(?: (?:interval|steps)s?)?\b"
        ),
    ),
    ("after", re.compile(r"after (\d+) ms\b")),
    ("for", re.compile(r"(?:for|during|lasting) (?:about |exactly |just |only )?(\d+) ms\b")),
    ("on_ms", re.compile(rf"(\d+) ms (?:of )?{_LIT} (?:(?:and|then|followed by|but) )*(\d+) ms (?:of )?{_DARK}\b")),
    ("on_ms", re.compile(rf"{_LIT} (?:for )?(\d+) ms (?:(?:and|then|but) )*{_DARK} (?:for )?(\d+) ms\b")),
    ("ms", re.compile(r"(?:1 )?(\d+) ms\b")),
    ("percent", re.compile(r"(-?\d+) milli percent\b")),
    ("degrees", re.compile(r"(-?\d+) milli degrees\b")),
    ("limit", re.compile(r"(-?\d+) milli(?: (?:volts|amps|hpa|watts))?(?!\w)")),
    ("times+blink", re.compile(r"(\d+) (?:short |quick |brief |fast )?(?:flashes|blinks)\b")),
    ("times", re.compile(r"(\d+) times?\b|(once|twice|thrice)(?= (?:with|using|on)\b|$)")),
    ("quarters", re.compile(r"(?:([13])(?:000 milli)? |a )quarters?(?: of)?\b")),
    ("bit", re.compile(r"(?:to |= ?)?([01])(?![\w.])")),
)
_COUNTS = {"once": 1, "twice": 2, "thrice": 3}
_MARKS = re.compile(r"[,;:!?()\"]+")
_STOPS = re.compile(r"\.(?= |$)")
_POLITE = re.compile(
    r"^(?:(?:(?:i|we) (?:would|should)|(?:i|we)'d|i|we) (?:(?:really|very much|just) )?(?:like|love|want|need|wish)"
    r"(?: (?:it if|that|to have|to|it|for))?(?: you)?(?: to)?"
    r"|(?:would|could|can|will) (?:someone|somebody|anyone|anybody|one of you)(?: please| kindly)?"
    r"|(?:would|could|can|will) you(?: be so kind)?(?: and| as to| to)?|you (?:can|could|may|should)|be so kind and"
    r"|(?:(?:i|we)'d|(?:i|we) (?:would|should)|it would) (?:(?:really|much|very) )?"
    r"(?:appreciate|be (?:(?:so|very|most|really) )?(?:happy|glad|grateful|pleased|great|good|lovely|kind|nice))"
    r"(?: it| of you)? (?:if|to)(?: you(?: could| would)?)?"
    r"|you couldn't|please to|(?:would|do) you mind|(?:is it possible|would it be possible) to"
    r"|it would be nice if(?: you)?|(?:make sure|ensure|see to it|take care)(?: that)?|how about) "
)
# "on" names a place before what has one, a state elsewhere.
_PLACE_ON = re.compile(
    r"on (?=(?:the |my |a |an |our |this )?(?:(?!and |or |then |also |but )\w+ )?"
    r"(?:pin \d|board\b|device\b|chip\b|i2c\b|bus\b|adc\b|led\b|lamp\b))"
)
_WISHED = re.compile(r"^(turn|switch|flip)p?(?:ed|ing)\b")  # "if you turned on", "would you mind switching on"
_WISH = re.compile(
    r"(?:make sure|ensure|see to it|take care|(?:i|we)(?:'d| would| should)? (?:like|love|want|need|wish))\b"
)
_CAME = re.compile(r"\b(?:came|went) (?=on\b|off\b)")  # "i would be glad if the lamp came on"
_JOINED = (" then ", " and ", " or ")  # "off, then on pin 4": a state there
_A_SWITCH = re.compile(r"\b(the|a|my) switch\b(?! (?:on|off)(?:$| (?!(?:the )?pin)))")
_ARTICLES = frozenset({"the", "a", "an", "my", "our", "this"})
_NO_ARTICLES = frozenset(
    {"to", "and", "then", "also", "please", "should", "must", "shall", "will", "can", "could", "would", "do", "let"}
)
_JOINTS = re.compile(r"(?:which |that )?(?:is |are )?(?:connected |wired |attached |hooked up )?(?:on|at|to|of) $")
_MAX_UNKNOWN_WORDS = 2
_NO_LOAD = frozenset(
    {"mains", "socket", "outlet", "wall", "ground", "gnd", "every", "all", "other", "same", "previous"}
)
_VERBS = frozenset({"set", "toggle", "blink", "fade", "pulse", "press", "log", "hold", "alert", "stop"})
_SHORTEST_VERB = 4
THINGS = frozenset({"led", "load", "heater", "cooler", "humidifier", "dehumidifier"})


@dataclass(frozen=True, slots=True)
class Meant:
    """One word or phrase: all that it can mean, its text, its numbers."""

    tags: frozenset[str]
    text: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bag:
    """All that a sentence says, in its order."""

    parts: tuple[Meant, ...] = field(default=())
    wished: bool = False  # it begins as a wish ("I need", "make sure that"): what follows is not told as it is

    def all(self, *tags: str) -> list[Meant]:
        return [part for part in self.parts if not part.tags.isdisjoint(tags)]

    def has(self, *tags: str) -> bool:
        return bool(self.all(*tags))

    def only(self, *tags: str) -> bool:
        """Whether nothing else is said but what says nothing."""
        return all(not part.tags.isdisjoint((*tags, "filler")) for part in self.parts)

    def says(self, *texts: str) -> bool:
        return any(part.text in texts for part in self.parts)

    def number(self, tag: str) -> int | None:
        """The one number of this meaning; None where there is none, or more than one."""
        found = [number for part in self.all(tag) for number in part.numbers]
        return found[0] if len(found) == 1 else None

    def without(self, parts: Iterable[Meant]) -> Bag:
        gone = {id(part) for part in parts}
        return Bag(tuple(part for part in self.parts if id(part) not in gone), self.wished)

    @property
    def pins(self) -> list[int]:
        return [number for part in self.all("pin") for number in part.numbers]

    @property
    def thing(self) -> str | None:
        """ "led", or "load" for anything else that hangs on a pin; None where nothing is named."""
        named = self.all(*THINGS)
        if not named:
            return None
        return "led" if all("led" in part.tags for part in named) else "load"

    @property
    def quantities(self) -> list[str]:
        """What is measured; words that are no measure beside another one left out ("the current humidity")."""
        named = [part for part in self.parts if any(tag.startswith("q:") for tag in part.tags)]
        sure = [part for part in named if "filler" not in part.tags and "set" not in part.tags] or named
        return list(dict.fromkeys(tag[2:] for part in sure for tag in sorted(part.tags) if tag.startswith("q:")))


Unread: TypeAlias = Callable[[str, int, Sequence[Meant], Callable[[str, int], Meant | None]], Meant | None]


class Vocabulary:
    """What words and phrases mean; `bag(said)` is None for a sentence with a word that is not known."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._tags: dict[str, set[str]] = {}
        for tag, phrases in _flat(data):
            for phrase in phrases:
                for form in _forms(phrase) if tag in _VERBS else (phrase,):
                    self._tags.setdefault(form, set()).add(tag)
        longest = sorted(self._tags, key=len, reverse=True)
        self._phrase = re.compile(rf"(?:{'|'.join(map(re.escape, longest))})(?![\w'-])")

    @property
    def words(self) -> set[str]:
        return {word for phrase in self._tags for word in re.findall(r"[a-z]+(?:-[a-z]+)?", phrase)}

    def bag(self, said: str, unread: Unread | None = None) -> Bag | None:
        """The sentence's meanings. `unread` says what a word that is not known is taken for."""
        text = _STOPS.sub(" ", _MARKS.sub(" ", said))
        asked = _POLITE.sub("", text)
        wished = asked != text and _WISH.match(text) is not None
        text = text if asked == text else _CAME.sub("", _WISHED.sub(r"\1", asked))
        text = re.sub(r"\s+", " ", _A_SWITCH.sub(r"\1 button", text)).strip()
        parts: list[Meant] = []
        at = 0
        while at < len(text):
            part = self._next(text, at) or self._unknown(text, at, parts)
            if part is None and unread is not None:
                part = unread(text, at, parts, self._next)
            if part is None:
                return None
            parts.append(_as_said(part, parts))
            at += len(part.text)
            at += 1 if text[at : at + 1] == " " else 0
        return Bag(tuple(replace(part, text=part.text.strip()) for part in parts), wished)

    def _next(self, text: str, at: int) -> Meant | None:
        for tag, pattern in _NUMBERS:
            if found := pattern.match(text, at):
                return Meant(frozenset(tag.split("+")), found[0], _numbers(tag, found))
        if not text.endswith(_JOINED, 0, at) and (found := _PLACE_ON.match(text, at)):
            return Meant(frozenset({"filler"}), found[0])
        found = self._phrase.match(text, at)
        return Meant(frozenset(self._tags[found[0]]), found[0]) if found else None

    def _unknown(self, text: str, at: int, before: list[Meant]) -> Meant | None:
        """A thing that nobody told us of, where its pin is said, or what is held at a temperature; None elsewhere."""
        words = re.match(r"[a-z-]+(?: [a-z-]+)*", text[at:])
        if words is None:
            return None
        run: list[str] = []
        for word in words[0].split(" "):
            here = at + sum(len(w) + 1 for w in run)
            if len(run) == _MAX_UNKNOWN_WORDS or (self._next(text, here) is not None):
                break
            run.append(word)
        if not run or not _NO_LOAD.isdisjoint(run):
            return None
        end = at + len(" ".join(run))
        named = self._next(text, end + 1)
        if named is not None and not named.tags.isdisjoint(THINGS):
            return Meant(frozenset({"load"}), text[at : end + 1 + len(named.text)])
        after_article = bool(before) and before[-1].text in _ARTICLES
        held = re.match(r" (?:at|to|around) -?\d+ milli degrees", text[end:])
        if after_article and held:
            return Meant(frozenset({"filler"}), text[at:end])
        pin = re.search(r"pin \d", text[end:])
        joined = pin is not None and _JOINTS.fullmatch(text[end + 1 : end + pin.start()])
        return Meant(frozenset({"load"}), text[at:end]) if after_article and joined else None


def _as_said(part: Meant, before: Sequence[Meant]) -> Meant:
    """What may be a verb or a thing, by the word before it: "the small light" lights nothing."""
    if not before or not {"led", "on"} <= part.tags:
        return part
    last = before[-1]
    named = not last.tags.isdisjoint(("blink", "fade")) or (last.tags == {"filler"} and last.text not in _NO_ARTICLES)
    return replace(part, tags=part.tags - {"on"}) if named else part


def _forms(verb: str) -> Iterable[str]:
    """A verb as it stands and with its endings."""
    yield verb
    if " " not in verb and len(verb) >= _SHORTEST_VERB and not verb.endswith(("s", "ed", "ing")):
        stem = verb.removesuffix("e")
        yield from (f"{verb}s", f"{stem}ing")


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, list[str]]]:
    for name, value in data.items():
        if isinstance(value, list):
            yield prefix + name, value
        elif name == "quantities":
            yield from _flat(value, "q:")
        else:
            yield from _flat(value)


def _numbers(tag: str, found: re.Match[str]) -> tuple[int, ...]:
    groups = [group for group in found.groups() if group is not None]
    match tag:
        case "pin" | "pin+adc":
            return tuple(int(number) for number in re.findall(r"\d+", found[0]))
        case "quarters":
            return (int(groups[0]) if groups else 1,)
        case _:
            return tuple(_COUNTS.get(group) or int(group) for group in groups)
