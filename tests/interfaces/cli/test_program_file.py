"""The forms of a program's file, and a program of several files: each finding at its own place."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.interfaces.cli.conftest import Run

from microclaw.errors import BuildError, ConfigError
from microclaw.interfaces.cli.program_files import name_of_file, optimization_level, program_paths, program_values
from microclaw.interfaces.cli.sketch_files import MAX_FILE_BYTES, find_source_files
from microclaw.programs.building import check_app_name
from microclaw.programs.changes.results import Deployed
from microclaw.programs.source_marks import MAX_FILES
from microclaw.text import MAX_PROGRAM_CHARS
from microclaw.wire.host_api import EvidenceObject

MAIN = '#include <microclaw.h>\n#include "lib/led.h"\n\nvoid on_init(void) {\n    led_begin(2);\n}\n'
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


def test_what_is_no_program_is_refused_with_a_next_step(tmp_path: Path) -> None:
    for name, content in (
        ("empty.c", b""),
        ("empty.wasm", b""),
        ("text.wasm", b"not wasm"),
        ("large.c", b" " * (MAX_FILE_BYTES + 1)),
        ("long.c", b" " * (MAX_PROGRAM_CHARS + 1)),
        ("odd.c", b"\xff\xfe\x00"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            program_values(tmp_path / name)
        assert caught.value.next_step
    for path in ("/dev/zero", "no-such-file.c"):
        with pytest.raises(ConfigError):
            program_values(Path(path))


def test_an_apps_name_is_made_of_any_files_name() -> None:
    names = {
        "my.blink.v2.ino": "my-blink-v2",
        "größe.py": "grosse",
        "my lamp (2).ino": "my-lamp-2",
        "_a_b-c.c": "a_b-c",
        "__init__.py": "init",
    }
    assert {file: name_of_file(Path("x") / file) for file in names} == names
    foreign = {name_of_file(Path(file)) for file in ("温度.py", "湿度.py", "温度 2.py", "2.py", "((.c", "--.c")}
    assert len(foreign) == 6
    for name in foreign:
        check_app_name(name)


def test_what_a_compiler_does_not_read_is_made_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "x.c").write_bytes(b"\xef\xbb\xbfint x;")  # the mark before UTF-8
    assert program_values(tmp_path / "x.c")["source"] == "int x;"
    assert [optimization_level(text) for text in ("2", "O2", "s", "Oz")] == ["O2", "O2", "Os", "Oz"]


@pytest.mark.parametrize(("verified", "code"), [(True, 0), (False, 1)])
def test_a_board_that_contradicts_the_trial_ends_with_1(verified: bool, code: int) -> None:
    evidence = EvidenceObject("counted", "no edge on pin 2 in 3 s", ())
    made = Deployed(name="blink", device="desk", evidence=evidence, verified=verified, proof="accepted only")
    assert made.exit_code == code
    assert (len(list(made.lines())) == 1) is verified


def test_a_name_or_a_value_out_of_its_bounds_is_refused(run: Run, tmp_path: Path) -> None:
    for file, given in (
        ("blink.c", ["--name", "bad.name"]),
        ("blink.c", ["--name", ""]),
        ("blink.c", ["--name", "x" * 64]),
        ("blink.c", ["-O", "O9"]),
        ("blink.c", ["--heap", "99999999"]),
    ):
        (tmp_path / file).write_text("int main(void) { return 0; }")
        assert run("run", "--try", *given, tmp_path / file).code in (1, 2), (file, given)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A file that includes one beside it, of the folder `prog`."""
    lib = tmp_path / "prog" / "lib"
    lib.mkdir(parents=True)
    (lib / "led.h").write_text("#pragma once\nvoid led_begin(int pin);\n")
    (lib / "led.c").write_text(LED_C)
    (lib / "other.c").write_text("this is not C")  # nothing includes its header
    (lib.parent / "main.c").write_text(MAIN)
    return lib.parent / "main.c"


def test_a_finding_names_its_file_and_line(run: Run, program: Path) -> None:
    tried = run("--json", "run", "--try", program, "--for", "4s")
    assert tried.code == 1
    assert "line 6 of lib/led.c" in tried.json["error"]
    assert "line 6, column 5 of lib/led.c" in tried.json["next"]
    (program.parent / "lib" / "led.c").write_text(LED_C.replace("gpio_toggle", "gpio_togle"))
    built = run("app", "build", program)
    assert (built.code, "lib/led.c:5:5: error" in built.err) == (1, True)


def test_the_traceback_of_a_program_that_is_started_again_is_shown_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "crash.py"
    file.write_text("import time\nprint('hello')\ntime.sleep(1)\n1 // 0\n")
    tried = run("run", "--try", file)
    assert (tried.code, tried.out.count("hello"), tried.out.count("Traceback")) == (1, 3, 1)


def test_only_files_in_the_programs_folder_come_along(program: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.h").write_text("int secret;\n")
    (program.parent / "link.h").symlink_to(tmp_path / "outside.h")
    text = f'#include "../outside.h"\n#include "link.h"\n#include "{tmp_path}/outside.h"\n{MAIN}'
    assert sorted(find_source_files(program, text).texts) == ["lib/led.c", "lib/led.h"]


def test_files_beside_a_program_that_it_embeds_belong_to_it(tmp_path: Path) -> None:
    program = tmp_path / "main.c"
    text = 'extern const char cert[] asm("_binary_root_1_pem_start");\n'
    (tmp_path / "other.pem").write_text("no")
    (tmp_path / "root-1.pem").write_text("yes")
    assert find_source_files(program, text).texts == {"root-1.pem": "yes"}


def test_a_sketchs_folder_is_the_sketch(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "lamp"
    folder.mkdir()
    for name, text in {
        "lamp.ino": '#include "begin.h"\n#include "empty.h"\nvoid setup() { begin_lamp(); }\nvoid loop() { step(); }\n',
        "steps.ino": "void step() { digitalWrite(LED, !digitalRead(LED)); delay(250); }\n",
        "begin.cpp": '#include "begin.h"\nvoid begin_lamp() { pinMode(LED, OUTPUT); }\n',
        "begin.h": "#pragma once\n#include <Arduino.h>\n#define LED 4\nvoid begin_lamp();\n",
        "empty.h": "",
    }.items():
        (folder / name).write_text(text)
    done = run("--json", "run", "--try", folder / "lamp.ino", "--for", "2s")
    assert (done.code, len(done.json["edges"]) >= 7) == (0, True), done.err


def python_folder(folder: Path) -> Path:
    (folder / "lib").mkdir()
    (folder / "lib/drv.py").write_bytes("\ufeffimport inner\r\nN = 1\r\n".encode())
    (folder / "lib/inner.py").write_text("M = 1\n")
    (folder / "lib/not_imported.py").write_text("def (\n")
    (folder / "lamp.py").write_text("from drv import N\nif __name__ == '__main__':\n    import not_imported\n")
    (folder / "main.py").write_text("import lamp, time\n")
    return folder / "main.py"


def test_a_python_program_has_the_files_that_it_imports(tmp_path: Path) -> None:
    main = python_folder(tmp_path)
    source = program_values(main)["source"]
    assert [line for line in source.split("\n") if line.startswith("#line")] == [
        '#line 1 "main.py"',
        '#line 1 "lamp.py"',
        '#line 1 "lib/drv.py"',
        '#line 1 "lib/inner.py"',
    ]
    assert "\r" not in source
    assert "\ufeff" not in source
    assert program_paths(main) == [tmp_path / name for name in ("main.py", "lamp.py", "lib/drv.py", "lib/inner.py")]


@pytest.mark.parametrize(
    ("name", "message"),
    [("lib/other.mpy", "lib/other.mpy is compiled and cannot be checked"), ("other.py", "leads out of")],
)
def test_a_library_that_cannot_be_checked_is_refused_with_its_name(name: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "program"
    (folder / "lib").mkdir(parents=True)
    (tmp_path / "outside").write_text("x = 1\n")
    (folder / name).symlink_to(tmp_path / "outside")
    if name.endswith(".mpy"):
        (folder / name).unlink()
        (folder / name).write_bytes(b"M\x06")
    (folder / "main.py").write_text("x = 1\nimport other\n")
    with pytest.raises(BuildError) as caught:
        program_values(folder / "main.py")
    (found,) = caught.value.diagnostics
    assert message in found.message
    assert (found.file, found.line) == ("main.py", 2)


def test_what_has_the_name_of_a_module_and_is_no_file_is_refused_by_its_name(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    (tmp_path / "gone.py").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop.py").symlink_to(tmp_path / "loop.py")
    (tmp_path / "folder.py").mkdir()
    for module in ("gone", "loop", "folder"):
        main.write_text(f"import {module}\n")
        with pytest.raises(BuildError, match=rf"{module}\.py cannot be read"):
            program_values(main)


def test_a_python_program_has_at_most_so_many_files_and_characters(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(MAX_FILES + 1)]
    for name in names:
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    (tmp_path / "many.py").write_text(f"import {', '.join(names)}\n")
    (tmp_path / "m0.py").write_text("#" * 70_000)
    (tmp_path / "large.py").write_text("import m0\n")
    with pytest.raises(BuildError, match="limit"):
        program_values(tmp_path / "large.py")
    (tmp_path / "m0.py").write_text("x = 1\n")
    with pytest.raises(BuildError, match=f"at most {MAX_FILES} files"):
        program_values(tmp_path / "many.py")
