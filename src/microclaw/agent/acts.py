"""What the host did in a turn: each act with its outcome and evidence; and what a model only claims. It does nothing.

The claims are found by words, in a few languages. What is not found is still shown up by the list of acts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from microclaw.auth.gate import Effect
from microclaw.events import Action, ActOutcome, Evidence
from microclaw.tools.tool import ToolResult

HEADING: Final = "What the host did:"
_UNPROVED: Final = "Unproved:"
LEFT_OUT: Final = "(This answer claimed an act that the host did not do. Its words are left out.)"
_UNKNOWN: Final = frozenset(
    {"outcome_unknown", "device_timeout", "device_silent", "device_lied", "protocol_error", "install_interrupted"}
)
_FAILED: Final = frozenset(
    {"tool_failed", "internal", "device_error", "device_unreachable", "store_error", "undo_incomplete", "interrupted"}
)
_LONG: Final = frozenset({"sourceCode", "expect", "content"})  # arguments that are shown elsewhere
_MAX_ARGUMENT_CHARS: Final = 40
_MAX_EVIDENCE: Final = 3
_MAX_CLAIM_CHARS: Final = 160
_MAX_CLAIMS: Final = 3


def outcome_of(effect: Effect, result: ToolResult) -> ActOutcome:
    """refused: nothing was done; failed: it was tried; unknown: nobody can tell what the device did."""
    if result.ok:
        return "done"
    if result.error_code in _UNKNOWN and effect is not Effect.READ:
        return "unknown"
    return "failed" if result.error_code in _FAILED or effect is Effect.READ else "refused"


def reason_of(result: ToolResult) -> str:
    """Why a call did not succeed, on one line; empty when it did."""
    if result.ok:
        return ""
    try:
        message = json.loads(result.content)["message"]
    except (ValueError, KeyError, TypeError):
        return result.error_code or ""
    return " ".join(str(message).split())[:300]


def acts_of(actions: Sequence[Action]) -> tuple[Action, ...]:
    """The actions that were to change something, without tries that a later one of the same kind made good."""
    acts = [action for action in actions if action.effect != Effect.READ.value]
    good = {_subject(action): index for index, action in enumerate(acts) if action.outcome == "done"}
    return tuple(
        action
        for index, action in enumerate(acts)
        if action.outcome in ("done", "unknown") or good.get(_subject(action), -1) < index
    )


def record_of(actions: Sequence[Action]) -> str:
    """The list of acts as lines below HEADING; empty without any."""
    lines = [_line(action) for action in acts_of(actions)]
    return "\n".join((HEADING, *(f"- {line}" for line in lines))) if lines else ""


def with_record(text: str, actions: Sequence[Action]) -> str:
    """The host's own words and its list of acts."""
    return "\n\n".join(part for part in (_without_records(text), record_of(actions)) if part)


def answer_text(text: str, actions: Sequence[Action], claims: Sequence[str] = ()) -> str:
    """A model's text, what of it is unproved, and the host's list of acts."""
    parts = [_without_records(text)]
    if claims:
        quoted = "; ".join(f"“{claim}”" for claim in claims)
        parts.append(f"{_UNPROVED} {quoted}. The host did nothing of the kind in this turn.")
    is_bare = (
        not actions and not claims and _OF_BOARDS.search(text) is not None and not text.rstrip().endswith(("?", "？"))
    )
    parts.append(f"{HEADING} nothing." if is_bare else record_of(actions))
    return "\n\n".join(part for part in parts if part)


def remembered(text: str, actions: Sequence[Action], claims: Sequence[str]) -> str:
    """What later turns read of an answer: outcomes instead of claims."""
    if not claims:
        return text
    record = record_of(actions)
    return f"{LEFT_OUT}\n\n{record}" if record else LEFT_OUT


def unproved_claims(text: str, actions: Sequence[Action]) -> tuple[str, ...]:
    """The sentences of a model that say that something was done which no call of this turn did."""
    done = [action for action in actions if action.outcome == "done"]
    names = {action.tool for action in done}
    found: list[str] = []
    for sentence in re.split(r"(?<=[.!?。！？])\s+|\n+", text):
        if not sentence.strip() or sentence.rstrip().endswith(("?", "？")) or _CONDITION.match(sentence):
            continue
        if any(_is_unproved(clause, names, done) for clause in _clauses(_each_pin(sentence))):
            found.append(" ".join(sentence.strip(" *_-#>").split())[:_MAX_CLAIM_CHARS].rstrip(".!。！"))
    return tuple(dict.fromkeys(found))[:_MAX_CLAIMS]


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
        "uninstall-wasm-app undo schedule-remove forget delete-file",
        _SAYS_DONE + r"(?:removed|deleted|cleared|uninstalled|undone|undid|reverted|rolled back|stopped)\b"
        r"|\b(?:deinstalliert|rückgängig gemacht)\b|(?:已|成功)(?:卸载|撤销|停止)",
    ),
    _claim("", _SAYS_DONE + r"(?:restarted|rebooted)\b"),
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
    r"\b(?:blink\w*|parpadea\w*|clignote\w*|leuchtet|läuft|runs|running|deploy\w*|scheduled|undone|undid|removed"
    r"|restarted|counted|verified|funciona|fonctionne|funktioniert|encendid[oa]|apagad[oa]|allumée?|éteinte?)\b"
    r"|闪烁|运行|打开|关闭|部署|灯亮",
    re.IGNORECASE,
)
"""Words of an answer without any call, after which the host says that it did nothing."""
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


def _is_unproved(clause: str, names: set[str], done: Sequence[Action]) -> bool:
    if _NO_CLAIM.search(clause) and not re.search(r"\bremind\b", clause, re.IGNORECASE):
        return False
    if _ANY_DONE.search(clause):
        return not done
    claims = [claim for claim in _CLAIMS if claim.words.search(clause)]
    if not claims:
        return False
    if any(not (claim.tools & names) and names <= _OWN_TOOLS for claim in claims):
        return True
    return any(not _speaks_of(pin, done) or _contradicts(clause, pin, done) for pin in _NUMBERED.findall(clause))


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


def _line(action: Action) -> str:
    shown = _arguments(action.arguments)
    what = f"{action.tool} {shown}" if shown else action.tool
    if pins := sorted(
        {pin for proof in action.evidence for pin in _pins(proof)} - {_fields(action.arguments).get("pin")}
    ):
        what += f" on pin {', '.join(map(str, pins))}"
    notes = [_proof(e.kind, e.text) for e in action.evidence[:_MAX_EVIDENCE]] or [action.reason]
    note = "; ".join(filter(None, notes))
    return f"{action.outcome}: {what} ({note})" if note else f"{action.outcome}: {what}"


def _pins(proof: Evidence) -> frozenset[int]:
    """The pins whose edges were counted."""
    return frozenset(edge.pin for edge in proof.edges)


def _proof(kind: str, text: str) -> str:
    return text if text.startswith(kind) else f"{kind}: {text}"


def _subject(action: Action) -> tuple[str, str]:
    """A tool, and the program or pin that the call was about."""
    fields = _fields(action.arguments)
    return action.tool, str(fields.get("appName", fields.get("pin", "")))


def _arguments(arguments: str) -> str:
    values = ((key, _short(value)) for key, value in _fields(arguments).items())
    return ", ".join(f"{key}={value}" for key, value in values if key not in _LONG)


def _short(value: Any) -> str:
    text = " ".join((value if isinstance(value, str) else json.dumps(value)).split())
    return text if len(text) <= _MAX_ARGUMENT_CHARS else f"{text[: _MAX_ARGUMENT_CHARS - 3]}..."


def _fields(arguments: str) -> dict[str, Any]:
    try:
        values = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return {key: value for key, value in values.items() if value is not None} if isinstance(values, dict) else {}


def _without_records(text: str) -> str:
    """A model's text in which no line can be taken for the host's own."""
    own = re.compile(rf"^([^\w\n]*)(?={re.escape(HEADING[:-1])}|{_UNPROVED[:-1]})", re.IGNORECASE | re.MULTILINE)
    return own.sub(r"\1(the model says) ", text.strip())
