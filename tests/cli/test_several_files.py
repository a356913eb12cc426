"""A program whose file includes others beside it: tried, run and watched as a whole, each finding at its own place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from microclaw.cli.main import app
from microclaw.cli.program_files import files_beside

MAIN = '#include <microclaw.h>\n#include "lib/led.h"\n\nvoid on_init(void) {\n    led_begin(2);\n}\n'
LED_H = "#pragma once\nvoid led_begin(int pin);\n"
LED_C = """#include <microclaw.h>
#include "led.h"
static int led, history[4], n;
static void flip(void) {
    gpio_toggle(led);
    history[n++] = 1;
}
void led_begin(int pin) {
    led = gpio_open(pin, GPIO_OUT);
    every(500, flip);
}
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "prog" / "lib").mkdir(parents=True)
    folder = tmp_path / "prog"
    (folder / "lib" / "led.h").write_text(LED_H)
    (folder / "lib" / "led.c").write_text(LED_C)
    (folder / "lib" / "other.c").write_text("this is not C")  # nothing includes its header
    (folder / "main.c").write_text(MAIN)
    return folder / "main.c"


def test_a_trial_names_file_and_line_of_a_fault(program: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["--home", str(tmp_path / "home"), "--json", "run", "--try", str(program), "--for", "4s"]
    )
    assert done.exit_code == 1
    trial = json.loads(done.stdout)
    assert "line 6 of lib/led.c" in trial["error"]
    assert "line 6, column 5 of lib/led.c" in trial["next"]


def test_a_build_names_file_and_line_of_an_error(program: Path, tmp_path: Path) -> None:
    (program.parent / "lib" / "led.c").write_text(LED_C.replace("gpio_toggle", "gpio_togle"))
    done = CliRunner().invoke(app, ["--home", str(tmp_path / "home"), "app", "build", str(program)])
    assert done.exit_code != 0
    assert "lib/led.c:5:5: error" in str(done.exception or done.output)


def test_only_files_in_the_programs_folder_come_along(program: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.h").write_text("int secret;\n")
    (program.parent / "link.h").symlink_to(tmp_path / "outside.h")
    text = f'#include "../outside.h"\n#include "link.h"\n#include "{tmp_path}/outside.h"\n{MAIN}'
    assert sorted(files_beside(program, text)) == ["lib/led.c", "lib/led.h"]


def test_a_sketchs_folder_is_the_sketch(tmp_path: Path) -> None:
    folder = tmp_path / "lamp"
    folder.mkdir()
    (folder / "lamp.ino").write_text("void setup() { begin_lamp(); }\nvoid loop() { step(); }\n")
    (folder / "steps.ino").write_text("void step() { digitalWrite(LED, !digitalRead(LED)); delay(250); }\n")
    (folder / "begin.cpp").write_text('#include "begin.h"\nvoid begin_lamp() { pinMode(LED, OUTPUT); }\n')
    (folder / "begin.h").write_text("#pragma once\n#include <Arduino.h>\n#define LED 4\nvoid begin_lamp();\n")
    (folder / "empty.h").write_text("")
    (folder / "lamp.ino").write_text('#include "begin.h"\n#include "empty.h"\n' + (folder / "lamp.ino").read_text())
    arguments = ["--home", str(tmp_path / "home"), "--json", "run", "--try", str(folder / "lamp.ino"), "--for", "2s"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output or done.exception
    assert len(json.loads(done.stdout)["edges"]) >= 7
