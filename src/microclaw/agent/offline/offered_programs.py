"""How well ready programs fit a sentence: what of it they take, what they leave out, and how they are offered.

"For this" is said only of an entry that has all words, numbers and times of the sentence. Of another one it is said
what it does not do. One that leaves out most of the sentence is not offered. Words are compared, meanings are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from microclaw.agent.language.quantities import NEGATIONS, normalize_quantities
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.decision import Values
from microclaw.agent.offline.ready_programs import (
    PIN_PLACE,
    WORD,
    ReadyProgram,
    join_words,
    pin_of_words,
    pin_words,
    stem,
    take_settings,
)
from microclaw.programs.patterns.catalog import Entry
from microclaw.programs.patterns.displays import PYTHON_BOARDS

_ANY_PIN: Final = re.compile(r"\bpin (\d{1,3})\b")
# What a sentence wants, and the words by which an entry says that it does it.
_ACTS: Final = (
    (re.compile(r"\bcount\b"), re.compile(r"\bcount")),
    (
        re.compile(r"\b(?:warn|alert|notify|tell) me\b|\blet me know\b"),
        re.compile(r"\b(?:warn|alert|alarm|notif|tell|print|report|log|say|send|message)"),
    ),
)
_CLAUSE_ENDS: Final = re.compile(
    r"[,;:] |\. |\band (?!\d)|\b(?=(?:but|then|when|whenever|if|while|until|till|unless|only|as soon as|every time"
    r"|each time|(?:every|each) (?!time)|for \d|between|from|after|before|without|except|at \d)\b)"
)
_MARKS: Final = " .!?,;:"
_LIMITING: Final = re.compile(rf"\b(?:{NEGATIONS}|only|except|without|most|least|more|less|instead)\b")
_ALIKE: Final = (
    "lamp light led bulb",
    "motion move movement",
    "siren alarm buzzer beeper sound",
    "tell report say print log write down warn alert notify know",
    "plant flower",
    "door window",
    "opened open",
    "full fill",
)
"""Words that mean the same in a wish; a word of an entry stands for the others of its row."""
_FILLER: Final = frozenset(
    re.findall(
        r"\w+",
        """
        a about after again all also always an and any anybody anyone anything are as at away back be been begin being
        but by can could do does ever for from gets get give go goes had has have he here how i if in into is it its
        just keep let like little make may me mine must my need needs now of on one onto or our out over own please put
        run runs s same set shall should so some somebody someone start starts switch switched take than that the their
        them then there these they thing this those to too turn turned turns up us use using very want was watch we
        were what when whenever where which while who will with would you your soon time till until before ready works
        work program board pin connected wired hook hooked module sensor every each between
        ms milli clock percent degrees
        """,
    )
)
"""Words that a program need not have."""


def fit_programs(programs: Sequence[ReadyProgram], text: str) -> list[ReadyProgram]:
    """Return the entries that leave out least of a sentence, with its pins and times. An entry must use all pins."""
    normal = normalize_quantities(text)
    fitting = []
    for program in programs:
        pins = _pins_said(program, normal)
        if pins is None or _lacks_act(program.entry, normal):
            continue
        settings, _ = take_settings(program.entry, normal)
        fitted = replace(program, said=pins, settings=settings)
        left_out = _left_out(fitted, text)
        if left_out is not None:
            fitting.append(replace(fitted, left_out=left_out))
    fewest = min((len(program.left_out) for program in fitting), default=0)
    best = []
    for program in fitting:
        if len(program.left_out) == fewest:
            best.append(program)
    return best


def offer(programs: Sequence[ReadyProgram], device: KnownDevice | None) -> tuple[str, tuple[str, ...]]:
    """Return what is said about entries that may be meant, and the sentences that install them.

    What the device cannot run is named with the reason, and not offered.
    """
    possible = []
    for program in programs:
        if device is None or _runs_on(program, device):
            possible.append(program)
    if not possible:
        program = programs[0]
        text = f"There is a ready program, {program.spoken_name} ({program.entry.title}), but not for this board: "
        return f"{text}{program.entry.missing}. Boards that can run it: {PYTHON_BOARDS}.", ()
    sentences = tuple(program.sentence for program in possible)
    if len(possible) == 1:
        return _offer_one(possible[0]), sentences
    rows = []
    for number, program in enumerate(possible, start=1):
        rows.append(f"{number}: {program.sentence} ({program.entry.title}){_without(program)}")
    begin = "There are ready programs that may be meant"
    if possible[0].left_out:
        begin = "No ready program does exactly this. The nearest are"
    return f"{begin}: {'; '.join(rows)}. Say a number, or none of them.", sentences


def mention(programs: Sequence[ReadyProgram]) -> str:
    """Return which ready programs there are for a question, without an offer."""
    rows = []
    for program in programs:
        rows.append(f"{program.spoken_name} ({program.entry.title})")
    return f"There is a ready program: {'; '.join(rows)}. To have it say: {programs[0].example}."


def _offer_one(program: ReadyProgram) -> str:
    """Return the offer of one entry: what it does, what it takes and needs, and what it does not do."""
    about = program.entry.about.partition(". ")[0].rstrip(".")
    does = f"{program.spoken_name} ({program.entry.title}). {about}."
    texts = [f"There is a ready program for this: {does}"]
    if program.left_out:
        texts = [f"I cannot do exactly this without a model. The nearest ready program is {does}"]
        texts.append(f"It does not do: {_quoted(program.left_out)}.")
    texts += [program.takes(), program.needs(), f"Say yes, or: {program.example}."]
    return " ".join(filter(None, texts))


def _without(program: ReadyProgram) -> str:
    if not program.left_out:
        return ""
    return f" without {_quoted(program.left_out)}"


def _quoted(parts: Sequence[str]) -> str:
    return join_words([f'"{words}"' for words in parts])


def _left_out(program: ReadyProgram, text: str) -> tuple[str, ...] | None:
    """Return the parts of a sentence that the entry does not do, in its words. Return None if these are most of it."""
    about = f"{program.entry.name} {program.entry.title} {program.entry.about} ".replace("_", " ").lower()
    words = set(map(stem, WORD.findall(about))) | program.names
    for row in _ALIKE:
        alike = set(map(stem, row.split()))
        if alike & words:
            words |= alike
    clauses = [clause for clause in _CLAUSE_ENDS.split(text) if clause.strip(_MARKS)]
    left_out = [""]
    clause_count = 0
    word_count = 0
    lost_count = 0
    for clause in clauses:
        lost, count = _lost_words(program, clause, words)
        word_count += count
        lost_count += lost
        clause_count += bool(lost)
        if lost:
            # What is lost in a row is named as one.
            left_out[-1] = f"{left_out[-1].rstrip(_MARKS)} {clause.strip(_MARKS)}"
        elif left_out[-1]:
            left_out.append("")
    is_mostly_lost = clause_count > 1 and 2 * clause_count > len(clauses)
    if is_mostly_lost or 2 * lost_count > word_count:
        return None
    return tuple(part.strip() for part in left_out if part)


def _lost_words(program: ReadyProgram, clause: str, words: set[str]) -> tuple[int, int]:
    """Return how many telling words and numbers of a clause the entry does not have, and how many there are."""
    _, normal = take_settings(program.entry, normalize_quantities(clause))
    for pin in program.said.values():
        normal = re.sub(rf"\bpin {pin}\b", "", normal)
    telling_count = len(re.findall(r"\d+", normal)) + len(_LIMITING.findall(normal))
    lost_count = telling_count
    for word in WORD.findall(normal):
        if word in _FILLER:
            continue
        telling_count += 1
        if stem(word) not in words:
            lost_count += 1
    return lost_count, telling_count


def _pins_said(program: ReadyProgram, normal: str) -> dict[str, int] | None:
    """Return the pins of a sentence by the parameters of an entry. Return None if one of them has no clear place."""
    values: Values = {}
    pins: dict[str, int] = {}
    for match in PIN_PLACE.finditer(normal):
        near_words = match["words"].split()[-3:]
        usable = set[str]()
        for parameter in program.pins:
            known = pin_words(program.entry, parameter.name)
            usable |= {word for word in near_words if stem(word) in known}
        is_of_program = bool(usable) or any(stem(word) in program.names for word in near_words)
        name = pin_of_words(program, usable, values)
        if name is None or not is_of_program:
            return None
        values[name] = int(match["pin"])
        pins[name] = int(match["pin"])
    if len(set(_ANY_PIN.findall(normal))) > len(pins):
        return None
    return pins


def _lacks_act(entry: Entry, normal: str) -> bool:
    """Return True if the sentence wants to be told or to have something counted, and the entry does not do that."""
    about = f"{entry.name} {entry.title} {entry.about}".lower()
    for wish, does in _ACTS:
        if wish.search(normal) and not does.search(about):
            return True
    return False


def _runs_on(program: ReadyProgram, device: KnownDevice) -> bool:
    return not set(device.kinds).isdisjoint(program.entry.kinds)
