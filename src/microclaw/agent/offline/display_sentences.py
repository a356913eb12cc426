"""Sentences about a display: "show hello on the display", "count the button presses on the lcd". It decides nothing.

The end (or the beginning) names the display; the rest is read by the templates of displays.toml, or is a text to show.
"""

from __future__ import annotations

import re
from typing import Final

from microclaw.agent.language.pin_names import spoken_names
from microclaw.agent.models.protocol import KnownDevice
from microclaw.agent.offline.decision import Parse
from microclaw.agent.offline.order_words import meaning_of
from microclaw.agent.offline.recorded_parts import with_part_names
from microclaw.agent.offline.sentences import english
from microclaw.hardware.parts.wiring import WiredPart

_PLEASE: Final = r"(?:(?:please|pls|can you|could you|would you|hey|ok|okay|now|and) )*"
_WORDS: Final = (
    r"(?:(?:small|little|oled|lcd|tft|led|color|colour|matrix|led matrix|dot matrix|seven segment|7 segment|"
    r"7-segment|seven-segment|four digit|4 digit|segment|character) )?(?:display|screen)"
    r"|oled|lcd|tft|led matrix|dot matrix"
)
_ENDING: Final = r"(?P<pace>(?: (?:every|each|once) [\w. ]+)?)[.!]*"
_FORMS: Final = (
    r"(?is){please}(?P<what>.+?) (?:on|onto|across|to|at|over) (?:the |my |our |a )?(?P<display>{displays}){ending}",
    r"(?is){please}(?:on|across) (?:the |my |our )?(?P<display>{displays}),? (?P<what>.+?)[.!]*",
)
_WITHOUT_DISPLAY: Final = re.compile(rf"(?is){_PLEASE}display (?:the (?:text|word|words|message) )?(?P<text>.+?)[.!]*")
_CLEAR: Final = r"(?is){please}(?:clear|empty|blank|wipe) (?:the |my |our )?(?P<display>{displays})[.!]*"
_TEXT: Final = re.compile(
    r"(?is)(?P<verb>show|display|print|write|put|say|draw|scroll|run|move|slide)(?: me)? "
    r"(?:the (?:text|word|words|message) )?(?P<text>.+)"
)
_SCROLLING: Final = ("scroll", "run", "move", "slide")
_QUOTES: Final = re.compile(r"(?s)[\"“”„'‘’`](?P<text>.+)[\"“”„'‘’`]")
_FOR_TEXT: Final = ("show", "display", "print", "write", "put", "say", "scroll")
"""The verbs of a text without quotes; "run" and "draw" may ask for a program or a graph."""


def parse_display_sentence(text: str, device: KnownDevice | None) -> Parse | None:
    """Parse a sentence that names a display; None for any other one, and if it does not say what to show.

    The value `display` has the words for the display, `text` the text to show, `unclear` one that may be an order,
    `guess` a text to show that a language model, if there is one, has to read.
    """
    sentence = " ".join(text.split())
    displays = _display_pattern(device)
    clearing = re.fullmatch(_CLEAR.format(please=_PLEASE, displays=displays), sentence)
    if clearing is not None:
        return Parse("display_clear", {"display": clearing["display"].lower()})
    for form in _FORMS:
        match = re.fullmatch(form.format(please=_PLEASE, displays=displays, ending=_ENDING), sentence)
        if match is not None:
            return _parse_content(match, device)
    return _parse_without_display(sentence, device)


def displays_of(device: KnownDevice) -> list[WiredPart]:
    """Return the displays that are wired to a device."""
    return [part for part in device.wiring.parts if part.facts.kind == "display"]


def find_displays(device: KnownDevice, words: str) -> list[WiredPart]:
    """Return the wired displays that these words can mean: by name, else by the kind, else all."""
    displays = displays_of(device)
    for part in displays:
        if words in (*spoken_names(part), part.id, part.part):
            return [part]
    for word, kinds in english().display_kinds.items():
        if word in words:
            return [part for part in displays if part.part in kinds]
    return displays


def _display_pattern(device: KnownDevice | None) -> str:
    """Return the pattern of the words for a display: usual ones, kinds, and the names of the device's displays."""
    patterns = [_WORDS]
    if device is not None:
        for part in displays_of(device):
            patterns += [re.escape(name) for name in (*spoken_names(part), part.id, part.part)]
    return "|".join(patterns)


def _parse_without_display(sentence: str, device: KnownDevice | None) -> Parse | None:
    """Parse "display hello from ESP32", which names no display; None if it has a word of an order."""
    match = _WITHOUT_DISPLAY.fullmatch(sentence)
    if match is None:
        return None
    quoted = _QUOTES.fullmatch(match["text"])
    if quoted is not None:
        return Parse("display_text", {"display": "display", "text": quoted["text"]})
    meaning = meaning_of(match["text"], device)
    if meaning == "order":
        return None
    key = "text" if meaning == "text" else "unclear"
    return Parse("display_text", {"display": "display", key: match["text"]})


def _parse_content(match: re.Match[str], device: KnownDevice | None) -> Parse | None:
    """Parse what the display shall show: by a template, else as a text."""
    what = match["what"]
    display = match["display"].lower()
    pace = match.groupdict().get("pace") or ""
    parse = english().on_display(f"{what}{pace}")
    if parse is None:
        parse = english().on_display(with_part_names(f"{what}{pace}", device))
    if parse is not None:
        return Parse(parse.kind, parse.values | {"display": display})
    match_text = _TEXT.fullmatch(what)
    if match_text is None or pace:
        return None
    kind = "display_text"
    if match_text["verb"].lower() in _SCROLLING:
        kind = "display_scroll"
    quoted = _QUOTES.fullmatch(match_text["text"])
    if quoted is not None:
        return Parse(kind, {"display": display, "text": quoted["text"]})
    meaning = meaning_of(match_text["text"], device)
    if match_text["verb"].lower() not in _FOR_TEXT or meaning == "order":
        return Parse(kind, {"display": display, "unclear": match_text["text"]})
    values = {"display": display, "text": match_text["text"]}
    if meaning == "perhaps":
        values["guess"] = match_text["text"]
    return Parse(kind, values)
