"""Programs of several files: joined as the preprocessor would see them, their findings in the lines of their files."""

from __future__ import annotations

import pytest

from microclaw.apps.trial import TrialOptions, try_image
from microclaw.boards import load_board
from microclaw.builds.cache import BuildCache
from microclaw.errors import BuildError
from microclaw.wasm import compile_module
from microclaw.wasm.source_files import (
    MAX_DEPTH,
    MAX_FILES,
    included_names,
    join_files,
    without_marks,
)
from microclaw.wasm.source_language import Language

MAIN = """#include <microclaw.h>
#include "pins.h"
#include "lib/led.h"

void on_init(void) {
    led_begin(LED);
}
"""
PINS = "#ifndef PINS_H\n#define PINS_H\n#define LED 4\n#endif\n"
LED_H = '#pragma once\n#include "../pins.h"\n#include "more.h"\nvoid led_begin(int pin);\n'
MORE_H = "#pragma once\nenum { PERIOD_MS = 500 };\n"
LED_C = """#include "led.h"
#include <microclaw.h>
static int led;
static void flip(void) { gpio_toggle(led); }
void led_begin(int pin) {
    led = gpio_open(pin, GPIO_OUT);
    every(PERIOD_MS, flip);
}
"""
FILES = {"pins.h": PINS, "lib/led.h": LED_H.replace("../", ""), "lib/more.h": MORE_H, "lib/led.c": LED_C}


def test_a_program_of_five_files_builds_and_keeps_its_files(cache: BuildCache) -> None:
    joined = join_files("main.c", MAIN, FILES)
    text, marks = without_marks(joined)
    for number, line in enumerate(text.split("\n")[:-1], 1):
        place = marks.place(number)
        if place is not None and line:
            file, of = place
            assert {**FILES, "main.c": MAIN}[file].split("\n")[of - 1] == line
    assert joined.count("enum { PERIOD_MS") == 2  # #pragma once, in each source


async def test_it_runs_through_the_compiler(cache: BuildCache) -> None:
    image = await compile_module(join_files("main.c", MAIN, FILES), load_board("virtual"), cache=cache)
    assert "gpio_toggle" not in {one.name for one in image.imports}  # it is in our headers
    assert image.size_bytes > 100
    assert image.source is not None
    assert '#line 1 "lib/led.c"' in image.source
    again = await compile_module(image.source, load_board("virtual"), cache=cache)  # as it is stored
    assert (again.sha256, again.source, again.cached) == (image.sha256, image.source, True)


@pytest.mark.parametrize(
    ("file", "old", "new", "place", "line"),
    [
        ("lib/led.c", "gpio_open(pin", "gpio_opn(pin", ("lib/led.c", 6), "    led = gpio_opn(pin, GPIO_OUT);"),
        ("lib/more.h", "= 500 }", "= 500", ("lib/more.h", 2), None),
        ("pins.h", "#define LED 4", "asm", ("pins.h", 3), "asm"),
        ("main.c", "LED)", "LED", ("main.c", 6), None),
    ],
)
async def test_a_finding_names_its_file_and_line(
    cache: BuildCache, file: str, old: str, new: str, place: tuple[str, int], line: str | None
) -> None:
    files = {"main.c": MAIN, **FILES}
    assert old in files[file]
    files[file] = files[file].replace(old, new)
    source = files.pop("main.c")
    with pytest.raises(BuildError) as caught:
        await compile_module(join_files("main.c", source, files), load_board("virtual"), cache=cache)
    found = caught.value.diagnostics[0]
    assert (found.file, found.line) == place
    assert len(set(caught.value.diagnostics)) == len(caught.value.diagnostics)
    assert line is None or found.source_line == line


async def test_words_about_another_line_name_its_file_too(cache: BuildCache) -> None:
    files = {"a.h": "int twice(int x);\n", "b.h": "long twice(int x);\n"}
    source = '#include "a.h"\n#include "b.h"\nvoid on_init(void) {}\n'
    with pytest.raises(BuildError) as caught:
        await compile_module(join_files("main.c", source, files), load_board("virtual"), cache=cache)
    found = caught.value.diagnostics[0]
    assert (found.file, found.line) == ("b.h", 1)


def test_includes_in_comments_and_strings_are_none() -> None:
    text = (
        '// #include "a.h"\n/*\n#include "b.h"\n*/ #include "c.h"\nchar *s = "\\\n#include";\n#include "d.h" // yes\n'
    )
    assert included_names(text) == ("d.h",)


@pytest.mark.parametrize(
    "files",
    [
        {"../x.h": ""},
        {"/etc/passwd.h": ""},
        {'a".h': ""},
        {f"f{n}.h": "" for n in range(MAX_FILES + 1)},
        {"a.h": '#include "a.h"\n'},
        {"a.h": '#include "b.h"\n', "b.h": '#include "a.h"\n'},
        {f"f{n}.h": f'#include "f{n + 1}.h"\n' for n in range(MAX_DEPTH + 2)},
        {f"f{n}.h": f'#include "f{n + 1}.h"\n' * 9 + "int x;\n" * 40 for n in range(9)},
        {"b.cpp": "int x;\n"},
    ],
)
def test_what_cannot_be_joined_is_refused(files: dict[str, str]) -> None:
    source = '#include "a.h"\n#include "f0.h"\nvoid on_init(void) {}\n'
    with pytest.raises(BuildError):
        join_files("main.c", source, files)


def test_a_guarded_header_may_include_itself() -> None:
    files = {"a.h": '#ifndef A\n#define A\n#include "a.h"\nint a;\n#endif\n'}
    assert join_files("main.c", '#include "a.h"\n', files).count("int a;") == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("int counter = 3;", "int counter;"),
        ("int f(int a) { return a; }", "int f(int a)\n{\n    return -a;\n}"),
    ],
)
async def test_what_two_sources_define_for_all_is_refused(first: str, second: str, cache: BuildCache) -> None:
    text = join_files("main.c", f"{first}\nvoid on_init(void) {{}}\n", {"b.c": f"\n{second}\n"})
    with pytest.raises(BuildError) as caught:
        await compile_module(text, load_board("virtual"), cache=cache)
    assert (caught.value.diagnostics[0].file, caught.value.diagnostics[0].line) == ("b.c", 2)


TWO = """#include <stdio.h>
#include <microclaw.h>
#include "shared.h"
static const char *TAG = "first";
static int state = 10;
struct own { int x; };
static void tick(void) { printf("%s %d %d\\n", TAG, state++, second()); }
void on_init(void) { begin(); every(100, tick); }
"""
SHARED = "#pragma once\nint second(void);\nvoid begin(void);\nstatic inline int twice(int n) { return 2 * n; }\n"
OTHER = """#include <stdio.h>
#include <microclaw.h>
#include "shared.h"
static const char *TAG = "second";
static int state = 20;
struct own { char y[3]; };
static void tick(void) { printf("%s %d\\n", TAG, twice(state++)); }
int second(void) { return state; }
void begin(void) { every(1000, tick); }
"""


@pytest.mark.parametrize("suffix", ["c", "cpp"])
async def test_what_is_static_in_a_source_is_its_own(suffix: str, cache: BuildCache) -> None:
    text = join_files(f"main.{suffix}", TWO, {"shared.h": SHARED, f"other.{suffix}": OTHER})
    language: Language = "c" if suffix == "c" else "c++"
    image = await compile_module(text, load_board("virtual"), cache=cache, language=language)
    trial = await try_image(image, load_board("virtual"), TrialOptions(for_ms=2050), cache=cache)
    assert trial.ok
    assert trial.log[:3] == ("first 10 20", "first 11 20", "first 12 20")
    assert [line for line in trial.log if line.startswith("second")] == ["second 40", "second 42"]


SKETCH = """static int n = 2;
int other();
void setup() { Serial.begin(115200); show(); }
void loop() { delay(500); }
void show() { Serial.println(n + other() + tabbed()); }
"""
TAB = "#define STEP 100\nint tabbed() { return n * STEP; }\n"
BESIDE = "#include <Arduino.h>\nstatic int n = 40;\nint other() {\n  return n;\n}\n"


async def test_a_cpp_file_beside_a_sketch_is_a_source_of_its_own_and_a_tab_is_not(cache: BuildCache) -> None:
    text = join_files("lamp.ino", SKETCH, {"a.cpp": BESIDE, "tab.ino": TAB})
    image = await compile_module(text, load_board("virtual"), cache=cache, language="sketch")
    trial = await try_image(image, load_board("virtual"), TrialOptions(for_ms=100), cache=cache)
    assert (trial.ok, trial.log) == (True, ("242",))
    wrong = join_files("lamp.ino", SKETCH, {"a.cpp": BESIDE.replace("return n", "return m"), "tab.ino": TAB})
    with pytest.raises(BuildError) as raised:
        await compile_module(wrong, load_board("virtual"), cache=cache, language="sketch")
    assert (raised.value.diagnostics[0].file, raised.value.diagnostics[0].line) == ("a.cpp", 4)


WAITS = """#include <microclaw.h>
static int led;
static void run(int ms) { for (;;) { gpio_toggle(led); if (led < 0) { return; } %s } }
"""


async def test_functions_of_one_name_wait_each_in_its_own_way(cache: BuildCache) -> None:
    """Pauses are put into loops by the names of their functions."""
    main = WAITS % "delay(ms);" + "void b(void);\nint main(void) { led = gpio_open(4, GPIO_OUT); run(200); b(); }\n"
    other = WAITS % "unsigned t = millis(); while (millis() - t < 50) { }" + "void b(void) { run(1); }\n"
    text = join_files("main.c", main, {"b.c": other})
    image = await compile_module(text, load_board("virtual"), cache=cache)
    trial = await try_image(image, load_board("virtual"), TrialOptions(for_ms=3000), cache=cache)
    assert trial.ok
    assert 14 <= len(trial.edges) <= 16


async def test_a_trap_names_the_line_of_its_file_in_another_source(cache: BuildCache) -> None:
    main = "#include <microclaw.h>\nint at(int);\nstatic int pick(int n) { return n; }\n"
    main += "static void tick(void) { at(pick(9)); }\nvoid on_init(void) { every(100, tick); }\n"
    other = "int table[4];\nstatic int pick(int n) { return table[n]; }\nint at(int n) { return pick(n); }\n"
    image = await compile_module(join_files("main.c", main, {"b.c": other}), load_board("virtual"), cache=cache)
    trial = await try_image(image, load_board("virtual"), TrialOptions(for_ms=1000), cache=cache)
    assert trial.error == "it trapped at line 2 of b.c: index 9 is outside 'int[4]'"


async def test_what_is_declared_otherwise_than_defined_is_refused(cache: BuildCache) -> None:
    text = join_files(
        "main.c", "int f(int);\nvoid on_init(void) { f(1); }\n", {"b.c": "float f(float x) { return x; }\n"}
    )
    with pytest.raises(BuildError):
        await compile_module(text, load_board("virtual"), cache=cache)


@pytest.mark.parametrize(
    ("declared", "defined"),
    [
        ("extern int level;", "float level = 2.5f;"),
        ("extern double level;", "float level;"),
        ("extern int64_t level;", "int level = 1;"),
        ("extern const unsigned char level;", "int level = 1;"),
        ("extern bool level;", "int level = 1;"),
        ("typedef float speed_t;\nextern speed_t level;", "int level = 1;"),
    ],
)
@pytest.mark.parametrize("file", ["main.c", "main.cpp"])
async def test_a_number_of_another_kind_in_two_files_is_refused(
    file: str, declared: str, defined: str, cache: BuildCache
) -> None:
    text = _two_files(file, declared, defined)
    with pytest.raises(BuildError) as caught:
        await compile_module(text, load_board("virtual"), cache=cache, language="c" if file == "main.c" else "c++")
    (found,) = caught.value.diagnostics
    assert found.line == 2


@pytest.mark.parametrize(
    ("declared", "defined"),
    [
        ("extern int level;", "int level = 3;"),
        ("extern volatile int level;", "volatile int level = 3;"),
        ("extern const int level;", "int level = 3;"),
        ("extern uint8_t level;", "unsigned char level = 3;"),
        ("extern long level;", "int32_t level = 3;"),
        ("extern unsigned level;", "enum kind { A, B }; enum kind level = B;"),
        ("#define T float\nextern T level;", "float level = 3;"),
    ],
)
@pytest.mark.parametrize("file", ["main.c", "main.cpp"])
async def test_the_same_bytes_by_another_name_are_taken(
    file: str, declared: str, defined: str, cache: BuildCache
) -> None:
    text = _two_files(file, declared, defined)
    await compile_module(text, load_board("virtual"), cache=cache, language="c" if file == "main.c" else "c++")


def _two_files(file: str, declared: str, defined: str) -> str:
    """Declared from line 4 on in the first, defined in line 2 of the second."""
    heads = "#include <stdint.h>\n#include <stdbool.h>\n#include <stdio.h>\n"
    begin = 'void on_init(void) { printf("%d\\n", (int)level); }\n'
    if file != "main.c":
        begin = f'extern "C" {begin}'
    whole = f"{heads}{declared}\n{begin}"
    return join_files(file, whole, {"b.c" if file == "main.c" else "b.cpp": f"#include <stdint.h>\n{defined}\n"})


async def test_a_sources_macros_end_with_it(cache: BuildCache) -> None:
    main = "#include <microclaw.h>\n#define PIN 4\n#define delay(x) delay((x) * 2)\nvoid more(void);\n"
    main += "void on_init(void) { gpio_open(PIN, GPIO_OUT); more(); }\n"
    more = "#include <microclaw.h>\n#ifndef PIN\n#define PIN 6\n#endif\nvoid more(void) { gpio_open(PIN, GPIO_OUT); }\n"
    image = await compile_module(join_files("main.c", main, {"more.c": more}), load_board("virtual"), cache=cache)
    assert image.pins == (4, 6)
    assert not image.warnings


def test_files_of_windows_are_joined() -> None:
    text = '#include <microclaw.h>\r\n#include "pins.h"\r\nvoid on_init(void) {}\r\n'
    assert included_names(text) == ("pins.h",)
    assert "#define LED 4\n" in join_files("main.c", text, {"pins.h": "#define LED 4\r\n"})


def test_marks_of_others_are_no_marks() -> None:
    files = {"a.h": '#line 7 "/etc/passwd"\n#line 9 "b.h"\nint x;\n'}
    text, marks = without_marks(join_files("main.c", '#include "a.h"\n', files))
    assert marks.place(text.split("\n").index("int x;") + 1) == ("a.h", 3)
