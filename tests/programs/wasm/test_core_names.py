"""Every public name of the ESP32 core (core_names.toml) is in our headers, or is refused with its row's reason.

A name that is here is declared in a sketch without an error. A name that is not is used as a value and as a type, and
the compiler's finding on it has the reason and the way out of refusals.toml: none is left to the compiler's own words.
"""

from __future__ import annotations

import re
import runpy
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from microclaw.programs.wasm.core_names import CoreGroup, core_groups
from microclaw.programs.wasm.diagnostics import read_compiler_output
from microclaw.programs.wasm.refusals import refusal_of, refused_name
from microclaw.programs.wasm.source_scanner import header_names
from microclaw.programs.wasm.source_text import read_source
from microclaw.programs.wasm.toolchain import HEADERS, find_toolchain
from microclaw.tables import read_table

ROOT: Final = Path(__file__).parents[3]
# Headers of the classes that Arduino.h does not bring.
INCLUDES: Final = "".join(
    f"#include <{header}>\n"
    for header in (
        "EEPROM.h",
        "FunctionalInterrupt.h",
        "HTTPClient.h",
        "LittleFS.h",
        "Preferences.h",
        "SPI.h",
        "SPIFFS.h",
        "StreamString.h",
        "Ticker.h",
        "WebServer.h",
        "WiFi.h",
        "WiFiClientSecure.h",
        "WiFiMulti.h",
        "Wire.h",
        "uri/UriBraces.h",
    )
)
SKETCH: Final = INCLUDES + "void setup() {}\nvoid loop() {}\n"
MARK: Final = re.compile(r'MICROCLAW_REFUSED_\([^"\n]*, "([^"]+)"\)')
NOT_DECLARED: Final = re.compile(r"no member named '(\w+)'")


def plain_groups() -> Iterator[CoreGroup]:
    for group in core_groups():
        if not group.member_of:
            yield group


def compiled(text: str, folder: Path) -> list[str]:
    """Return the lines that the compiler prints about a sketch."""
    source = read_source(text, "names", "sketch")
    (folder / source.file).write_text(source.text, encoding="utf-8")
    command = find_toolchain().compile_command(source.file, "O0", (), standard_headers=source.standard_headers)
    command += ["-fsyntax-only", "-ferror-limit=0"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return [line for line in result.stderr.splitlines() if line.startswith(source.file)]


def test_the_page_has_the_list_of_today() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "core_page.py"))
    assert script["page"]() == (ROOT / "docs/reference/arduino-core.md").read_text(encoding="utf-8")


def test_no_name_stands_twice() -> None:
    seen: set[tuple[str, str]] = set()
    for group in core_groups():
        names = [*group.done]
        for refused in group.refused.values():
            names += refused
        for name in names:
            assert (group.member_of, name) not in seen, name
            seen.add((group.member_of, name))


def test_each_reason_has_its_entry_and_each_entry_with_an_id_is_used() -> None:
    used = {reason_id for group in core_groups() for reason_id in group.refused}
    marks = set()
    for path in HEADERS.rglob("*.h"):
        marks.update(MARK.findall(path.read_text(encoding="utf-8")))
    entries = {row["id"] for row in read_table("microclaw.programs.wasm", "refusals")["refusal"] if "id" in row}
    assert used | marks == entries


def test_each_header_is_here_or_refused() -> None:
    for group in plain_groups():
        for name in group.done:
            assert not name.endswith(".h") or name in header_names(), name
        for reason_id, names in group.refused.items():
            for name in names:
                assert not name.endswith(".h") or refused_name(name, headers=True) == refusal_of(reason_id), name


def test_each_name_that_is_done_is_declared(tmp_path: Path) -> None:
    parts = [SKETCH]
    for group in plain_groups():
        for name in group.done:
            if not name.endswith(".h"):
                parts.append(f"#ifndef {name}\nnamespace check_{len(parts)} {{ using ::{name}; }}\n#endif\n")
    assert len(parts) > 300
    assert compiled("".join(parts), tmp_path) == []


def test_each_member_that_is_done_is_declared(tmp_path: Path) -> None:
    lines = [SKETCH]
    for group in core_groups():
        for name in group.done:
            if group.member_of:
                lines.append(f"void check_{len(lines)}({group.member_of} &it) {{ (void)it.{name}; }}\n")
    assert len(lines) > 150
    assert [line for line in compiled("".join(lines), tmp_path) if NOT_DECLARED.search(line)] == []


def refused_uses() -> Iterator[tuple[str, str, str]]:
    """Yield each name that is refused with the id of its reason and a line that uses it."""
    for group in core_groups():
        for reason_id, names in group.refused.items():
            for name in names:
                if group.member_of:
                    yield name, reason_id, f"void use_{name}({group.member_of} &it) {{ (void)it.{name}; }}"
                elif not name.endswith(".h"):
                    yield name, reason_id, f"void use_{name}() {{ (void)({name}); }}"
                    yield name, reason_id, f"{name} *made_{name} = nullptr;"


def test_each_refused_name_has_its_reason(tmp_path: Path) -> None:
    uses = list(refused_uses())
    assert len(uses) > 700
    begin = SKETCH.count("\n") + 1
    source = read_source(SKETCH, "names", "sketch")
    reasons: dict[int, set[tuple[str | None, str | None]]] = {}
    for line in compiled(SKETCH + "\n".join(text for _, _, text in uses) + "\n", tmp_path):
        # Each for itself: together, names with the same reason become one finding.
        for found in read_compiler_output(line, source).diagnostics:
            reasons.setdefault(found.line or 0, set()).add((found.hint, found.explanation))
    for line_number, (name, reason_id, text) in enumerate(uses, begin):
        advice = refusal_of(reason_id)
        assert reasons.get(line_number) == {(advice.hint, advice.explanation)}, (name, text)


OTHER_FORMS: Final = {
    "HardwareSerial gps(2);": "second serial port",
    "class Mine : public Server {};": "other networks",
    "EventGroupHandle_t first, second;": "other objects of FreeRTOS",
    "void work(void *given, TimerHandle_t timer) {}": "details of tasks",
    "hw_timer_t *timer = timerBegin(0, 80, false);": "counting down",
    'EEPROMClass names("names");': "second EEPROM",
    "auto *card = &SD;": "file systems",
    "esp_sleep_wakeup_cause_t why = esp_sleep_get_wakeup_cause();": "sleep",
}


@pytest.mark.parametrize("line", OTHER_FORMS)
def test_a_refused_name_in_a_declaration_has_its_reason(tmp_path: Path, line: str) -> None:
    advice = refusal_of(OTHER_FORMS[line])
    source = read_source(f"{SKETCH}{line}\n", "names", "sketch")
    found = read_compiler_output("\n".join(compiled(f"{SKETCH}{line}\n", tmp_path)), source).diagnostics
    assert [finding.hint for finding in found] == [advice.hint]
    assert str(advice.explanation) in f"{found[0].message} {found[0].explanation}"


# The types of the core's functions, as its headers have them (cores/esp32: Arduino.h, esp32-hal.h, esp32-hal-gpio.h).
CORE_TYPES: Final = {
    "millis micros": "unsigned long (*)()",
    "delay delayMicroseconds": "void (*)(uint32_t)",
    "pinMode digitalWrite": "void (*)(uint8_t, uint8_t)",
    "digitalRead": "int (*)(uint8_t)",
    "analogWrite": "void (*)(uint8_t, int)",
    "pulseIn pulseInLong": "unsigned long (*)(uint8_t, uint8_t, unsigned long)",
    "shiftIn": "uint8_t (*)(uint8_t, uint8_t, uint8_t)",
    "shiftOut": "void (*)(uint8_t, uint8_t, uint8_t, uint8_t)",
    "tone": "void (*)(uint8_t, unsigned int, unsigned long)",
    "noTone detachInterrupt enableInterrupt disableInterrupt": "void (*)(uint8_t)",
    "attachInterrupt": "void (*)(uint8_t, void (*)(), int)",
    "attachInterruptArg": "void (*)(uint8_t, void (*)(void *), void *, int)",
    "map": "long (*)(long, long, long, long, long)",
    "random": "long (*)(long, long)",
    "randomSeed": "void (*)(unsigned long)",
    "yield setup loop": "void (*)()",
    "getLocalTime": "bool (*)(struct tm *, uint32_t)",
}


def test_each_function_of_the_core_has_its_type(tmp_path: Path) -> None:
    lines = [SKETCH]
    for names, pointer in CORE_TYPES.items():
        for name in names.split():
            lines.append(f"{pointer.replace('(*)', f'(*use_{name})', 1)} = {name};\n")
            lines.append(f"{pointer.replace('(*)', f'(&same_{name})', 1)} = {name};\n")
    assert [line for line in compiled("".join(lines), tmp_path) if " error: " in line] == []
