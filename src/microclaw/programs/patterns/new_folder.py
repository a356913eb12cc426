"""The folder of a new program: a main file that blinks an LED, its wiring, its expectations and a README.

It writes no file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec.structs import replace

from microclaw.errors import ConfigError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import Active
from microclaw.hardware.parts.wiring import WiredPart, Wiring, make_part
from microclaw.hardware.parts.wiring_file import WIRING_FILE, wiring_text
from microclaw.programs.patterns.expected import Value
from microclaw.programs.patterns.library import Pattern, fill_pattern, load_pattern, read_shipped

NewLanguage: TypeAlias = Literal["c", "arduino", "py"]
_MAIN_FILES: Final[Mapping[NewLanguage, str]] = {"c": "main.c", "arduino": "{name}.ino", "py": "main.py"}
_SKETCH: Final = "blink.ino"


def folder_files(name: str, language: NewLanguage, board: BoardProfile) -> dict[str, str]:
    """Return the texts of a new program's files by their names. Raises ConfigError for a board without a free pin.

    The LED is the board's own if a level switches that one, else one that is to be wired to the first free pin.
    """
    led = _led(board)
    pin = led.pins["pin"]
    pattern = _blink(language, {"PIN": pin, "ON": led.active_level})
    main = _MAIN_FILES[language].format(name=name)
    expect = f"{main.rpartition('.')[0]}.expect"
    return {
        main: pattern.source,
        expect: pattern.expect,
        WIRING_FILE: wiring_text(Wiring((led,))),
        "README.md": _readme(name, main, expect, board, pin),
    }


def _led(board: BoardProfile) -> WiredPart:
    active: Active = "high"
    if board.led is not None and board.led.kind == "simple":
        pin = board.led.pin
        if board.led.active_level == 0:
            active = "low"
    else:
        pins = board.usable_pins("output")
        if not pins:
            raise ConfigError(f"{board.title} has no free pin for an LED", next_step="choose another --board")
        pin = pins[0]
    return make_part("led1", "led", pins={"pin": pin}, active=active)


def _blink(language: NewLanguage, values: Mapping[str, Value]) -> Pattern:
    """Return the program that blinks. The sketch has the same parameters and expectations as the C program."""
    if language == "py":
        return fill_pattern(load_pattern("blink", blocking=True, kind="py"), values)
    pattern = load_pattern("blink", blocking=True, kind="wasm")
    if language == "arduino":
        pattern = replace(pattern, source=read_shipped(_SKETCH).decode(), file=_SKETCH)
    return fill_pattern(pattern, values)


def _readme(name: str, main: str, expect: str, board: BoardProfile, pin: int) -> str:
    return f"""# {name}

Blinks an LED on pin {pin} of {board.title}.

| file | what it is |
| --- | --- |
| {main} | the program |
| {WIRING_FILE} | the parts that are wired to the board |
| {expect} | what the program must do: a trial and the board are compared with it |

```
microclaw run . --try --board {board.board_id}
microclaw run .
```

The first command needs no board. Further files, such as libraries, lie beside {main}.
"""
