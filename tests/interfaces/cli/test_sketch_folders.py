"""Folders of the Arduino IDE, PlatformIO and Wokwi run as they are (tests/vectors/sketch_folders); bad ones do not."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from tests.interfaces.cli.conftest import Run

from microclaw.errors import BuildError, ConfigError
from microclaw.hardware.boards import load_board
from microclaw.interfaces.cli.main_file import program_file
from microclaw.interfaces.cli.program_files import (
    find_expect_file,
    name_of_program,
    program_paths,
    program_values,
)
from microclaw.interfaces.cli.project_notes import is_title_of, project_notes

FOLDERS = Path(__file__).parents[2] / "vectors" / "sketch_folders"
HALF_PERIOD_MS = 250
SKETCHBOOK = "sketchbook/night_light"
SHAPES = [*(folder.name for folder in sorted(FOLDERS.iterdir()) if folder.name != "sketchbook"), SKETCHBOOK]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_folder_runs_as_it_is(run: Run, shape: str) -> None:
    tried = run("--json", "run", FOLDERS / shape, "--try", "--for", "3s")
    assert tried.code == 0, tried.err
    times_ms = [at_ms for at_ms, pin, _ in tried.json["edges"] if pin == 4]
    assert len(times_ms) >= 10
    for before, after in pairwise(times_ms[1:]):
        assert after - before == pytest.approx(HALF_PERIOD_MS, abs=10)


def test_a_folder_gives_the_program_its_name(tmp_path: Path) -> None:
    for folder, file, name in (("lamp", "main.py", "lamp"), ("lamp.v2", "lamp.v2.ino", "lamp-v2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text("void setup() {}\nvoid loop() {}\n")
        assert program_file(tmp_path / folder) == tmp_path / folder / file
        assert name_of_program(tmp_path / folder) == name
        assert name_of_program(tmp_path / folder / file) == name
        assert name_of_program(tmp_path / folder / "kitchen.ino") == "kitchen"


def test_a_main_file_has_the_name_of_its_folder_if_it_is_the_program_of_that(tmp_path: Path) -> None:
    folder = tmp_path / "lamp"
    (folder / "src").mkdir(parents=True)
    (folder / "platformio.ini").write_text("[env:esp32]\n")
    (folder / "src" / "main.cpp").write_text("void setup() {}\nvoid loop() {}\n")
    assert name_of_program(folder / "src" / "main.cpp") == "lamp"
    (folder / "src" / "sketch.ino").write_text("void setup() {}\nvoid loop() {}\n")
    assert name_of_program(folder / "src" / "main.cpp") == "main"
    (tmp_path / "blink.c").write_text("int main(void) {}\n")
    assert name_of_program(tmp_path / "blink.c") == "blink"


def test_a_folder_of_several_programs_asks_which(tmp_path: Path) -> None:
    sketch = "void setup() {}\nvoid loop() {}\n"
    (tmp_path / "one.ino").write_text(sketch)
    (tmp_path / "two.ino").write_text(sketch)
    (tmp_path / "help.cpp").write_text("int help() { return 1; }\n")
    with pytest.raises(ConfigError, match=r"several programs: one.ino, two.ino"):
        program_file(tmp_path)
    # Each of them is a program without the other.
    assert program_paths(tmp_path / "one.ino") == [tmp_path / "one.ino"]
    (tmp_path / "two.ino").unlink()
    assert program_file(tmp_path) == tmp_path / "one.ino"
    assert program_paths(tmp_path / "one.ino") == [tmp_path / "one.ino", tmp_path / "help.cpp"]
    (tmp_path / "one.ino").unlink()
    (tmp_path / "help.cpp").unlink()
    with pytest.raises(ConfigError, match="no program"):
        program_file(tmp_path)


@pytest.mark.parametrize(
    ("files", "main"),
    [
        (("src/main.py", "src/lamp.py"), "src/main.py"),
        (("shared.py", "src/main.py"), "src/main.py"),
        (("pkg.py", "util.py"), "pkg.py"),
        (("__init__.py", "lamp.py"), "lamp.py"),
        (("pkg.cpp", "main.cpp"), "main.cpp"),
    ],
)
def test_names_of_files_say_which_is_the_program(tmp_path: Path, files: tuple[str, ...], main: str) -> None:
    for file in files:
        path = tmp_path / "pkg" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n")
    assert program_file(tmp_path / "pkg") == tmp_path / "pkg" / main


def test_the_environments_of_a_project_have_programs_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "platformio.ini").write_text("[env:a]\nbuild_src_filter = +<a.cpp>\n")
    for name in ("a.cpp", "b.cpp"):
        (tmp_path / "src" / name).write_text("void setup() {}\nvoid loop() {}\n")
    (tmp_path / "src" / "help.cpp").write_text("int help() { return 1; }\n")
    (tmp_path / "src" / "._help.cpp").write_bytes(b"\0\5")
    assert program_paths(tmp_path / "src" / "a.cpp") == [tmp_path / "src" / "a.cpp", tmp_path / "src" / "help.cpp"]


def test_errors_name_the_file_of_a_program_that_has_its_folders_name(run: Run, tmp_path: Path) -> None:
    for name, text in (("main.py", "print(zz)\n"), ("main.c", "int main(void) { return zz; }\n")):
        folder = tmp_path / name.replace(".", "_")
        folder.mkdir()
        (folder / name).write_text(text)
        assert f"{name}:1:" in run("run", folder, "--try").err


def test_a_library_that_is_not_included_and_its_examples_stay_out() -> None:
    names = [path.relative_to(FOLDERS).as_posix() for path in program_paths(FOLDERS / "library" / "library.ino")]
    assert names == [
        "library/library.ino",
        "library/libraries/Flasher/src/Flasher.cpp",
        "library/libraries/Flasher/src/Flasher.h",
    ]


def test_links_that_lead_out_of_a_library_or_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "work" / "lamp"
    shutil.copytree(FOLDERS / "library", folder)
    (folder / "library.ino").rename(folder / "lamp.ino")
    header = folder / "libraries" / "Flasher" / "src" / "Flasher.h"
    header.rename(tmp_path / "Flasher.h")
    header.symlink_to(tmp_path / "Flasher.h")
    (tmp_path / "secret.cpp").write_text("int secret;\n")
    (folder / "secret.cpp").symlink_to(tmp_path / "secret.cpp")
    (folder / "src").symlink_to(tmp_path)
    assert program_paths(folder / "lamp.ino") == [folder / "lamp.ino"]


@pytest.mark.parametrize("place", ["many", "many/src"])
def test_a_thousand_files_are_refused_and_not_all_read(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    sketch = tmp_path / "many" / "many.ino"
    sketch.write_text("void setup() {}\nvoid loop() {}\n")
    for number in range(1000):
        (folder / f"f{number}.cpp").write_text("int x;\n")
    with pytest.raises(BuildError, match="at most 32"):
        program_values(sketch)


def test_a_file_of_a_sketch_that_is_too_large_or_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    sketch = tmp_path / "lamp.ino"
    sketch.write_text('#include "table.h"\nvoid setup() {}\nvoid loop() {}\n')
    for content in (b" " * (10 << 20), b"\xff\xfe\x00"):
        (tmp_path / "table.h").write_bytes(content)
        with pytest.raises(ConfigError, match=r"table\.h"):
            program_values(sketch)


@pytest.mark.parametrize(
    ("title", "header", "is_of"),
    [
        ("Adafruit SSD1306", "Adafruit_SSD1306.h", True),
        ("Adafruit GFX Library", "Adafruit_GFX.h", True),
        ("Adafruit Unified Sensor", "Adafruit_Sensor.h", True),
        ("Adafruit ST7735 and ST7789 Library", "Adafruit_ST7789.h", True),
        ("LiquidCrystal I2C", "LiquidCrystal_I2C.h", True),
        ("U8g2", "U8g2lib.h", True),
        ("U8g2lib.h", "U8g2lib.h", True),
        ("HX711 Arduino Library", "HX711.h", True),
        ("Adafruit PWM Servo Driver Library", "Servo.h", False),
        ("CheapStepper", "Stepper.h", False),
        ("LiquidCrystal I2C", "LiquidCrystal.h", False),
    ],
)
def test_a_librarys_title_is_that_of_its_header(title: str, header: str, is_of: bool) -> None:
    assert is_title_of(title, header) is is_of


def test_the_lists_of_a_project_say_what_is_missing_and_for_which_board_it_is(tmp_path: Path) -> None:
    sketch = tmp_path / "sketch.ino"
    sketch.write_text("void setup() {}\nvoid loop() {}\n")
    text = "# a list\nAdafruit SSD1306@2.5.7\n\nKeypad\nFastLED@wokwi:0123\n"
    (tmp_path / "libraries.txt").write_text(text)
    board = load_board("esp32-devkitc-v4")
    assert project_notes(sketch, board) == ["Adafruit SSD1306: built in; Keypad: built in; FastLED: missing"]
    project = tmp_path / "project"
    shutil.copytree(FOLDERS / "platformio", project)
    ini = project / "platformio.ini"
    ini.write_text(
        "[env]\nlib_deps =\n  adafruit/Adafruit GFX Library @ ^1.11 ; a remark\n  someone/Lamp\n"
        "  https://example.org/a/Keypad.git#1.0\n[env:a]\nboard = esp32-s3-devkitc-1\nbuild_flags = -D LED=4\n"
    )
    main = project / "src" / "main.cpp"
    libraries, flags_note, board_note = project_notes(main, board)
    assert "build_flags are not read" in flags_note
    assert libraries == "Adafruit GFX Library: built in; Lamp: in the project; Keypad: built in"
    assert "ESP32-S3" in board_note
    assert project_notes(main, load_board("esp32-s3-devkitc-1-v1.1")) == [libraries, flags_note]
    two_boards = "[env:a]\nboard = esp32-s3-devkitc-1\n[env:b]\nboard = esp32dev\n"
    for wrong in ("no sections\n", "[env:a]\nboard = uno\n", two_boards):
        ini.write_text(wrong)
        assert project_notes(main, board) == []


def test_a_file_that_a_program_opens_and_that_is_not_sent_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("settings.json", "other.json", "pins.h", "data/index.html"):
        (tmp_path / name).write_text("\n")
    main = tmp_path / "main.py"
    main.write_text("open('settings.json'); open(\"/www/index.html\")\n")
    assert project_notes(main, None) == [
        "not sent: settings.json, data/index.html (only the program's sources go to the board)"
    ]
    sketch = tmp_path / "lamp.ino"
    sketch.write_text('#include "pins.h"\n')
    assert project_notes(sketch, None) == []


def test_a_title_of_a_list_is_short_whatever_its_line_is(tmp_path: Path) -> None:
    sketch = tmp_path / "sketch.ino"
    (tmp_path / "libraries.txt").write_text(f"Lamp{' ' * 60_000}s\n{'x' * 5_000}\n")
    (note,) = project_notes(sketch, None)
    assert len(note) < 300


EMBEDS = 'extern const char text[] asm("_binary_hello_txt_start");\n'


@pytest.mark.parametrize(
    ("main", "declares", "embedded"),
    [
        ("lamp.ino", "lamp.ino", "hello.txt"),
        ("lamp.ino", "words.h", "hello.txt"),
        ("src/main.cpp", "src/main.cpp", "src/hello.txt"),
        ("src/main.cpp", "src/words.h", "hello.txt"),
    ],
)
def test_a_text_is_embedded_by_each_file_of_a_program(tmp_path: Path, main: str, declares: str, embedded: str) -> None:
    (tmp_path / "src").mkdir()
    if main.startswith("src"):
        (tmp_path / "platformio.ini").write_text("[env:a]\n")
    (tmp_path / main).write_text('#include "words.h"\nvoid setup() {}\nvoid loop() {}\n')
    with (tmp_path / declares).open("a") as file:
        file.write(EMBEDS)
    (tmp_path / embedded).write_text("hello")
    assert tmp_path / embedded in program_paths(tmp_path / main)
    assert '"hello"' in program_values(tmp_path / main)["source"]


def test_a_method_and_a_comment_begin_no_program(tmp_path: Path) -> None:
    (tmp_path / "lamp.ino").write_text("void setup() {}\nvoid loop() {}\n")
    (tmp_path / "level.cpp").write_text("class Part {\n    void setup() {}\n};\n")
    (tmp_path / "old level.ino").write_text("/* was:\nvoid setup() {}\n*/\nint level() { return 3; }\n")
    assert program_file(tmp_path) == tmp_path / "lamp.ino"
    assert len(program_paths(tmp_path / "lamp.ino")) == 3
    assert "int level()" in program_values(tmp_path / "lamp.ino")["source"]


def test_an_example_of_a_library_is_built_with_it(tmp_path: Path) -> None:
    library = tmp_path / "Blinker"
    example = library / "examples" / "Blink" / "Blink.ino"
    example.parent.mkdir(parents=True)
    (library / "src").mkdir()
    (library / "library.properties").write_text("name=Blinker\n")
    (library / "src" / "Blinker.h").write_text("int blinks();\n")
    (library / "src" / "Blinker.cpp").write_text("int blinks() { return 3; }\n")
    example.write_text("#include <Blinker.h>\nvoid setup() {}\nvoid loop() {}\n")
    assert program_paths(example) == [example, library / "src" / "Blinker.cpp", library / "src" / "Blinker.h"]


def test_an_included_name_that_no_disk_takes_is_no_file(tmp_path: Path) -> None:
    sketch = tmp_path / "lamp.ino"
    sketch.write_text(f'#include "{"a" * 300}.h"\nvoid setup() {{}}\nvoid loop() {{}}\n')
    assert program_paths(sketch) == [sketch]


def test_expectations_of_a_project_lie_beside_its_diagram(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "main.expect").write_text("pin 2: high\n")
    assert find_expect_file(tmp_path / "src" / "main.cpp") == tmp_path / "main.expect"
    (tmp_path / "src" / "main.expect").write_text("pin 2: low\n")
    assert find_expect_file(tmp_path / "src" / "main.cpp") == tmp_path / "src" / "main.expect"
