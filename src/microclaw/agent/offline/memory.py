"""Sentences about memory (remember, recall, forget), and the names that remembered facts give to pins.

They are parsed first, before a device's name or a "not" inside the fact could be misread. "The fan is on pin 11" names
a pin: later sentences are read with the pin in place of the name. This module calls no tool.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from microclaw.agent.language.pin_names import parse_pin_name
from microclaw.agent.models.protocol import DeviceContext, KnownDevice
from microclaw.agent.offline.decision import Act, Context, Decider, Decision, Parse, Say, capitalize, plain_line
from microclaw.agent.offline.recorded_parts import with_part_names
from microclaw.agent.offline.sentences import english
from microclaw.hardware.parts.named_parts import NamedPin

_SHOWN: Final = 30

_PLEASE: Final = r"(?:please |can you |could you |hey |ok |okay )*"
_REMEMBER: Final = re.compile(
    rf"(?is){_PLEASE}(?:remember|keep in mind|(?:make|take) a note"
    r"|note(?: down)?(?!(?! that\b|:).*\b(?:every|whenever|each time)\b)|(?:don't|do not|dont|never) forget)"
    r"(?>(?: for me)?(?: that)?:? )(?!(?:me )?to )(.+)",
)
_RECALL: Final = re.compile(
    rf"(?is){_PLEASE}(?:(?:tell me |show me |show )?what(?:'s| is|s)?(?: all)? (?:(?:do |did |can )?you (?:still )?"
    r"(?:remember|know)|(?:in )?(?:your|the|my) memory|(?:is )?remembered)|do you (?:still )?(?:remember|know)"
    r"|(?:show|list|tell)(?: me)?(?: all)? (?:your|my|the) (?:memory|memories|notes)|recall)"
    r"(?: (?:about|of|on|from|what|that|where)?(.*))?",
)
_FORGET: Final = re.compile(
    rf"(?is){_PLEASE}forget(?: about)?(?: that)?(?: (?:(?:the|a|an|my|our|about|what i said about) )?([^,]+))?"
)
_NO: Final = re.compile(r"(?i)^\s*(?:no|sorry|i meant?)\b[\s,]*")
_ABLE: Final = re.compile(r"how\b|the (?:time|date|day|weather)\b")
_ALL: Final = frozenset({"everything", "all", "anything", "all of it", "all of that", "me", "us"})
_NOTHING: Final = frozenset({"", "it", "that", "this", "that again", "them", "about it"})
# With these words the name stays beside the pin, because a template needs to know that it is an input.
_APPENDED: Final = re.compile(r"\b(?:button|switch|key|sensor)$")
_WITH: Final = re.compile(r"\b(?:with|using|by|via|through|and) (?:the |my |our )?$")
_KIND: Final = r"(?: (?:contact|switch|sensor|button|lamp|light|relay))?"
_HAS_PIN: Final = rf"(?!{_KIND} (?:(?:is|are) )?(?:on|at) (?:the )?(?:gpio |io )?(?:pin )?#?\d| (?:pin|gpio) ?\d)"


def parse_memory(sentence: str) -> Parse | None:
    """Parse a sentence about memory. Return None for any other one, as "remember to ..."."""
    text = " ".join(sentence.split()).replace("’", "'").rstrip("?!").strip()
    remember = _REMEMBER.fullmatch(text)
    fact = ""
    if remember is not None:
        fact = remember[1].strip(" .:,")
    if fact and fact.lower() in _NOTHING:
        return Parse("remember", {"reason": "no_fact"})
    if fact:
        return Parse("remember", {"text": fact})
    statement = _NO.sub("", sentence).strip().rstrip(".!")
    if parse_pin_name(statement) is not None:
        return Parse("remember", {"text": statement})
    text = text.rstrip(". ")
    recall = _RECALL.fullmatch(text)
    if recall is not None:
        return _parse_recall(recall[1])
    forget = _FORGET.fullmatch(text)
    if forget is not None:
        return _parse_forget(forget[1])
    return None


def _parse_recall(topic: str | None) -> Parse | None:
    """Parse "what do you remember about ...". Return None for "do you know how ...", which is not about memory."""
    topic = (topic or "").strip().lower()
    if _ABLE.match(topic):
        return None
    if topic in _ALL | {""}:
        return Parse("recall")
    return Parse("recall", {"about": topic})


def _parse_forget(fact: str | None) -> Parse:
    fact = (fact or "").strip()
    if fact.lower() in _ALL:
        return Parse("forget", {"reason": "forget_all"})
    if fact.lower() in _NOTHING:
        return Parse("forget", {"reason": "forget_nothing"})
    return Parse("forget", {"text": fact})


def _remember(context: Context) -> Decision:
    if not context.results:
        return Act("remember", {"text": context.parse.word("text")})
    fields = context.results[-1].fields
    line = plain_line(fields.get("line"))
    if not fields.get("new", True):
        return Say(f"I knew that already: {line}.")
    text = f"Remembered: {line} ({fields.get('file')})."
    if fields.get("not_wired"):
        return Say(f"{text} It is not recorded as wired: {plain_line(fields['not_wired'])}.")
    changes = [str(change) for change in fields.get("wired", ())]
    # A new part says nothing that the sentence did not.
    if any(not change.endswith(", was none") for change in changes):
        return Say(f"{text} {plain_line(capitalize('; '.join(changes)))}.")
    return Say(text)


def _recall(context: Context) -> Decision:
    topic = context.parse.word("about")
    arguments = {"text": topic} if topic else {}
    if not context.results:
        return Act("recall", arguments)
    passages: Sequence[Mapping[str, Any]] = context.results[-1].fields.get("found", ())
    lines = []
    for passage in passages:
        # A message that asked about memory, or asked to remember something, is not a fact.
        if passage.get("kind") != "said" or parse_memory(str(passage.get("text"))) is None:
            lines.append(f"  {plain_line(passage.get('text'))} ({passage.get('source')})")
    if not lines:
        text = f"I remember nothing about {topic}." if topic else "I remember nothing."
        return Say(text, next_step="as in: remember that the relay is on pin 4")
    title = f"What I know about {topic}:" if topic else "What I remember:"
    return Say("\n".join([title, *lines[:_SHOWN]]))


def _forget(context: Context) -> Decision:
    fact = context.parse.word("text")
    if not context.results:
        return Act("forget", {"text": fact})
    fields = context.results[-1].fields
    removed = fields.get("removed") or ()
    if not removed:
        return Say(f"No remembered fact says {fact!r}.", "unknown_name", "see all of it: what do you remember")
    lines = "; ".join(plain_line(row.get("line")) for row in removed)
    message_count = fields.get("still_in_conversations")
    if not message_count:
        return Say(f"Forgotten: {lines}.")
    text = f"Forgotten: {lines}. It is still said in {message_count} messages of your conversations."
    return Say(text, next_step="remove a conversation: microclaw memory sessions --rm NAME")


MEMORY: Final[Mapping[str, Decider]] = {"remember": _remember, "recall": _recall, "forget": _forget}


def names_to_pins(
    text: str, device_context: DeviceContext, named_device: KnownDevice | None
) -> tuple[str, KnownDevice | None]:
    """Replace the names in a sentence by their pins. Return it with the device that they are on, if a name has one.

    `named_device`: the device that the sentence names, or None. A sentence that no template fits then is read with the
    names of recorded parts as their kinds and pins.
    """
    pinned = _write_pins(text, device_context, named_device)
    if english().parse(pinned[0]) is not None:
        return pinned
    renamed = with_part_names(text, named_device or device_context.meant)
    if renamed != text:
        renamed_pinned = _write_pins(renamed, device_context, named_device)
        if english().parse(renamed_pinned[0]) is not None:
            return renamed_pinned
    return pinned


def _write_pins(
    text: str, device_context: DeviceContext, named_device: KnownDevice | None
) -> tuple[str, KnownDevice | None]:
    """Return the sentence with pins in the place of their names, and the device that they are on."""
    device = named_device or device_context.meant
    for pin in _pins_of(device_context, device):
        if named_device is not None and pin.device not in (None, named_device.name.lower()):
            # The sentence names a board, so a name of another board is not meant.
            continue
        pin_device = device
        if pin.device is not None:
            pin_device = _find_board(device_context, pin.device)
        # "Stop the fan" means the program of that name, if the device has one.
        if pin_device is None or any(app.name.lower() == pin.name for app in pin_device.apps):
            continue
        pattern = re.compile(rf"(?i)(?<![\w-])((?:the|my|our) )?{re.escape(pin.name)}(?![\w-]){_HAS_PIN}")
        pinned = pattern.sub(lambda match, pin=pin: _write_pin(match, pin), text)  # type: ignore[misc]
        if pinned != text:
            text = pinned
            device = pin_device
            if pin.device:
                named_device = pin_device
    return text, named_device


def _pins_of(device_context: DeviceContext, device: KnownDevice | None) -> list[NamedPin]:
    """Return one pin for each name, long names first, so that "pump" is not found in "fish pump".

    If a name has several pins, a pin of this device is chosen, else a pin of no device in particular, else one of
    another device; among equals the newest.
    """
    device_name = device.name.lower() if device else ""
    rank = {device_name: 2, None: 1}
    pins = {pin.name: pin for pin in sorted(device_context.names, key=lambda pin: rank.get(pin.device, 0))}
    return sorted(pins.values(), key=lambda pin: -len(pin.name))


def _find_board(device_context: DeviceContext, name: str) -> KnownDevice | None:
    for board in device_context.devices:
        if board.name.lower() == name:
            return board
    return None


def _write_pin(match: re.Match[str], pin: NamedPin) -> str:
    """Return the words that take the place of the name in the sentence."""
    before = match.string[: match.start()]
    is_listed = before.rstrip().lower().endswith("and")
    is_appended = _APPENDED.search(pin.name) or (_WITH.search(before) and not is_listed)
    if is_appended:
        return f"{match[0]} on pin {pin.pin}"
    return f"pin {pin.pin}"
