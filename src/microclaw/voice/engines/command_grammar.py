"""The sentences that work without a model as a grammar of spoken words. It recognises nothing.

The templates (offline/intents/en/*.toml) are written for text whose quantities are normalised ("every 500 ms", "pin
4"); here each of them is said in words ("every half second", "pin four"), so that the transcript is a sentence that
offline/ reads. Rules are in the notation of JSGF (https://www.w3.org/TR/jsgf/).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any, Final

from msgspec import Struct

from microclaw.language.times import DAYS
from microclaw.language.yes_no import NO, YES
from microclaw.voice.engines.word_graph import TOKEN, WordGraph, word_graph

MAX_NAMES: Final = 100
MAX_NAME_WORDS: Final = 6
MAX_WORD_CHARS: Final = 24

_LEFT_OUT: Final = frozenset({"thermostat", "threshold_pulse", "publish", "unsafe", "later"})
"""Kinds with so many values that what is heard of them is not to be trusted, or that are refused anyway."""
_FILES: Final = ("words", "programs", "lights", "now", "manage", "refused")
_RULES: Final = """
<u_one> = one | two | three | four | five | six | seven | eight | nine;
<u_teen> = ten | eleven | twelve | thirteen | fourteen | fifteen | sixteen | seventeen | eighteen | nineteen;
<u_tens> = twenty | thirty | forty | fifty | sixty | seventy | eighty | ninety;
<u_small> = zero | <u_one> | <u_teen> | <u_tens> [<u_one>];
<u_number> = <u_small> | (a | <u_one>) hundred [[and] (<u_one> | <u_teen> | <u_tens> [<u_one>])] | (a | one | two
  | five) thousand;
<u_pin_number> = zero | <u_one> | <u_teen> | (twenty | thirty) [<u_one>] | forty [one | two | three | four | five
  | six | seven | eight];
<u_pin> = pin <u_pin_number>;
<u_thing> = [status | board] (led | leds | light | lights) | (red | green | blue | yellow | white | desk
  | kitchen) (led | light | lamp)
  | relay | buzzer | fan | heater | radiator | pump | motor | valve | siren | lamp | speaker | laser | humidifier
  | it;
<u_target> = [the] (<u_thing> [[on] <u_pin>] | <u_named>) | <u_pin>;
<u_count> = <u_small> | (a | <u_one>) hundred;
<u_amount> = [minus] <u_number> [point <u_one>] [degrees | percent | volts | amps | watts];
<u_unit> = second | seconds | minute | minutes | hour | hours;
<u_duration> = <u_number> (millisecond | milliseconds | <u_unit>) | (a | one) (second | minute | hour)
  | half a (second | minute)
  | a quarter of a second | (one | two) and a half (seconds | minutes | hours) | a (minute | second) and a half;
<u_interval> = <u_duration> | [half | quarter | other] second | [other | half] minute | hour;
<u_every> = (every | each | once every) <u_interval>;
<u_rate> = (once | twice | <u_small> times) (a | per | every | each) (second | minute | hour) | at <u_small> hertz;
<u_pins> = pins <u_pin_number> (and | <u_pin_number> and) <u_pin_number> | pin <u_pin_number> and pin <u_pin_number>;
<u_clock> = at (<u_one> | ten | eleven | twelve) [o'clock | fifteen | thirty | forty five] [a.m. | p.m.]
  | at (half | quarter) (past | to)
  (<u_one> | ten | eleven | twelve) | at (noon | midnight | sunset | sunrise);
<u_day> = {days};
<u_when> = (in | after) <u_duration> | <u_clock> [<u_repeat> | tomorrow] | (<u_repeat> | tomorrow) <u_clock>;
<u_repeat> = every (day | morning | evening | night | weekday | weekend | <u_day>) | on <u_day>;
<u_meant> = i (meant | mean | said) | make (it | that);
<u_short> = {yes} | {no} | stop [it] | undo [it] | cancel | faster | slower | [a bit] (brighter | darker)
  | [no] [<u_meant>] (<u_pin> | <u_pins>) | no use <u_pin> | use <u_pin> instead | wrong
  | [on [the] | the] <u_device>
  | what time is it | (what is | what's | whats | tell me) the [current] time
  | what is scheduled | cancel schedule <u_one>
  | same on pin <u_pin_number> | is it [still] on | turn it (on | off) | do it again;
"""
_TOKEN: Final = re.compile(r"\{[^}]*\}|<[^>]*>|[()\[\]|;]|[^\s()\[\]|;<>{}]+")
_QUANTITIES: Final = (
    (re.compile(r"\[<the>\] \(traffic light"), "[a | the] (traffic light"),
    (re.compile(r"\[?(?:<on_at>\] )?plusminus \{milli[^}]*\} milli(?: \[\{unit[^}]*\}\])?"), " plus minus <u_amount> "),
    (re.compile(r"\{ms(?::\w+)?\} ms"), " <u_duration> "),
    (re.compile(r"\{milli[^}]*\} milli percent"), " <u_small> percent "),
    (re.compile(r"\{milli[^}]*\} milli degrees"), " [minus] <u_number> degrees "),
    (re.compile(r"\{milli[^}]*\} milli(?: \[(?:degrees|\{unit[^}]*\})\])?"), " <u_amount> "),
    (re.compile(r"\{pin[^}]*\}"), " <u_pin_number> "),
    (re.compile(r"\{bare[^}]*\}"), " <u_count> "),
    (re.compile(r"\{(?:topic|app:_rest|app:_what)\}"), " <VOID> "),
    (re.compile(r"\{app[^}]*\}"), " <u_program> "),
    (re.compile(r"\(([^();]+);([^();]+)\)"), r"(\1 \2|\2 \1)"),  # hassil's permutation
)
_SAID_INSTEAD: Final[Mapping[str, str]] = {
    "every": "<u_every>", "rate": "<u_rate>", "pins": "<u_pins>", "the": "[the]", "on_at": "[on]",
    "thing": "<u_thing>", "target": "<u_target>", "where": "<u_target>", "led_target": "<u_target>", "pin": "<u_pin>",
}  # fmt: skip
_SENTENCE: Final = (
    "[please | could you | can you] ([<u_when>] <u_command> [on [the] <u_device>] [<u_when>] | <u_short>) [please]"
)
_PROGRAMS: Final = ("blink", "fade", "rainbow", "traffic light", "thermostat", "rule")
_SHARED: Final = ("u_", "g_")
_COPIED: Final = frozenset({"u_command", "u_short"})
_ONES: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS: Final = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SPELLED: Final[Mapping[str, str]] = {"0": "zero", "1": "one", "2": "two", "=": "<VOID>"}


class SpokenNames(Struct, frozen=True):
    """Names as they are written; `pins` are a person's own names for pins ("fan")."""

    devices: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()


def spoken_words(name: str) -> tuple[str, ...]:
    """A name's words as they are said ("virtual-1": virtual one); empty where it cannot be said."""
    parts = re.findall(r"[a-z']+|\d+", name.lower().replace("_", " "))
    words = [word for part in parts for word in (_number(part) if part.isdigit() else [part])]
    fits = len(words) <= MAX_NAME_WORDS and all(len(word) <= MAX_WORD_CHARS for word in words)
    return tuple(words) if fits and any(not part.isdigit() for part in parts) else ()


@dataclass(frozen=True)
class CommandGrammar:
    graph: WordGraph
    names: NamesAsWritten

    @cached_property
    def language_model(self) -> str:
        return self.graph.language_model()

    def transcript(self, heard: str) -> str:
        """What the grammar gave, with names as they are written."""
        return self.names.transcript(heard)


class NamesAsWritten:
    """Knows the names that are not written as they are said ("virtual one" or "virtual 1": virtual-1)."""

    def __init__(self, names: SpokenNames) -> None:
        said = {" ".join(words): name for _, words, name in _named(names)}
        said |= {re.sub(r"[\s_-]+", " ", name.lower()): name for name in said.values()}
        self._patterns = [
            (re.compile(rf"(?<![\w']){re.escape(words)}(?![\w'])"), name)
            for words, name in sorted(said.items(), key=lambda pair: -len(pair[0]))
            if words != name.lower()
        ]

    def transcript(self, heard: str) -> str:
        for pattern, name in self._patterns:
            heard = pattern.sub(name.replace("\\", r"\\"), heard)
        return heard.replace("a.m.", "am").replace("p.m.", "pm")


def command_grammar(names: SpokenNames, sayable: Callable[[str], bool] = lambda _word: True) -> CommandGrammar:
    """Every sentence, with these names. Words that are not `sayable` are left out with what needs them."""
    rules, known = _templates(), [name for name in _named(names) if all(sayable(word) for word in name[1])]
    own = {kind: [" ".join(words) for k, words, _ in known if k == kind] for kind in ("devices", "programs", "pins")}
    rules = {
        **rules,
        "sentence": _SENTENCE,
        "u_device": _any(own["devices"]),
        "u_program": _any([*own["programs"], *_PROGRAMS]),
        "u_named": _any(own["pins"]),
    }
    graph = word_graph(rules, "sentence", lambda name: not name.startswith(_SHARED) or name in _COPIED, sayable)
    return CommandGrammar(graph, NamesAsWritten(names))


@cache
def template_words() -> frozenset[str]:
    """Every word of the templates."""
    texts = " ".join([_SENTENCE, *_templates().values(), *_PROGRAMS])
    return frozenset(token for token in TOKEN.findall(texts) if token[0].isalpha())


def name_words(names: SpokenNames) -> frozenset[str]:
    return frozenset(word for _, words, _ in _named(names) for word in words)


@cache
def _templates() -> Mapping[str, str]:
    """The rules of the templates and of quantities, by their names."""
    data = {name: _data(name) for name in _FILES}
    lists: dict[str, Any] = {k: v for file in data.values() for k, v in file.get("lists", {}).items()}
    shared: dict[str, str] = {k: v for file in data.values() for k, v in file.get("expansion_rules", {}).items()}
    rules = dict(_quantity_rules())
    scope = _Scope("g", lists, shared)
    kinds: list[str] = []
    for file in data.values():
        for kind, intent in file.get("intents", {}).items():
            for number, block in enumerate(intent["data"] if kind not in _LEFT_OUT else ()):
                own = scope.inner(f"{kind}{number}", block.get("lists", {}), block.get("expansion_rules", {}))
                rules[f"k_{kind}{number}"] = _any([own.spoken(text) for text in block["sentences"]])
                kinds.append(f"<k_{kind}{number}>")
                rules.update(own.rules())
    rules["u_command"] = _any(kinds)
    return rules


class _Scope:
    """Lists and rules that a template may name; those of one block go before the shared ones of the same name."""

    def __init__(self, name: str, lists: Mapping[str, Any], rules: Mapping[str, str]) -> None:
        self._name = name
        self._lists, self._rules = lists, rules
        self._outer: _Scope | None = None
        self._used: dict[str, str] = {}

    def inner(self, name: str, lists: Mapping[str, Any], rules: Mapping[str, str]) -> _Scope:
        scope = _Scope(name, lists, rules)
        scope._outer = self
        return scope

    def rules(self) -> dict[str, str]:
        """Every rule that its templates came to, by name."""
        return self._used | (self._outer._used if self._outer is not None else {})

    def spoken(self, template: str) -> str:
        """The template in JSGF."""
        for pattern, said in _QUANTITIES:
            template = pattern.sub(said, template)
        return " ".join(self._token(token) for token in _TOKEN.findall(template))

    def _token(self, token: str) -> str:
        if token[0] == "<" and not token.startswith(("<u_", "<VOID")):
            return _SAID_INSTEAD.get(token[1:-1]) or self._reference(token[1:-1], self._rules, "r")
        if token[0] == "{":
            name = token[1:-1].split(":")[0]
            return _SAID_INSTEAD.get(name) or self._reference(name, self._lists, "l")
        return _SPELLED.get(token, token)

    def _reference(self, name: str, table: Mapping[str, Any], letter: str) -> str:
        if name not in table:
            assert self._outer is not None, f"the templates have no {name}"
            return self._outer._reference(name, self._outer._rules if letter == "r" else self._outer._lists, letter)
        rule = f"{self._name}_{letter}_{name}" if letter == "l" else f"{self._name}_{name}"
        if rule not in self._used:
            self._used[rule] = "<VOID>"
            entry = table[name]
            texts = [entry] if letter == "r" else [v if isinstance(v, str) else v["in"] for v in entry["values"]]
            self._used[rule] = _any([self.spoken(text) for text in texts])
        return f"<{rule}>"


@cache
def _quantity_rules() -> Mapping[str, str]:
    filled = _RULES.format(days=_any(DAYS), yes=_any(_spoken_of(YES)), no=_any(_spoken_of(NO)))
    return dict(re.findall(r"<(\w+)> = ([^;]+);", filled))


def _spoken_of(phrases: Iterable[str]) -> list[str]:
    return sorted(phrase for phrase in phrases if len(phrase) > 1 and phrase != "dont")


def _named(names: SpokenNames) -> list[tuple[str, tuple[str, ...], str]]:
    """Each name with its kind and its words, the first MAX_NAMES that can be said."""
    pairs = [(kind, name) for kind in ("devices", "programs", "pins") for name in getattr(names, kind)]
    return [(kind, words, name) for kind, name in pairs if (words := spoken_words(name))][:MAX_NAMES]


def _any(texts: Iterable[str]) -> str:
    return " | ".join(f"({text})" if "|" in text else text for text in texts) or "<VOID>"


def _number(digits: str) -> list[str]:
    """A number's words; from 100 on, and with a leading zero, digit by digit."""
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return [_ONES[int(digit)] for digit in digits]
    tens, ones = divmod(int(digits), 10)
    return [_ONES[int(digits)]] if int(digits) < 20 else [_TENS[tens - 2], *([_ONES[ones]] if ones else [])]


def _data(name: str) -> dict[str, Any]:
    folder = resources.files("microclaw.offline") / "intents" / "en"
    return tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8"))
