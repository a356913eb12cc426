"""Ready programs of the catalogue in sentences: which of them a sentence may be about, and "install plant watering".

An entry is found by the words of its own name, title, parts, pins and description, so a new entry needs no line here. A
found entry is only offered. It is installed by a sentence that names it, and its missing pins are asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import log
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from microclaw.agent.language.quantities import normalize_quantities
from microclaw.agent.language.times import spoken_duration
from microclaw.agent.offline.boards import device_of
from microclaw.agent.offline.decision import Context, Parse, Values, ask, capitalize
from microclaw.agent.offline.pattern_values import Filled, PatternValues
from microclaw.agent.offline.sentences import english
from microclaw.errors import PinRefused
from microclaw.hardware.boards.pins import check_pin
from microclaw.programs.patterns.catalog import Entry, shipped
from microclaw.programs.patterns.library import PatternParameter

INSTALL: Final = "install_program"
ENTRY: Final = "entry"
"""The slot with the name of the entry; the slots of its pins are its own parameters."""
_INSTALL: Final = re.compile(
    r"(?:please )?(?:install|set up|setup|deploy) (?:(?:the|a|an|my) )?(?:(?:ready )?(?:program|entry) )?(?P<rest>\w.*)"
)
PIN_PLACE: Final = re.compile(r"(?P<words>\b[a-z0-9 ]{0,60}?)\b(?:is )?(?:on|at|to|=) (?:the )?pin (?P<pin>\d{1,3})\b")
# A time that a description names: "each EVERY_MS", "until HOLD_MS after". What "has to last for" a time is fixed.
_SETTING: Final = re.compile(r"(?<!last )(?<!hold )\b(?P<word>each|for|until) (?P<name>[A-Z_]+_MS)\b")
_SAID_TIME: Final = re.compile(r"\b(?P<word>every|for) (?P<ms>\d{1,9}) ms\b")
_JOINING: Final = frozenset({"with", "and", "also", "the", "its", "a", "an", "my", "program", "please", "wired"})
WORD: Final = re.compile(r"[a-z][a-z0-9]*")
_NOT_TELLING: Final = frozenset(
    re.findall(
        r"\w+",
        """
        a about after all also an and any are as at back be been begin before both but by can could do does down each
        end ever every first for from get give go has have high how i if in into is it its just keep let lamp light
        like long low made make many may me more most my need needs never new no not now of off often on once one only
        or other our out over own pin pins please put run same say set should show side so some start stop switch take
        tell than that the their them then there they this those time to turn twice under until up us use used was we
        were what when where which while who will with without would you your second minute hour day morning evening
        led work program board
        """,
    )
)
"""Words that say nothing of what a program is about."""
_PLACES: Final = {"name": 3.0, "title": 2.0, "part": 2.0, "about": 1.0}
_LEAST_SCORE: Final = 3.5
_NEAR_BEST: Final = 0.8
_MOST_OFFERED: Final = 3


class ReadyProgram(Struct, frozen=True):
    """An entry of the catalogue, and how much each of its words tells, by the stem of the word.

    `names` are the stems of its name, its parts and its pins: one of them is enough. `said` are the pins that a
    sentence has named, by their parameters, and `settings` its times. `left_out` is what the sentence says more.
    """

    entry: Entry
    weights: Mapping[str, float]
    names: frozenset[str]
    said: Mapping[str, int] = {}
    settings: Mapping[str, int] = {}
    left_out: tuple[str, ...] = ()

    @property
    def spoken_name(self) -> str:
        """The entry's name as a person says it: "plant watering"."""
        return self.entry.name.replace("_", " ").replace("-", " ")

    @property
    def pins(self) -> list[PatternParameter]:
        """The parameters that are pins, in their order."""
        return [parameter for parameter in self.entry.parameters.values() if parameter.pin_use]

    @property
    def sentence(self) -> str:
        """The sentence that installs it, with the pins that were said."""
        return self.sentence_on(self.said)

    @property
    def example(self) -> str:
        """The sentence that installs it with the pins that were said, and the usual ones for the others."""
        pins = dict(self.said)
        for pin in self.pins:
            if int(pin.default) not in pins.values():
                pins.setdefault(pin.name, int(pin.default))
        return self.sentence_on(pins)

    def sentence_on(self, pins: Mapping[str, int]) -> str:
        """Return the sentence that installs it on these pins."""
        installation = f"install {self.spoken_name}"
        if len(self.pins) == 1 and pins:
            installation += f" on pin {next(iter(pins.values()))}"
        elif pins:
            places = [f"the {self.part_on(name)} on pin {pin}" for name, pin in pins.items()]
            installation += f" with {join_words(places)}"
        words = setting_words(self.entry)
        for name, time_ms in self.settings.items():
            installation += f" {words[name]} {spoken_duration(time_ms)}"
        return installation

    def takes(self) -> str:
        """Return what is taken from the sentence: "pin 6 as the PIR sensor and 30 s as HOLD_MS"."""
        rows = [f"pin {pin} as the {self.part_on(name)}" for name, pin in self.said.items()]
        rows += [f"{spoken_duration(time_ms)} as {name}" for name, time_ms in self.settings.items()]
        if not rows:
            return ""
        return f"It takes {join_words(rows)}."

    def needs(self) -> str:
        """Return what a person has to name: "the pins of sensor and pump"; empty if there is nothing."""
        names = []
        for pin in self.pins:
            if pin.name not in self.said:
                names.append(self.part_on(pin.name))
        if len(names) == 1:
            return f"It needs the pin of the {names[0]}."
        if names:
            return f"It needs the pins of the {join_words(names)}."
        return ""

    def part_on(self, parameter: str) -> str:
        """Return what is wired to a pin: the part that the drawing has there, or the name of its parameter."""
        for part in self.entry.wiring:
            wires = [wire.pin for wire in part.wires if wire.pin in self.entry.parameters]
            if wires == [parameter]:
                return part.name
        return spoken_pin(parameter)


def spoken_pin(parameter: str) -> str:
    """Return what is wired to a pin, by the name of its parameter: "pump" for PUMP_PIN."""
    words = parameter.lower().removesuffix("pin").replace("_", " ").strip()
    return words or "part"


def parse_installation(text: str) -> Parse | None:
    """Parse "install plant watering with the sensor on pin 10". Return None if not all of it is understood."""
    normal = normalize_quantities(text).replace(",", " and ").strip(" .!?")
    match = _INSTALL.fullmatch(normal)
    if match is None:
        return None
    rest = match["rest"]
    for program in sorted(ready_programs(), key=lambda program: -len(program.entry.name)):
        name = _spelling(program.spoken_name)
        named = re.match(rf"{name}(?: program)?\b", rest)
        if named is not None:
            return _with_pins(program, rest[named.end() :])
    return None


def setting_words(entry: Entry) -> dict[str, str]:
    """Return the word before each time that a sentence may set, by its parameter: {"EVERY_MS": "every"}."""
    words = {}
    for match in _SETTING.finditer(entry.about):
        if match["name"] in entry.parameters:
            words[match["name"]] = "every" if match["word"] == "each" else "for"
    return words


def take_settings(entry: Entry, normal: str) -> tuple[dict[str, int], str]:
    """Return the times of a text that the entry can use, by their parameters, and the text without them."""
    settings: dict[str, int] = {}
    names = {word: name for name, word in setting_words(entry).items()}

    def take(match: re.Match[str]) -> str:
        name = names.get(match["word"])
        if name is None or name in settings:
            return match[0]
        parameter = entry.parameters[name]
        time_ms = int(match["ms"])
        is_possible = (parameter.min or 0) <= time_ms <= (parameter.max or time_ms)
        if not is_possible:
            return match[0]
        settings[name] = time_ms
        return ""

    return settings, _SAID_TIME.sub(take, normal)


def _spelling(name: str) -> str:
    return r"[ _-]?".join(map(re.escape, name.split()))


def _with_pins(program: ReadyProgram, text: str) -> Parse | None:
    """Return the parse with the pins of a text. Return None if a word of it is not understood."""
    values: Values = {ENTRY: program.entry.name}
    settings, text = take_settings(program.entry, text)
    values |= settings
    end = 0
    for match in PIN_PLACE.finditer(text):
        words = set(WORD.findall(f"{text[end : match.start()]} {match['words']}")) - _JOINING
        end = match.end()
        name = pin_of_words(program, words, values)
        if name is None:
            return None
        values[name] = int(match["pin"])
    if re.search(r"\d", text[end:]) or set(re.findall(r"\w+", text[end:])) - _JOINING:
        return None
    return Parse(INSTALL, values)


def pin_of_words(program: ReadyProgram, words: set[str], values: Values) -> str | None:
    """Return the parameter that these words name. Without words it is the only pin. Return None if it is not clear."""
    free = [pin.name for pin in program.pins if pin.name not in values]
    if not words:
        if len(program.pins) == 1 and free:
            return free[0]
        return None
    spoken = set(map(stem, words))
    names = []
    exact = []
    for name in free:
        if not spoken <= pin_words(program.entry, name):
            continue
        names.append(name)
        if spoken & set(map(stem, spoken_pin(name).split())):
            exact.append(name)
    if len(exact) == 1:
        return exact[0]
    if len(names) == 1:
        return names[0]
    return None


def pin_words(entry: Entry, parameter: str) -> set[str]:
    """Return the words for a pin: of its parameter, and of the part that the drawing has there."""
    words = spoken_pin(parameter).split()
    for part in entry.wiring:
        if any(wire.pin == parameter for wire in part.wires):
            words += part.name.lower().split()
    return set(map(stem, words))


def next_pin(parse: Parse) -> str | None:
    """Return the parameter of the first pin that the sentence has not named, or None."""
    program = _find(parse.word(ENTRY) or "")
    for pin in program.pins:
        if pin.name not in parse.values:
            return pin.name
    return None


def with_next_pin(parse: Parse, pin: int) -> Parse:
    """Return the parse with this pin for the first one that was not named."""
    name = next_pin(parse)
    if name is None:
        return parse
    return replace(parse, values=parse.values | {name: pin})


def fill_ready_program(context: Context) -> Filled:
    """Fill an entry with the pins of the sentence. Raises CannotDo with the question for the next pin."""
    parse = context.parse
    program = _find(parse.word(ENTRY) or "")
    device = device_of(context)
    pins = _checked_pins(context, program)
    missing = next_pin(parse)
    if missing is not None and not set(device.kinds).isdisjoint(program.entry.kinds):
        question = f"For {program.spoken_name}: which pin is the {program.part_on(missing)} on?"
        raise ask(question, "name it, as in: pin 4", "entry_pin")
    settings = {}
    for name in setting_words(program.entry):
        time_ms = parse.number(name)
        if time_ms is not None:
            settings[name] = time_ms
    values: PatternValues = {**pins, **settings}
    return program.entry.name, values, replace(program, settings=settings).sentence_on(pins)


def _checked_pins(context: Context, program: ReadyProgram) -> dict[str, int]:
    """Return the pins of the sentence by their parameters. Raises CannotDo for one that the board cannot use so."""
    pins: dict[str, int] = {}
    for parameter in program.pins:
        pin = context.parse.number(parameter.name)
        if pin is None:
            continue
        _check(context, parameter, pin)
        if pin in pins.values():
            raise ask(f"Two parts cannot both be on pin {pin}, so I did nothing.", f"as in: {program.example}")
        pins[parameter.name] = pin
    return pins


def _check(context: Context, parameter: PatternParameter, pin: int) -> None:
    """Raise CannotDo if the board has no such pin, or one that cannot be used so."""
    assert parameter.pin_use is not None
    try:
        check_pin(device_of(context).board, pin, parameter.pin_use)
    except PinRefused as exc:
        raise ask(f"{capitalize(exc.message)}. Nothing was changed.", exc.next_step) from exc


def find_ready_programs(text: str) -> list[ReadyProgram]:
    """Return the entries that a text may be about, best first, by the words that few entries have. Often none."""
    words = set(map(stem, set(WORD.findall(text.lower())) - _NOT_TELLING))
    scores = []
    for program in ready_programs():
        score = sum(program.weights.get(word, 0.0) for word in words)
        shared = words & program.weights.keys()
        is_meant = len(shared) > 1 or not shared.isdisjoint(program.names)
        if is_meant and score >= _LEAST_SCORE:
            scores.append((score, program))
    scores.sort(key=lambda row: (-row[0], row[1].entry.name))
    best = []
    for score, program in scores[:_MOST_OFFERED]:
        if score >= _NEAR_BEST * scores[0][0]:
            best.append(program)
    return best


def ready_texts() -> list[str]:
    """Return the texts in which the words of ready programs stand, and the usual words of English."""
    texts = list(_NOT_TELLING)
    for entry in shipped():
        texts.append(f"{entry.name} {entry.title} {entry.about}")
    return texts


def _find(name: str) -> ReadyProgram:
    return next(program for program in ready_programs() if program.entry.name == name)


@cache
def ready_programs() -> tuple[ReadyProgram, ...]:
    """Return the shipped entries; a host reads them once."""
    return weigh(shipped())


def weigh(entries: Iterable[Entry]) -> tuple[ReadyProgram, ...]:
    """Return the entries with the weights of their words: a word of few entries tells more."""
    words_by_entry = []
    counts = Counter[str]()
    for entry in entries:
        places = _place_weights(entry)
        words_by_entry.append((entry, places))
        counts.update(places.keys())
    programs = []
    for entry, places in words_by_entry:
        weights: dict[str, float] = {}
        for word, place in places.items():
            weights[word] = place * log(1 + len(words_by_entry) / counts[word])
        programs.append(ReadyProgram(entry, weights, frozenset(map(stem, WORD.findall(_names_in(entry))))))
    return tuple(programs)


def _place_weights(entry: Entry) -> dict[str, float]:
    """Return the words of an entry, each with the weight of the best place that it has."""
    # A name in capitals is a parameter or a chip's pin.
    about = re.sub(r"\b[A-Z0-9_]*[A-Z]_[A-Z0-9_]*\b", " ", entry.about)
    texts = {
        "about": about,
        "part": _names_in(entry),
        "title": entry.title,
        "name": entry.name.replace("_", " ").replace("-", " "),
    }
    weights: dict[str, float] = {}
    for place, text in texts.items():
        for word in WORD.findall(text.lower()):
            if word not in _NOT_TELLING and stem(word) not in _verbs():
                weights[stem(word)] = _PLACES[place]
    return weights


@cache
def _verbs() -> frozenset[str]:
    """Return the stems of the words that begin a known sentence: they say what to do, and not with which parts."""
    return frozenset(stem(example.split()[0]) for example in english().examples.values())


def _names_in(entry: Entry) -> str:
    """Return the names of an entry, its parts and its pins as one text."""
    names = [entry.name.replace("_", " ").replace("-", " "), *(part.name for part in entry.wiring)]
    for name, parameter in entry.parameters.items():
        if parameter.pin_use:
            names.append(spoken_pin(name))
    return " ".join(names).lower()


def stem(word: str) -> str:
    """Return a word without its ending: "watering" and "waters" are "water", "closes" is "clos" as "close" is."""
    for ending in ("ing", "ed", "es", "s"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2 and not stem.endswith("s" if ending == "s" else "\0"):
            word = stem
            break
    return word.removesuffix("e")


def join_words(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
