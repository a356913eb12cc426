"""The last picture of each display in a trial, drawn for people and models. Judges nothing."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from microclaw.events import ScreenPicture
from microclaw.hardware.screens.braille import NO_DOTS, braille_lines, screen_lines
from microclaw.hardware.screens.picture import draw_png
from microclaw.hardware.screens.screen import Screen, ShownScreen
from microclaw.hardware.screens.text_reading import ScreenReader
from microclaw.text import count_text

MAX_DISPLAYS: Final = 4
"""The displays whose picture is drawn; a PNG has at most picture.MAX_PNG_BYTES."""
MAX_TEXT_CHARS: Final = 400
"""Of what a display shows, for a model."""
# Methods that only change a picture in memory, and those that send it, of MicroPython's and Arduino's libraries. The
# screens of the module microclaw send each change.
_DRAWING: Final = r"text|pixel|[hv]?line|fill_rect|ellipse|blit|print|println|draw\w+|fill[A-Z]\w+"
_DRAWS: Final = re.compile(rf"(?<!Serial)(?<!Serial\d)\.(?:{_DRAWING})\s*\(")
_SENDING: Final = r"show|display|sendBuffer|firstPage|nextPage|update\w*|refresh"
_SENDS: Final = re.compile(rf"\.(?:{_SENDING})\s*\(|\bmicroclaw\b")


def draw_pictures(screens: Sequence[ShownScreen], reader: ScreenReader) -> tuple[ScreenPicture, ...]:
    """Return the last picture of each display that the program drew on, of at most MAX_DISPLAYS displays."""
    counts = count_pictures(screens)
    pictures = []
    for part, last in _last_screens(screens).items():
        screen = last.screen
        picture = ScreenPicture(
            part=part,
            t_ms=round(last.t_ms, 3),
            count=counts[part],
            kind=screen.kind,
            width=screen.width,
            height=screen.height,
            lines=screen_lines(screen),
            text=_text_of(screen, reader),
            png=draw_png(screen),
        )
        pictures.append(picture)
        if len(pictures) == MAX_DISPLAYS:
            break
    return tuple(pictures)


def count_pictures(screens: Sequence[ShownScreen]) -> Counter[str]:
    """Return the number of pictures of each part, without what it showed at the program's start."""
    return Counter(shown.part for shown in screens if shown.t_ms > 0)


def picture_texts(screens: Sequence[ShownScreen]) -> list[str]:
    """Return "oled1: 12 pictures" for each display that the program drew on."""
    texts = []
    for part, count in count_pictures(screens).items():
        texts.append(f"{part}: {count_text(count, 'picture')}")
    return texts


def unsent_drawing(screens: Sequence[ShownScreen], source: str) -> Iterator[str]:
    """Yield a warning for each display that stays blank while the source draws and never sends what it drew."""
    if _DRAWS.search(source) is None or _SENDS.search(source) is not None:
        return
    send = "show()"
    if "Adafruit_" in source:
        send = "display()"
    elif "U8G2" in source:
        send = "sendBuffer()"
    lit_parts = {shown.part for shown in screens if not shown.screen.is_blank}
    for shown in _last_screens(screens).values():
        if shown.screen.kind == "pixels" and shown.part not in lit_parts:
            yield f"{shown.part} stays blank: the program draws, and never calls {send}, which sends the picture"


def _text_of(screen: Screen, reader: ScreenReader) -> str:
    """Return what is read of a screen, at most MAX_TEXT_CHARS; of a picture without a text, its lit part as braille.

    A larger drawing is left out: in braille it costs a model many tokens.
    """
    reading = reader.read(screen)
    if reading is not None and reading.text:
        return reading.text[:MAX_TEXT_CHARS]
    if screen.kind not in ("pixels", "colors"):
        return ""
    drawing = _lit_part(braille_lines(screen))
    if len(drawing) > MAX_TEXT_CHARS:
        return ""
    return drawing


def _lit_part(lines: Sequence[str]) -> str:
    """Return lines of braille without the dark lines and columns around what is lit."""
    texts = []
    for line in lines:
        texts.append(line.replace(NO_DOTS, " ").rstrip())
    lit_texts = list(filter(None, texts))
    margin = min((len(text) - len(text.lstrip()) for text in lit_texts), default=0)
    cropped = []
    for text in texts:
        cropped.append(text[margin:])
    return "\n".join(cropped).strip("\n")


def _last_screens(screens: Sequence[ShownScreen]) -> dict[str, ShownScreen]:
    """Return the last picture of each part that shows one after the program's start."""
    last_screens: dict[str, ShownScreen] = {}
    for shown in screens:
        if shown.t_ms > 0:
            last_screens[shown.part] = shown
    return last_screens
