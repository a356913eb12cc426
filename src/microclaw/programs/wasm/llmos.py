"""Programs as LLMos's documents write them: the macros that make them run by a layer, and what their author is told.

Their pins are one file /dev/gpio, their MQTT is wasm_mqtt_init(broker, name), and their example of a sensor calls a
read_temperature that it leaves to the reader. The layers are headers/glue/llmos*.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from microclaw.errors import Diagnostic
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.hardware.parts.reader import find_part
from microclaw.programs.wasm.diagnostics import at
from microclaw.programs.wasm.part_readings import parts_with_reading, reading_field
from microclaw.programs.wasm.source_text import SourceText

_FILE_CALLS: Final = ("open", "close", "ioctl")


def llmos_defines(text: SourceText, board: BoardProfile) -> tuple[str, ...]:
    """Return other names for the calls that a layer takes over, as NAME=value."""
    defines = []
    if text.has_llmos_pins:
        for name in _FILE_CALLS:
            defines.append(f"{name}=microclaw_llmos_{name}")
    if _has_mqtt(text):
        defines.append("wasm_mqtt_init=microclaw_llmos_mqtt_init")
    sensor = _thermometer(text, board)
    if sensor is not None and board.i2c is not None:
        name, address = sensor
        number = reading_field(find_part(name), "temperature")
        wanted = f"{board.i2c.sda},{board.i2c.scl},{address},microclaw_llmos_sensor,{number}"
        defines.append(f'MICROCLAW_LLMOS_SENSOR="{name}_read"')
        defines.append(f"read_temperature()=microclaw_llmos_temperature({wanted})")
    return tuple(defines)


def llmos_notes(text: SourceText, board: BoardProfile) -> Iterator[Diagnostic]:
    """Yield a warning for each layer."""
    if text.has_llmos_pins:
        message = "/dev/gpio with ioctl 0x1001 and 0x1002 is LLMos's way to pins: it runs by a layer on /dev/gpio/N"
        hint = "gpio_open(pin, GPIO_OUT) of microclaw.h needs no layer"
        yield at(text, text.find_string("/dev/gpio"), message, hint, severity="warning")
    if _has_mqtt(text):
        message = "wasm_mqtt_init(broker, name) is LLMos's way to MQTT: it runs by a layer on esp_mqtt_client_init"
        hint = "esp_mqtt_client_init of mqtt_client.h needs no layer, and tells events"
        yield at(text, text.find_name("wasm_mqtt_init"), message, hint, severity="warning")
    sensor = _thermometer(text, board)
    if sensor is not None:
        name, address = sensor
        message = f"read_temperature is not in the program: it reads the board's {name} at {address:#x}"
        hint = "write it yourself where another sensor is meant"
        yield at(text, text.find_name("read_temperature"), message, hint, severity="warning")


def _has_mqtt(text: SourceText) -> bool:
    """Return True if wasm_mqtt_init begins with a text; the firmware's own begins with the place for a handle."""
    if any(text.places("wasm_mqtt_init", "(", "const", "char")):
        return True
    tokens = text.tokens
    names = zip(tokens, tokens[2:], strict=False)
    return any(token.text == "wasm_mqtt_init" and argument.text[0] == '"' for token, argument in names)


def llmos_sensors(text: SourceText, board: BoardProfile) -> tuple[str, ...]:
    """Return the parts whose readings the program calls by a layer."""
    sensor = _thermometer(text, board)
    if sensor is None:
        return ()
    return (sensor[0],)


def _thermometer(text: SourceText, board: BoardProfile) -> tuple[str, int] | None:
    """Return the board's thermometer and its address if such a program calls read_temperature and does not have it."""
    if board.i2c is None or not _has_mqtt(text) or text.find_name("read_temperature") is None:
        return None
    # A type before it makes it the program's own.
    for before, token in pairwise(text.tokens):
        if token.text == "read_temperature" and before.kind == "name" and before.text != "return":
            return None
    readable = parts_with_reading()
    for name, address in board.i2c.sensors.items():
        if name in readable and "temperature" in readable[name].measures:
            return name, address
    return None
