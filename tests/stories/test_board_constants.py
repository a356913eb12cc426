"""Stories: a sketch gets the pin constants of its board as Arduino's package for it has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.stories.conftest import microclaw

SKETCH = "void setup() { Serial.begin(9600); %s }\nvoid loop() { delay(1000); }\n"
PRINTS = "for (int pin : {%s}) Serial.println(pin);"


def tried(folder: Path, source: str, *words: str, file: str = "pins.ino") -> object:
    (folder / file).write_text(source)
    done = microclaw(folder / "home", "--json", "run", "--try", str(folder / file), "--for", "1s", *words)
    assert done.code == 0, done.out + done.err
    return done.json["log"]


@pytest.mark.parametrize(
    ("board", "names", "numbers"),
    [
        (
            "virtual",
            "A0, A7, LED_BUILTIN, SDA, SCL, TX, RX, SS, MOSI, MISO, SCK, T1",
            (1, 8, 2, 8, 9, 43, 44, 10, 11, 13, 12, 1),
        ),
        (
            "esp32-devkitc-v4",
            "A0, A3, A19, SDA, SCL, TX, RX, SS, T0, T9, DAC1, DAC2",
            (36, 39, 26, 21, 22, 1, 3, 5, 4, 32, 25, 26),
        ),
        ("esp32-c6-devkitc-1", "A6, SDA, SCL, TX, RX, MISO", (6, 23, 22, 16, 17, 20)),
    ],
)
def test_constants_are_the_boards(tmp_path: Path, board: str, names: str, numbers: tuple[int, ...]) -> None:
    log = tried(tmp_path, SKETCH % (PRINTS % ", ".join(f"(int){name}" for name in names.split(", "))), "--board", board)
    assert log == [str(number) for number in numbers]


def test_c_has_them_with_arduinos_header(tmp_path: Path) -> None:
    source = "#include <Arduino.h>\nstatic const int pins[] = {A0, SDA};\n"
    source += 'int main(void) { printf("%d\\n", pins[1]); return 0; }\n'
    assert tried(tmp_path, source, file="pins.c") == ["8"]


@pytest.mark.parametrize(
    ("own", "number"),
    [
        ("const int SDA = 21;", 21),
        ("#define SDA 21", 21),
        ("enum Wires { TX, SDA };", 1),
    ],
)
def test_a_programs_own_name_wins(tmp_path: Path, own: str, number: int) -> None:
    assert tried(tmp_path, f"{own}\n{SKETCH % 'Serial.println(SDA);'}") == [str(number)]


@pytest.mark.parametrize(("board", "number"), [("virtual", "2"), ("esp32-devkitc-v4", "13")])
def test_a_led_of_ones_own_is_for_boards_without_one(tmp_path: Path, board: str, number: str) -> None:
    guarded = "#ifndef LED_BUILTIN\n#define LED_BUILTIN 13\n#endif\n"
    assert tried(tmp_path, guarded + SKETCH % "Serial.println(LED_BUILTIN);", "--board", board) == [number]


def test_a_constant_that_the_board_lacks_is_refused_at_its_line(tmp_path: Path) -> None:
    file = tmp_path / "pins.ino"
    file.write_text(SKETCH % "pinMode(LED_BUILTIN, OUTPUT);")
    done = microclaw(tmp_path / "home", "--json", "app", "build", str(file), "--board", "esp32-devkitc-v4")
    assert done.code == 1
    assert [found["line"] for found in done.json["error"]["diagnostics"]] == [1]
