"""Which question a set of meanings asks, and what only tells something: neither orders anything. Reads no text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from microclaw.models.frames import THINGS, Bag, Meant

Values = dict[str, int | str | bool]
Kind = tuple[str, Values]

ASKED = ("question", "show")
PROGRAMS = {"blink": "blink", "fade": "fade", "traffic": "traffic light", "thermostat": "thermostat"}
_BEFORE_A_PERSON = frozenset(
    {
        "should",
        "shall",
        "must",
        "may",
        "can",
        "could",
        "will",
        "would",
        "do",
        "does",
        "did",
        "have",
        "has",
        "was",
        "am",
        "are",
    }
)
_PERSONS = frozenset({"i", "we", "you", "it", "that", "this", "somebody", "someone"})
_TELLERS = frozenset(
    {"i", "we", "he", "she", "they", "somebody", "someone", "it", "it's", "it is", "that", "there", "you", "i see"}
)
_HOW_WE_ARE = frozenset({"i'm", "i am", "we're", "we are"})
_IS = frozenset({"is", "are", "was", "were", "has", "have"})
_MUST = frozenset({"should", "must", "shall", "needs", "need", "has to", "have to", "to be", "can"})
_REMARKS = _TELLERS - {"it is", "i see", "you"} | {
    "it is",
    "it's",
    "i'm",
    "i am",
    "we're",
    "this",
    "they",
    "these",
    "everyone",
}
_SUBJECTS = frozenset({"my", "our", "the", "his", "her", "their", "people", "children", "everybody"})
_WISHES = frozenset(
    {
        "want",
        "wants",
        "need",
        "needs",
        "would",
        "like",
        "i need",
        "i want",
        "should",
        "must",
        "shall",
        "will",
        "can",
        "want to know",
    }
)
_INTRODUCES = frozenset({"let's", "lets", "let us", "for", "as", "in", "at", "to"})
_GREETS = frozenset(
    {
        "good morning",
        "good evening",
        "good night",
        "good afternoon",
        "good day",
        "hello there",
        "hello",
        "hi",
        "hey",
        "dear",
        "ok",
        "okay",
        "well",
        "so",
        "please",
        "thank",
    }
)
_WONDERS = frozenset({"i wonder", "wondering", "curious", "i'm", "i am", "just", "well", "so", "and", "quick question"})
_FACT_WORDS = (
    "uptime",
    "firmware version",
    "firmware",
    "version",
    "memory",
    "ram",
    "heap",
    "wifi",
    "wi-fi",
    "wlan",
    "how long",
    "since when",
)


def is_question(bag: Bag) -> bool:
    """Whether it asks and so orders nothing: "is the led blinking", "should i turn it on"."""
    parts = list(itertools.dropwhile(lambda part: part.text in _WONDERS, bag.parts))
    first, second = (*(part.text for part in parts[:2]), "", "")[:2]
    if first in _BEFORE_A_PERSON and second in _PERSONS:
        return True
    said = [part for part in bag.parts if part.tags != {"filler"}]
    return bool(said) and "question" in said[0].tags and "log" not in said[0].tags


def is_told(bag: Bag) -> bool:
    """Whether it tells what is or was: "the relay is on", "we switched it on"; nothing is to be done."""
    first, second = (*(part.text for part in bag.parts[:2]), "", "")[:2]
    if first in _TELLERS | _HOW_WE_ARE and second not in _MUST and not bag.wished:
        return True
    if bag.wished:
        return False
    if any(part.text.split(" ")[0].endswith("ed") and part.tags & {"on", "off"} for part in bag.parts):
        return True
    return any(
        before.text in ("is", "are", "was", "were", "been") and not part.tags.isdisjoint(("on", "off", "blink", "fade"))
        for before, part in itertools.pairwise(bag.parts)
    )


def says_nothing(bag: Bag | None, *, first: bool) -> bool:
    """Whether a clause may be left out: a greeting, an address, an introduction, a remark on how things are.

    One that begins as an order does ("play ...", or any verb that is not known) may not.
    """
    parts = bag.parts if bag is not None else ()
    tags = frozenset(tag for part in parts for tag in part.tags if "filler" not in part.tags)
    if not parts or not tags:
        return bag is not None
    begins = parts[0].text
    if begins in _SUBJECTS and tags == {"unknown"} and len(parts) > 1:
        return True  # "my eyes hurt"
    if begins in _REMARKS and not any(part.text in _WISHES for part in parts):
        return tags.isdisjoint({"pin", "when", "or", "app"}) and (
            tags.isdisjoint(THINGS) or not tags <= {*THINGS, "unknown"}
        )
    if _states(parts, tags):
        return True
    wished = bag is not None and bag.wished and begins in ("a", "an", "some")
    if first and wished and tags <= {"unknown", "state", *THINGS}:
        return True  # "i need a visual metronome, ..."
    introduces = begins in _INTRODUCES or (len(parts) <= 2 and not tags.isdisjoint({"unknown"})) or begins in _GREETS
    return first and introduces and tags <= {"unknown", "show", "log", "set", "place", "near", "question"}


def _states(parts: Sequence[Meant], tags: frozenset[str]) -> bool:
    """Whether it says how something is that nobody can act on: "the season is over", "the shop is open"."""
    texts = [part.text for part in parts]
    if len(texts) > 1 and texts[-1] == "is over":
        return not any(part.tags - {"unknown"} for part in parts[:-1] if "filler" not in part.tags)
    said = next((n for n, text in enumerate(texts[:4]) if text in _IS), 0)
    if not said or "unknown" not in {tag for part in parts[:said] for tag in part.tags}:
        return False
    if any(text in _WISHES for text in texts):
        return False
    state = {"over"} if texts[-1] == "over" else {"open", "closed"} & {texts[-1]}
    allowed = {"unknown", "question", "near", "place", "too", *(parts[-1].tags if state else ())}
    return tags <= allowed and not any("question" in part.tags and part.text not in _IS for part in parts)


def asks(bag: Bag) -> bool:
    """Whether it is put as a question: its first word that says something asks."""
    said = [part for part in bag.parts if part.tags != {"filler"}]
    return bool(said) and not said[0].tags.isdisjoint(ASKED)


def told_of_the_board(bag: Bag) -> Kind | None:
    """Facts of the board."""
    facts = (
        ("uptime", "device_status", "uptime", ("running", "on", "online", "uptime")),
        ("heap", "device_status", "heap", ("free", "heap")),
        ("firmware", "device_info", "firmware", ("running", "firmware", "on")),
        ("wifi", "device_status", "wifi", ("online", "wifi")),
    )
    for tag, kind, name, allowed in facts:
        if bag.has(tag) and bag.only(*ASKED, *allowed) and (asks(bag) or bag.says(*_FACT_WORDS)):
            return kind, {"field": name}
    if bag.has("i2c") and bag.only("i2c", *ASKED, "devices", "online", "running"):
        return "scan_i2c", {}
    if bag.has("devices") and bag.has(*ASKED, "online") and bag.only("devices", *ASKED, "online", "running"):
        return "list_devices", {}
    return None


def asked_of_programs(bag: Bag) -> Kind | None:
    if (
        bag.has("pins", "free")
        and (asks(bag) or is_question(bag))
        and bag.only("pins", "free", "pin", "led", "load", *ASKED)
    ):
        return ("pin_facts", {"pin": bag.pins[0]} if bag.pins else {}) if len(bag.pins) < 2 else None
    if not (asks(bag) or bag.says("still", "does")):
        return None
    named = [name for tag, name in PROGRAMS.items() if bag.has(tag)]
    if len(named) == 1 and bag.has("running", "app") and bag.only(*PROGRAMS, "running", "app", *ASKED, "hold", "or"):
        return "app_status", {"app": named[0]}
    if bag.has("running", "app") and not named and bag.only("running", "app", *ASKED):
        return "list_apps", {}
    return None


def _orders(bag: Bag) -> bool:
    return any(part.tags.isdisjoint(("show", "measuring")) for part in bag.all("set"))


def reading(bag: Bag) -> Kind | None:
    """A level, a voltage at a pin, or a sensor's value, asked for once."""
    if bag.has("adc") or (bag.pins and bag.quantities == ["voltage"]):
        if (
            len(bag.pins) < 2
            and bag.only("adc", "q:voltage", "pin", "input", "load", "state", "measuring", "button", *ASKED)
            and not _orders(bag)
        ):
            return "read_adc", {"pin": bag.pins[0]} if bag.pins else {}
        return None
    if (
        bag.thing == "led"
        and not bag.pins
        and bag.says("did", "is", "was", "have", "are", "does")
        and is_question(bag)
        and bag.has("on", "off")
        and not bag.quantities
    ):
        known = bag.only("on", "off", "or", "set", "led", *ASKED)
        return ("read_pin", {"thing": "led"}) if known else None
    level = ("pin", "on", "off", "or", "input", "button", "press", "state", *THINGS, *ASKED)
    if is_question(bag) and bag.says("set to", "set"):
        level = (*level, "set")
    if len(bag.pins) == 1 and (asks(bag) or bag.says("level", "state", "status")) and bag.only(*level):
        return ("read_pin", {"pin": bag.pins[0]}) if bag.has(*ASKED) or not bag.has("on", "off") else None
    quantities = bag.quantities
    plain = ("question", "show", "measuring", "near", "place", *(f"q:{name}" for name in quantities))
    orders = bag.has("alert") and not asks(bag)  # "cool the room"
    if len(quantities) in (1, 2) and not bag.pins and not orders and bag.only(*plain):
        second: Values = {"quantity_2": quantities[1]} if len(quantities) == 2 else {}
        return "read_sensor", {"quantity": quantities[0], **second}
    return None
