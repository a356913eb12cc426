"""Finds the words of a model that claim what no call of its turn did, by words in a few languages. It marks nothing.

What is not found is still shown up by the list of acts (agent.acts): that list is what holds.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from microclaw.events import Action, Evidence
from microclaw.text import LOOK_ALIKES, clean_text
from microclaw.validation import read_object

_MAX_CLAIM_CHARS: Final = 160
_MAX_CLAIMS: Final = 3
_DEPLOY: Final = "deploy-wasm-app"
_REMOVE: Final = "uninstall-wasm-app"
_SWITCH: Final = "switch-program"
_ON_BOARDS: Final = "act-on-boards"
_PIN_TOOLS: Final = frozenset({"gpio-set", "pwm-set"})


def unproved_claims(text: str, actions: Sequence[Action]) -> tuple[str, ...]:
    """What a model says was done, read or runs although no call of this turn shows it.

    A sentence counts whole, unless a part of it is proved: then only its other parts do.
    """
    done = [_on_one(action) for action in actions if action.outcome == "done"]
    found: list[str] = []
    for sentence in re.split(r"(?<=[.!?。！？])\s+|\n+", plain_text(text)):
        if not sentence.strip() or sentence.rstrip().endswith(("?", "？")) or _CONDITION.match(sentence):
            continue
        whole = _each_pin(sentence)
        judged = [(clause, _is_proved(clause, done)) for clause in _clauses(whole)]
        bad = [clause for clause, is_proved in judged if is_proved is False]
        if bad:
            is_half = whole == sentence and any(is_proved for _, is_proved in judged)
            parts = bad if is_half else [sentence]
            found += [" ".join(part.strip(" *_-#>").split())[:_MAX_CLAIM_CHARS].rstrip(".!。！") for part in parts]
    return tuple(dict.fromkeys(found))[:_MAX_CLAIMS]


def _on_one(action: Action) -> Action:
    """An act on many boards as the act that each of them did; any other as it is."""
    if action.tool != _ON_BOARDS:
        return action
    fields = read_object(action.arguments)
    each = fields.get("each") or [{}]
    arguments = fields.get("arguments") or each[0].get("arguments") or {}
    return replace(action, tool=str(fields.get("tool")), arguments=json.dumps(arguments))


def may_be_an_order(said: str) -> bool:
    """Whether a person's words may ask for an act: everything but plain questions and small talk."""
    parts = [part for part in re.split(r"(?<=[.!?。！？])\s+|\n+", plain_text(said)) if part.strip()]
    return any(_SMALL_TALK.fullmatch(part) is None and _QUESTION.match(part) is None for part in parts) or any(
        _REQUEST.search(part) for part in parts
    )


def speaks_of_boards(text: str) -> bool:
    """Whether an answer is about what boards do or measure."""
    return _OF_BOARDS.search(plain_text(text)) is not None


def plain_text(text: str) -> str:
    """A text as it looks: without what nobody sees, and with plain letters for those that only look like them."""
    shown = unicodedata.normalize("NFKC", clean_text(text)).translate(LOOK_ALIKES)
    return "".join(char for char in shown if unicodedata.category(char) not in ("Mn", "Me"))


@dataclass(frozen=True, slots=True)
class _Claim:
    """Words that claim an act, and the tools one of which must have done it."""

    words: re.Pattern[str]
    tools: frozenset[str]


def _claim(tools: str, words: str) -> _Claim:
    return _Claim(re.compile(words, re.IGNORECASE), frozenset(tools.split()))


_SAYS_DONE: Final = (
    r"(?:^|\b(?:i|we|it|i've|i have|we have|has|have|been|was|were|is|are|now|just|successfully)\b[^.;]{0,40}?\b|^\W*)"
)
_THING: Final = (
    r"\b(?:led|light|lamp|pin(?: \d+)?|gpio ?\d+|relay|fan|motor|pump|heater|buzzer|it)"
    r"(?: (?:on|at|of) [^.,;]{0,20}?)? (?:now |already )?"
)
_DEVICE_READS: Final = "gpio-get read-edges adc-read i2c-read i2c-scan device-status query-wasm-apps read-logs"
_RUNS: Final = (
    r"\b(?:is|are|keeps?) (?:\w+ ){0,2}?running\b|\b(?:it|which|program|app|sketch) (?:now |still |already )?runs\b"
)
_CLAIMS: Final = (
    _claim(
        "deploy-wasm-app",
        _SAYS_DONE + r"(?:deployed|installed|uploaded|flashed)\b|\b(?:is|are) (?:now )?running on\b"
        r"|\b(?:hochgeladen|installiert|aufgespielt|déployée?|installée?|desplegad[oa]|instalad[oa])\b"
        r"|(?:已|成功)(?:部署|安装|上传)",
    ),
    _claim(
        "gpio-set pwm-set deploy-wasm-app undo",
        _SAYS_DONE + r"(?:turned|switched|set|pulled|driven|dimmed|toggled)\b[^.;]{0,60}?"
        r"\b(?:on|off|high|low|pin|gpio|led|light|lamp|relay|fan|\d+ ?%)"
        r"|\b(?:eingeschaltet|ausgeschaltet|angeschaltet|allumée?|éteinte?|encendid[oa]|apagad[oa])\b"
        r"|(?:已|成功)(?:打开|关闭|设置)",
    ),
    _claim(
        f"gpio-set pwm-set deploy-wasm-app undo uninstall-wasm-app {_DEVICE_READS}",
        rf"{_THING}(?:is|are) (?:\w+ ){{0,2}}?(?:high|low|lit|(?:on|off)(?! (?:pin|gpio|the|an?|your|port)\b))\b"
        r"|\bis now (?:turned|switched)\b",
    ),
    _claim(
        f"deploy-wasm-app pwm-set {_DEVICE_READS}",
        rf"{_THING}(?:(?:is|are) (?:\w+ ){{0,2}}?)?(?:blinks?|blinking|flash(?:es|ing)|fad(?:es|ing)|puls(?:es|ing)"
        r"|spin(?:s|ning))\b"
        r"|\b(?:it|this|that|all|everything|program) (?:now )?works\b|\bgood to go\b",
    ),
    _claim(
        f"deploy-wasm-app gpio-set pwm-set undo try-program {_DEVICE_READS}",
        _SAYS_DONE + r"(?:counted|measured|verified|proved|proven|confirmed)\b|\b\d+ (?:edges|pulses|toggles)\b",
    ),
    _claim(
        f"{_REMOVE} {_SWITCH} undo schedule-remove forget delete-file",
        _SAYS_DONE + r"(?:removed|deleted|cleared|uninstalled|undone|undid|reverted|rolled back|stopped)\b"
        r"|\b(?:deinstalliert|rückgängig gemacht)\b|(?:已|成功)(?:卸载|撤销|停止)",
    ),
    _claim(
        f"{_DEPLOY} gpio-set pwm-set undo {_REMOVE} schedule-add schedule-remove remember forget write-file",
        _SAYS_DONE + r"(?:updated|replaced|reprogrammed|rewrote|rewritten|reflashed|upgraded|changed|adjusted)\b",
    ),
    _claim(f"{_DEPLOY} {_SWITCH} {_DEVICE_READS}", _RUNS),
    _claim(
        f"gpio-set pwm-set {_DEVICE_READS} web-search web-fetch read-file recall",
        rf"{_THING}(?:reads|shows|measures|is at)\b"
        r"|\b(?:temperature|humidity|pressure|brightness|distance|moisture|sensor)\b[^.;]{0,40}?"
        r"\b(?:is|reads|shows|measures|at)\b[^.;]{0,16}?[-+]?\d"
        r"|\bit(?:'s| is) (?:now |currently )?[-+]?\d+(?:\.\d+)? ?(?:°|degrees)",
    ),
    _claim(f"{_SWITCH} restart-device", _SAYS_DONE + r"(?:restarted|rebooted)\b"),
    _claim(
        "schedule-add schedule-remove",
        _SAYS_DONE + r"scheduled\b|\b(?:i'll|i will) remind\b"
        r"|\b(?:reminder|schedule) (?:is |has been )?(?:now )?(?:set|created|saved|active)\b",
    ),
    _claim("remember forget write-file", r"\bi(?:'ve| have) (?:remembered|saved|noted)\b|\bi(?:'ll| will) remember\b"),
    _claim("notify say", _SAYS_DONE + r"(?:notified\b|sent [^.;]{0,30}(?:note|message|notification))\b"),
)
_ANY_DONE: Final = re.compile(
    r"^\W*(?:(?:ok(?:ay)?|alright|great)\W+)?(?:it(?:'s| is) )?(?:all )?"
    r"(?:done|all set|set|erledigt|fertig|c'est fait|hecho|listo|完成|好了)\W*$",
    re.IGNORECASE,
)
_NO_CLAIM: Final = re.compile(
    r"\b(?:not|never|no|nothing|cannot|can|could|would|should|shall|may|might|must|if|unless|until|once|when|before|after"
    r"|to be|need|needs|want|failed|refused"
    r"|earlier|previously|yesterday|last time|means|nicht|kein\w*|würde|könnte|wenn|pas|si)\b"
    r"|n't\b|没有|未|不",
    re.IGNORECASE,
)
_OF_BOARDS: Final = re.compile(
    r"\b(?:(?:pin|gpio)\W?\d|temperature|humidity|\d+(?:\.\d+)? ?(?:°|degrees|mV|lux)"
    r"|is (?:now )?(?:on|off|high|low)\b)"
    r"|\b(?:blink\w*|parpadea\w*|clignote\w*|leuchtet|läuft|runs|running|deploy\w*|scheduled|undone|undid|removed"
    r"|restarted|counted|verified|funciona|fonctionne|funktioniert|encendid[oa]|apagad[oa]|allumée?|éteinte?)\b"
    r"|闪烁|运行|打开|关闭|部署|灯亮",
    re.IGNORECASE,
)
_SMALL_TALK: Final = re.compile(
    r"\W*(?:(?:hi|hello|hey|thanks?|thank you|good (?:morning|evening|night)|bye"
    r"|hallo|danke|bonjour|merci|hola|gracias)"
    r"\b[\w ]{0,20})?\W*",
    re.IGNORECASE,
)
_QUESTION: Final = re.compile(
    r"\W*(?:what|who|whose|where|when|why|which|how|is|are|was|were|does|do|did|has|have|am)\b[^?]*\?\W*$",
    re.IGNORECASE,
)
_REQUEST: Final = re.compile(
    r"\b(?:can|could|would|will|why don't) (?:you|we|it)\b|\b(?:please|how about|do you mind|kannst|bitte)\b",
    re.IGNORECASE,
)
_NUMBERS: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_COUNTED: Final = re.compile(
    rf"\b(\d{{1,3}}|{'|'.join(_NUMBERS)}) (?:\w+ )?"
    r"(?:pins|gpios|leds|lights|lamps|relays|outputs)\b",
    re.IGNORECASE,
)
_CONDITION: Final = re.compile(
    r"\W*(?:once|if|when|until|after|before|as soon as|wenn|sobald|si|quand|cuando)\b", re.IGNORECASE
)
_SEVERAL: Final = re.compile(
    r"\b(?:pins|gpios?|pin) (\d+(?:(?:, (?:and )?| and | & | und | et | y )\d+)+)\b", re.IGNORECASE
)
_HIGH: Final = re.compile(r"\b(?:on|high)\b", re.IGNORECASE)
_LOW: Final = re.compile(r"\b(?:off|low)\b", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"\b(?:pin|gpio)\W{0,2}(\d{1,3})\b", re.IGNORECASE)


def _clauses(sentence: str) -> list[str]:
    return [c for c in re.split(r"[,;:—]|\b(?:and|but|so|und|aber|et|mais|y|pero)\b", sentence) if c.strip()]


def _is_proved(clause: str, done: Sequence[Action]) -> bool | None:
    """Whether a clause's claim is proved; None for one that claims nothing."""
    if _NO_CLAIM.search(clause) and not re.search(r"\bremind\b", clause, re.IGNORECASE):
        return None
    if _ANY_DONE.search(clause):
        return bool(done)
    claims = [claim for claim in _CLAIMS if claim.words.search(clause)]
    if not claims:
        return None
    names = {action.tool for action in done}
    if any(not (claim.tools & names) and names <= _OWN_TOOLS for claim in claims):
        return False
    if _counts_more(clause, done) or _was_removed(clause, done):
        return False
    return all(_speaks_of(pin, done) and not _contradicts(clause, pin, done) for pin in _NUMBERED.findall(clause))


def _counts_more(clause: str, done: Sequence[Action]) -> bool:
    """Whether it speaks of more pins than were set, where nothing but single pins was."""
    acts = [action for action in done if action.effect != "read"]
    counted = _COUNTED.search(clause)
    if counted is None or any(action.tool not in _PIN_TOOLS for action in acts):
        return False
    pins = {str(_fields(action.arguments).get("pin")) for action in done}
    number = counted[1].lower()
    return (int(number) if number.isdecimal() else _NUMBERS.index(number) + 2) > len(pins)


def _was_removed(clause: str, done: Sequence[Action]) -> bool:
    """Whether it says that a program runs which this turn took off last."""
    if not re.search(rf"{_RUNS}|\b(?:blinks?|blinking|works)\b", clause, re.IGNORECASE):
        return False
    last = {
        str(_fields(action.arguments).get("appName", "")).lower(): _taken_off(action)
        for action in done
        if action.tool in (_DEPLOY, _REMOVE, _SWITCH)
    }
    named = {name: is_off for name, is_off in last.items() if name and name in clause.lower()} or last
    return bool(named) and all(named.values())


def _taken_off(action: Action) -> bool:
    return action.tool == _REMOVE or (action.tool == _SWITCH and _fields(action.arguments).get("switch") == "stop")


def _each_pin(sentence: str) -> str:
    """ "pins 4, 5 and 6" -> "pin 4 pin 5 pin 6"."""
    return _SEVERAL.sub(lambda found: " ".join(f"pin {number}" for number in re.findall(r"\d+", found[1])), sentence)


def _contradicts(clause: str, number: str, done: Sequence[Action]) -> bool:
    """Whether the last level that was set on this pin is the other one than the words say."""
    levels = [
        fields.get("level")
        for one in done
        if one.tool == "gpio-set" and str((fields := _fields(one.arguments)).get("pin")) == number
    ]
    says_high, says_low = bool(_HIGH.search(clause)), bool(_LOW.search(clause))
    return bool(levels) and says_high != says_low and levels[-1] == (0 if says_high else 1)


_OWN_TOOLS: Final = frozenset().union(
    *(claim.tools for claim in _CLAIMS),
    (
        "list-devices",
        "device-info",
        "free-pins",
        "catalog",
        "try-program",
        "recall",
        "skill",
        "time",
        "list-files",
        "read-file",
        "web-search",
    ),
    ("web-fetch", "schedule-list", "subagent-start", "subagent-list", "subagent-cancel", "delete-file"),
)
"""Tools whose acts are known. Another one, of an MCP server, may have done what is claimed."""


def _speaks_of(number: str, done: Sequence[Action]) -> bool:
    """Whether a call that was done, or its evidence, names this pin."""
    whole = re.compile(rf"(?<!\d){number}(?!\d)")
    return any(
        whole.search(action.arguments)
        or any(whole.search(proof.text) or int(number) in _pins(proof) for proof in action.evidence)
        for action in done
    )


def _fields(arguments: str) -> dict[str, Any]:
    try:
        return read_object(arguments or "{}")
    except ValueError:
        return {}


def _pins(proof: Evidence) -> frozenset[int]:
    return frozenset(edge.pin for edge in proof.edges)
