"""Sentences about what is no pin: tasks, people, tokens, and orders that this version does by a command, or in steps.

They are answered with the command or the sentences that do it. A number behind such a word ("task 12") is never a pin.
It acts on nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from microclaw.offline.decision import Say

_ENDS: Final = (
    r"cancel|stop|end|kill|abort|quit|disable|delete|remove|revoke|forget|drop|clear|decline|reject|deny|dismiss|"
    r"get rid of|(?:turn|switch|take) off"
)
_BEGINS: Final = r"start|run|resume|continue|enable|(?:turn|switch) on|restart|repeat|begin"
_ALLOWS: Final = r"approve|accept|allow|confirm|grant"
_PAUSES: Final = r"pause|hold|suspend|freeze"
_REVERTS: Final = r"undo|revert|take back|roll back"
_WAYS: Final[Mapping[str, str]] = {
    "end": _ENDS,
    "begin": _BEGINS,
    "allow": _ALLOWS,
    "pause": _PAUSES,
    "revert": _REVERTS,
}
# A thing with numbers or names of its own: the command for each way, "" for any other.
_COMMANDS: Final[Mapping[str, Mapping[str, str]]] = {
    "task": {"end": "task list --cancel {n}", "begin": "task run FILE", "": "task list {n}"},
    "schedule": {
        "end": "schedule rm {n}",
        "begin": "schedule resume {n}",
        "pause": "schedule pause {n}",
        "": "schedule list {n}",
    },
    "person": {"end": "person rm NAME", "": "person list"},
    "user": {"end": "person rm NAME", "": "person list"},
    "member": {"end": "person rm NAME", "": "person list"},
    "guest": {"end": "person rm NAME", "": "person list"},
    "token": {"end": "person tokens --rm NAME", "": "person tokens"},
    "secret": {"end": "task secrets --rm NAME", "": "task secrets"},
    "approval": {"end": "approval decide {n} no", "allow": "approval decide {n} yes", "": "approval list"},
    "rollout": {
        "end": "firmware rollouts {n} --do stop",
        "begin": "firmware rollouts {n} --do resume",
        "pause": "firmware rollouts {n} --do pause",
        "revert": "firmware rollouts {n} --do undo",
        "": "firmware rollouts {n}",
    },
    "session": {"end": "memory sessions --rm NAME", "": "memory sessions"},
    "change": {"revert": "app undo {n}", "end": "app undo {n}", "": "app changes"},
    "backup": {"": "backup --help"},
    "subagent": {"": "task subagents"},
    "alarm": {"": "doctor"},
    "crash": {"": "logs --crashes"},
}
_NUMBERED: Final = re.compile(
    rf"(?i)\b(?P<thing>{'|'.join(_COMMANDS)})s? (?:(?:number|no\.?|nr\.?|id) )?#?(?P<n>\d+)\b(?![.:]\d)"
    r"(?! ?(?:ms|s|secs?|mins?|h|hours?|minutes?|seconds?|times?|x|percent|degrees?|volts?)\b| ?[%°])"
)
_NO_ORDER: Final = re.compile(r"(?i)\s*(?:please )?(?:remind|remember|note|tell|notify|alert|wake|warn|say)\b")
_RAN: Final = re.compile(
    r"(?i)\s*(?:what|which|how many|list|show)\b.*\btasks? (?:that )?(?:ran|run|have|has|were|was|did|failed|ended)\b.*"
)
_CAN: Final = r"\s*(?:(?:please|can you|could you|would you|hey|ok) )*"
_CLOCK: Final = r"\d{1,2}(?:[:.]\d\d)? ?(?:am|pm|a\.m\.?|p\.m\.?|o'clock)?"
_SWITCH: Final = r"(?:blink|flash|fade|toggle|turn on|switch on)"

_LANGUAGES: Final = {
    "python": "python",
    "javascript": "javascript",
    "js": "javascript",
    "shell": "shell",
    "bash": "shell",
}

Step: TypeAlias = Callable[[re.Match[str]], str]
# Sentences that nothing else understood: why they are not done like that, and what does it.
_INSTEAD: Final[tuple[tuple[re.Pattern[str], str, Step], ...]] = (
    (
        re.compile(
            rf"(?is){_CAN}(?:run|execute|eval)(?: (?:this|the following|my|some|a))?(?: piece of)? "
            r"(?P<language>python|javascript|js|shell|bash)\b.*"
        ),
        "Code is run in the sandbox by a command, from a file",
        lambda said: f"microclaw task run FILE --language {_LANGUAGES[said['language'].lower()]}",
    ),
    (
        re.compile(rf"(?i){_CAN}make (?P<name>[\w.-]+) an? (?P<role>owner|member|guest|read-only)(?: person)?"),
        "Who may do what is kept by a command",
        lambda said: f"microclaw person role {said['name']} {said['role'].lower()}",
    ),
    (
        re.compile(
            r"(?i)\s*(?:who (?:may|can|is allowed to)\b.*|who has access.*|(?:list|show) (?:the )?(?:people|users))"
        ),
        "Who may do what is kept by a command",
        lambda _: "microclaw person list",
    ),
    (
        re.compile(
            rf"(?i){_CAN}(?:tell|notify|alert|warn|message|text) (?:me|us) "
            r"(?:when|if|once|as soon as|whenever) (?P<what>.{3,80})"
        ),
        "Without a model I send no message when something is reached; a board can switch a pin then",
        lambda said: f"as in: turn on pin 4 when {said['what']}",
    ),
    (
        re.compile(rf"(?i){_CAN}(?:undo|revert|take back) (?:the |my )?(?:last|latest|newest) (?:\w+ )?changes"),
        "One request is taken back at a time",
        lambda _: "undo; or choose one of: microclaw app changes",
    ),
    (
        re.compile(
            rf"(?i){_CAN}(?:turn|switch) (?:on )?(?P<pin>pin \d+|the led)(?: on)? at (?P<on>{_CLOCK}) and "
            rf"(?:turn it |switch it )?off at (?P<off>{_CLOCK})"
        ),
        "Each time needs a sentence of its own",
        lambda said: f"at {said['on']} turn on {said['pin']}; then: at {said['off']} turn off {said['pin']}",
    ),
    (
        re.compile(rf"(?i){_CAN}(?P<every>(?:every|each) [\w ]+?),? (?P<what>(?:turn|switch) on .+ for .+)"),
        "A program is repeated in two steps",
        lambda said: f"{said['what']}; then, with the name that is answered: run pulse {said['every']}",
    ),
    (
        re.compile(
            rf"(?i){_CAN}(?:play|sing|make|sound) (?:me )?(?:some |an? |the |my )?(?:melod|music|song|tune|jingle)\w*.*"
        ),
        "Without a model I play one tone at a time",
        lambda _: "as in: play a 440 Hz tone on pin 5 for 2 seconds",
    ),
    (
        re.compile(rf"(?i){_CAN}(?P<what>{_SWITCH} .+?) (?:until|till) (?P<at>{_CLOCK})"),
        "A program does not end at a time of day by itself",
        lambda said: f"{said['what']}; then: at {said['at'].strip()} stop it",
    ),
)


def of_a_thing(text: str) -> Say | None:
    """The command for a sentence about a thing with a number ("task 12"), which is no pin; None for any other."""
    if _RAN.fullmatch(text):
        return _by_command("A task is code in the sandbox, and no program of a board", "microclaw task list")
    found = _NUMBERED.search(text)
    if found is None or _NO_ORDER.match(text):
        return None
    thing, number, before = found["thing"].lower(), found["n"], text[: found.start()]
    way = next((way for way, verbs in _WAYS.items() if re.search(rf"(?i)\b(?:{verbs})\b", before)), "")
    if thing == "change" and not before.strip():
        return None  # "change 5 to high"
    if thing == "alarm":
        verb = "turn off" if way == "end" else "turn on"
        return Say(
            f"What alarm {number} is I do not know, so I did nothing.", "ambiguous", f"of a pin: {verb} pin {number}"
        )
    commands = _COMMANDS[thing]
    step = commands.get(way, commands[""]).format(n=number)
    return _by_command(f"{thing.capitalize()} {number} is no pin and no program", f"microclaw {step}")


def instead(text: str) -> Say | None:
    """What does an order that is not understood as it was said; None where nothing is known."""
    said = text.strip().rstrip(".!?")
    for pattern, why, step in _INSTEAD:
        if (found := pattern.fullmatch(said)) is not None:
            return _by_command(why, step(found))
    return None


def _by_command(why: str, step: str) -> Say:
    return Say(f"{why}, so I did nothing.", "ambiguous", step)
