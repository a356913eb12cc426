"""Sentences about memory: remember a fact, recall, forget; and the names of pins in what is remembered.

They are parsed first, before a device's name or a "not" inside the fact could be misread. "The fan is on pin 11" names
a pin: sentences then have the pin in the name's place. It calls no tool itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from microclaw.language.quantities import normalize_quantities
from microclaw.models.protocol import DeviceContext, KnownDevice, NamedPin
from microclaw.offline.decision import Act, Context, Decider, Decision, Parse, Say, plain_line

_SHOWN: Final = 30

_PLEASE: Final = r"(?:please |can you |could you |hey |ok |okay )*"
_KEEP: Final = re.compile(
    rf"(?is){_PLEASE}(?:remember|keep in mind|(?:make|take) a note|note(?: down)?|(?:don't|do not|dont|never) forget)"
    r"(?>(?: for me)?(?: that)?:? )(?!(?:me )?to )(.+)",
)
_TELL: Final = re.compile(
    rf"(?is){_PLEASE}(?:(?:tell me |show me |show )?what(?:'s| is|s)?(?: all)? (?:(?:do |did |can )?you (?:still )?"
    r"(?:remember|know)|(?:in )?(?:your|the|my) memory|(?:is )?remembered)|do you (?:still )?(?:remember|know)"
    r"|(?:show|list|tell)(?: me)?(?: all)? (?:your|my|the) (?:memory|memories|notes)|recall)"
    r"(?: (?:about|of|on|from|what|that|where)?(.*))?",
)
_LOSE: Final = re.compile(
    rf"(?is){_PLEASE}forget(?: about)?(?: that)?(?: (?:(?:the|a|an|my|our|about|what i said about) )?([^,]+))?"
)
_NO: Final = re.compile(r"(?i)^\s*(?:no|sorry|i meant?)\b[\s,]*")
_ABLE: Final = re.compile(r"how\b|the (?:time|date|day|weather)\b")
_ALL: Final = frozenset({"everything", "all", "anything", "all of it", "all of that", "me", "us"})
_NOTHING: Final = frozenset({"", "it", "that", "this", "that again", "them", "about it"})
_WORDS: Final = r"(?P<name>[a-z][a-z0-9'-]*(?: [a-z0-9'-]+){0,3}?)"
_WORD: Final = r"(?P<word>[a-z][a-z0-9'-]*)"  # without an article: "stop whatever is on pin 5" names nothing
_PIN: Final = r"pin (?P<pin>\d{1,3})(?: (?:of|on) (?:the )?(?:device |board )?(?P<device>[\w-]+))?"
_TOLD: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:(?:the|my|our|a|an) {_WORDS}|{_WORD}) (?:is|are|sits|hangs) (?:now )?"
        rf"(?:(?:connected|attached|wired|hooked up|plugged) )?(?:on|at|to|in|into) (?:the )?{_PIN}",
        rf"{_PIN} is (?:the|my|our) {_WORDS}",
        rf"call {_PIN} (?:the |my |our )?{_WORDS}",
    )
)
_BOARD: Final = re.compile(r" \(on (?P<device>[\w-]+)\)$")
"""The board that knowledge/tools.py adds to a fact about a pin."""
_NO_NAME: Final = frozenset(
    re.findall(
        r"\w+",
        "it that this these those there he she they what which where who how when whenever if nothing something "
        "everything anything whatever whoever one pin pins free is are not and or but no i you we on off turn switch",
    )
)
_APPENDED: Final = re.compile(r"\b(?:button|switch|key|sensor)$")  # what they are matters beside their pin
_WITH: Final = re.compile(r"\b(?:with|using|by|via|through|and) (?:the |my |our )?$")
_HAS_PIN: Final = r"(?! (?:(?:is|are) )?(?:on|at) (?:the )?(?:gpio |io )?(?:pin )?#?\d| (?:pin|gpio) ?\d)"


def parse_memory(said: str) -> Parse | None:
    """Parse a sentence about memory. Return None for any other one, as "remember to ..."."""
    text = " ".join(said.split()).replace("’", "'").rstrip("?!").strip()
    keep = _KEEP.fullmatch(text)
    fact = keep[1].strip(" .:,") if keep is not None else ""
    if fact:
        return Parse("remember", {"reason": "no_fact"} if fact.lower() in _NOTHING else {"text": fact})
    statement = _NO.sub("", said).strip().rstrip(".!")
    if parse_pin_name(statement) is not None:
        return Parse("remember", {"text": statement})
    text = text.rstrip(". ")
    tell = _TELL.fullmatch(text)
    if tell is not None:
        about = (tell[1] or "").strip().lower()
        if _ABLE.match(about):
            return None
        return Parse("recall", {} if about in _ALL | {""} else {"about": about})
    lose = _LOSE.fullmatch(text)
    if lose is None:
        return None
    words = (lose[1] or "").strip()
    if words.lower() in _ALL | _NOTHING:
        return Parse("forget", {"reason": "forget_all" if words.lower() in _ALL else "forget_nothing"})
    return Parse("forget", {"text": words})


def _remember(context: Context) -> Decision:
    if not context.results:
        return Act("remember", {"text": context.parse.word("text")})
    kept = context.results[-1].fields
    line = plain_line(context.results[-1].fields.get("line"))
    is_new = kept.get("new", True)
    return Say(f"Remembered: {line} ({kept.get('file')})." if is_new else f"I knew that already: {line}.")


def _recall(context: Context) -> Decision:
    about = context.parse.word("about")
    if not context.results:
        return Act("recall", {"text": about} if about else {})
    found: Sequence[Mapping[str, Any]] = context.results[-1].fields.get("found", ())
    hits = [one for one in found if one.get("kind") != "said" or parse_memory(str(one.get("text"))) is None]
    if not hits:
        step = "as in: remember that the relay is on pin 4"
        return Say(f"I remember nothing{f' about {about}' if about else ''}.", next_step=step)
    lines = [f"  {plain_line(one.get('text'))} ({one.get('source')})" for one in hits[:_SHOWN]]
    return Say("\n".join((f"What I know about {about}:" if about else "What I remember:", *lines)))


def _forget(context: Context) -> Decision:
    words = context.parse.word("text")
    if not context.results:
        return Act("forget", {"text": words})
    found = context.results[-1].fields
    removed = found.get("removed") or ()
    if not removed:
        return Say(f"Nothing that is remembered says {words!r}.", "unknown_name", "see all of it: what do you remember")
    gone = "; ".join(plain_line(one.get("line")) for one in removed)
    spoken = found.get("still_in_conversations")
    if spoken:
        still = f" It is still said in {spoken} messages of your conversations."
    else:
        still = ""
    step = "remove a conversation: microclaw memory sessions --rm NAME" if spoken else None
    return Say(f"Forgotten: {gone}.{still}", next_step=step)


MEMORY: Final[Mapping[str, Decider]] = {"remember": _remember, "recall": _recall, "forget": _forget}


def parse_pin_name(said: str) -> NamedPin | None:
    """Return the name and pin that a sentence states, or None for a question and every other sentence."""
    if said.rstrip().endswith("?"):
        return None
    board = _BOARD.search(said)
    text = normalize_quantities(_BOARD.sub("", said).lstrip("- "))
    matches = [pattern.fullmatch(text) for pattern in _TOLD]
    match = next((match for match in matches if match is not None), None)
    if match is None:
        return None
    name = match.groupdict().get("name") or match["word"]
    if not _NO_NAME.isdisjoint(name.split()):
        return None
    device = match["device"]
    if board is not None:
        device = board["device"].lower()
    return NamedPin(name, int(match["pin"]), device)


def named_pins(lines: Iterable[str], device: str | None = None) -> tuple[NamedPin, ...]:
    """Return the names in remembered lines, the newest last. `device`: the device that the lines are about."""
    names = [parse_pin_name(line) for line in lines]
    return tuple(NamedPin(name.name, name.pin, name.device or device) for name in names if name is not None)


def names_to_pins(text: str, known: DeviceContext, named: KnownDevice | None) -> tuple[str, KnownDevice | None]:
    """Replace the names in a sentence by their pins. Return it with the device that they are on, if a name has one."""
    device = named or known.meant
    # Of one name what was told last; rather of this device, and rather of none than of another.
    if device is not None:
        here = device.name.lower()
    else:
        here = ""
    rank = {here: 2, None: 1}
    meant = {one.name: one for one in sorted(known.names, key=lambda one: rank.get(one.device, 0))}
    for one in sorted(meant.values(), key=lambda one: -len(one.name)):
        if named is not None and one.device not in (None, named.name.lower()):
            # The sentence names a board, so a name of another board is not meant.
            continue
        there = device
        if one.device is not None:
            there = next((board for board in known.devices if board.name.lower() == one.device), None)
        if there is None or any(app.name.lower() == one.name for app in there.apps):
            continue
        pattern = re.compile(rf"(?i)(?<![\w-])((?:the|my|our) )?{re.escape(one.name)}(?![\w-]){_HAS_PIN}")
        pinned = pattern.sub(lambda match, one=one: _pinned(match, one), text)  # type: ignore[misc]
        if pinned != text:
            text = pinned
            named = there if one.device else named
            device = there
    return text, named


def _pinned(match: re.Match[str], one: NamedPin) -> str:
    before = match.string[: match.start()]
    keeps = _APPENDED.search(one.name) or (_WITH.search(before) and not before.rstrip().lower().endswith("and"))
    if keeps:
        return f"{match[0]} on pin {one.pin}"
    return f"pin {one.pin}"
