"""Programs of several files: joined as the preprocessor would see them, their findings in the lines of their files."""

from __future__ import annotations

import re
import sys
from collections.abc import Awaitable, Callable, Mapping

import pytest
from tests.programs.wasm.conftest import CompileC

from microclaw.errors import BuildError, Diagnostic
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.proof.trial import Trial, TrialOptions, try_image
from microclaw.programs.source_marks import MAX_DEPTH, MAX_FILES, without_marks
from microclaw.programs.wasm.source_files import join_files
from microclaw.programs.wasm.source_language import Language, language_of_file

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


Try = Callable[..., Awaitable[Trial]]


@pytest.fixture
def try_files(compile_c: CompileC, board: BoardProfile) -> Try:
    async def try_files(file: str, source: str, files: Mapping[str, str], ms: float = 2000) -> Trial:
        language: Language | None = language_of_file(file)
        image = await compile_c(join_files(file, source, files), language=language)
        return await try_image(image, board, TrialOptions(for_ms=ms))

    return try_files


async def refused(compile_c: CompileC, file: str, source: str, files: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    with pytest.raises(BuildError) as caught:
        await compile_c(join_files(file, source, files), language=language_of_file(file))
    return caught.value.diagnostics


async def test_a_program_of_five_files_builds_and_keeps_its_files(compile_c: CompileC) -> None:
    joined = join_files("main.c", MAIN, FILES)
    text, marks = without_marks(joined)
    for number, line in enumerate(text.split("\n")[:-1], 1):
        place = marks.place(number)
        if place is not None and line:
            assert {**FILES, "main.c": MAIN}[place[0]].split("\n")[place[1] - 1] == line
    assert joined.count("enum { PERIOD_MS") == 2  # #pragma once, in each source
    image = await compile_c(joined)
    assert image.source is not None
    assert '#line 1 "lib/led.c"' in image.source
    again = await compile_c(image.source)  # as it is stored
    assert (again.sha256, again.source, again.cached) == (image.sha256, image.source, True)


@pytest.mark.parametrize(
    ("file", "old", "new", "place", "line"),
    [
        ("lib/led.c", "gpio_open(pin", "gpio_opn(pin", ("lib/led.c", 6), "    led = gpio_opn(pin, GPIO_OUT);"),
        ("pins.h", "#define LED 4", "asm", ("pins.h", 3), "asm"),
    ],
)
async def test_a_finding_names_its_file_and_line(
    compile_c: CompileC, file: str, old: str, new: str, place: tuple[str, int], line: str | None
) -> None:
    files = {"main.c": MAIN, **FILES}
    assert old in files[file]
    files[file] = files[file].replace(old, new)
    found = await refused(compile_c, "main.c", files.pop("main.c"), files)
    assert (found[0].file, found[0].line) == place
    assert len(set(found)) == len(found)
    assert line is None or found[0].source_line == line


@pytest.mark.parametrize(
    ("before", "behind", "is_once"),
    [
        ("", "", True),
        ("#ifndef LIST_H\n#define LIST_H\n", "#endif\n", True),
        ("#ifdef __clang__\n", "#endif\n", True),
        ("#if 0\n#else\n", "#endif\n", True),
        ("#if 0\n#if 1\n#endif\n", "#endif\n", False),
        ("#ifdef NEVER\n", "#endif\n", False),
        ("/*\n", "*/\n", False),
    ],
)
async def test_pragma_once_counts_where_the_preprocessor_meets_it(
    compile_c: CompileC, before: str, behind: str, is_once: bool
) -> None:
    guard = before.startswith("#ifndef")
    once = f"{before}#pragma once\n"
    header = f"{once}ITEM\n{behind}" if guard else f"{once}{behind}ITEM\n"
    main = '#define ITEM +1\nenum { COUNT = 0\n#include "list.h"\n#include "list.h"\n};\n'
    check = f'_Static_assert(COUNT == {2 - is_once}, "");\nvoid on_init(void) {{}}\n'
    await compile_c(join_files("main.c", main + check, {"list.h": header}), language="c")


async def test_two_sketches_in_one_folder_are_refused_with_both_places(compile_c: CompileC) -> None:
    sketch = "void setup() {}\nvoid loop() {}\n"
    setup, loop = await refused(compile_c, "one.ino", sketch, {"other.ino": f"int level;\n{sketch}"})
    assert (setup.file, setup.line, loop.line) == ("other.ino", 2, 3)
    for name, finding in (("setup", setup), ("loop", loop)):
        assert name in finding.message
        assert f"line {1 + (name == 'loop')} of one.ino" in finding.message
        assert f"line {finding.line} of other.ino" in finding.message


async def test_a_source_that_is_included_behind_if_0_is_compiled_alone(compile_c: CompileC) -> None:
    main = '#if 0\n#include "more.c"\n#include "none.h"\n#endif\nint more(void);\nvoid on_init(void) { more(); }\n'
    await compile_c(join_files("main.c", main, {"more.c": "static int kept;\nint more(void) { return kept++; }\n"}))


INIT = "void on_init(void) {}\n"
WRONG = {
    "another signature": (
        '#include "a.h"\n#include "b.h"\n', {"a.h": "int twice(int);\n", "b.h": "long twice(int);\n"}, "b.h", 1
    ),
    "two functions": ("int f(int a) { return a; }\n", {"b.c": "\nint f(int a)\n{\n    return -a;\n}\n"}, "b.c", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_what_two_sources_have_differently_is_refused(compile_c: CompileC, name: str) -> None:
    source, files, file, line = WRONG[name]
    found = (await refused(compile_c, "main.c", source + INIT, files))[0]
    assert file is None or (found.file, found.line) == (file, line)


@pytest.mark.parametrize(
    "files",
    [
        *({"../x.h": ""}, {"/etc/passwd.h": ""}, {'a".h': ""}, {"b.cpp": "int x;\n"}, {"a.h": '#include "a.h"\n'}),
        {f"f{n}.h": "" for n in range(MAX_FILES + 1)},
        {"a.h": '#include "b.h"\n', "b.h": '#include "a.h"\n'},
        {f"f{n}.h": f'#include "f{n + 1}.h"\n' for n in range(MAX_DEPTH + 2)},
        {f"f{n}.h": f'#include "f{n + 1}.h"\n' * 9 + "int x;\n" * 40 for n in range(9)},
    ],
)
def test_what_cannot_be_joined_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(BuildError):
        join_files("main.c", f'#include "a.h"\n#include "f0.h"\n{INIT}', files)


def test_a_file_that_a_comment_names_is_not_joined_whatever_quote_stands_before_the_comment() -> None:
    for line in ("int long_time = 1'000; /*", "char quote = '\"'; /*", 'const char *text = "\\\\"; /*', "/* it's"):
        joined = join_files("main.cpp", f'{line}\n#include "a.h"\n*/\n', {"a.h": "int inside;\n"})
        assert "inside" not in joined, line


WAITS = """#include <microclaw.h>
static int led;
static void run(int ms) { for (;;) { gpio_toggle(led); if (led < 0) { return; } %s } }
"""


async def test_functions_of_one_name_wait_each_in_its_own_way(try_files: Try) -> None:
    """Pauses are put into loops by the names of their functions."""
    main = WAITS % "delay(ms);" + "void b(void);\nint main(void) { led = gpio_open(4, GPIO_OUT); run(200); b(); }\n"
    other = WAITS % "unsigned t = millis(); while (millis() - t < 50) { }" + "void b(void) { run(1); }\n"
    trial = await try_files("main.c", main, {"b.c": other}, 3000)
    assert trial.ok
    assert 14 <= len(trial.edges) <= 16


async def test_tabs_of_a_sketch_share_what_the_first_one_defines(compile_c: CompileC) -> None:
    main = "#define LED 4\nvoid setup() { light(); }\nvoid loop() { delay(9); }\n"
    joined = join_files("main.ino", main, {"light.ino": "void light() { pinMode(LED, OUTPUT); }\n"})
    assert (await compile_c(joined, language="sketch")).pins == (4,)


SKETCH_WITH_C = {
    "step.h": '#pragma once\n#ifdef __cplusplus\nextern "C"\n#endif\nvoid step(void);\n',
    "step.c": '#include <Arduino.h>\n#include "step.h"\nstatic int class = 1;\n'
    "void step(void) { char sign = -1; digitalWrite(4, class); class = sign > 0 ? !class : 0; }\n",
}
SKETCH = '#include "step.h"\nvoid setup() { pinMode(4, OUTPUT); }\nvoid loop() { step(); delay(250); }\n'


async def test_a_sketch_has_files_of_c_each_in_its_language(try_files: Try, compile_c: CompileC) -> None:
    trial = await try_files("main.ino", SKETCH, SKETCH_WITH_C)
    assert len(trial.edges) == 8, trial.error
    without_c = {**SKETCH_WITH_C, "step.h": "void step();\n"}
    found = await refused(compile_c, "main.ino", SKETCH, without_c)
    assert 'extern "C"' in (found[0].hint or "")


@pytest.mark.parametrize("line", ['const char *a = R"(";\n#include "/etc/passwd"\n)";', "#include <vector>"])
async def test_a_file_of_c_in_a_sketch_is_read_as_c(compile_c: CompileC, line: str) -> None:
    files = {**SKETCH_WITH_C, "step.c": f"{line}\n{SKETCH_WITH_C['step.c']}"}
    found = await refused(compile_c, "main.ino", SKETCH, files)
    assert (found[0].file, found[0].line, "says C" in found[0].message) == ("step.c", 1, True)


LIBRARY = {
    "libraries/Lamp/src/Lamp.h": '#pragma once\n#include "detail/pin.h"\n'
    "struct Lamp { Lamp(int); void on(); int pin; };\n"
    "extern Lamp TheLamp;\n",
    "libraries/Lamp/src/Lamp.cpp": "#include <Arduino.h>\n#include <Lamp.h>\nLamp TheLamp(LAMP_PIN);\n"
    "Lamp::Lamp(int pin) : pin(pin) {}\nvoid Lamp::on() { pinMode(pin, OUTPUT); digitalWrite(pin, HIGH); }\n",
    "libraries/Lamp/src/detail/pin.h": "#define LAMP_PIN 4\n",
    "libraries/Other/pin.h": "#error not this one\n",
}


async def test_a_library_is_included_by_its_name_and_its_global_object_is_made_once(try_files: Try) -> None:
    main = "#include <Lamp.h>\nvoid setup() { TheLamp.on(); }\nvoid loop() { delay(100); }\n"
    trial = await try_files("main.ino", main, LIBRARY)
    assert (trial.ok, len(trial.edges)) == (True, 1)


def test_a_header_of_ours_comes_before_one_of_a_library() -> None:
    files = {"libraries/Servo/Servo.h": "#error theirs\n", "Wire.h": "#error beside\n"}
    joined = join_files("main.ino", "#include <Servo.h>\n#include <Wire.h>\n", files)
    assert "theirs" not in joined
    assert "beside" not in joined
    assert "beside" in join_files("main.ino", '#include "Wire.h"\n', files)


CERTIFICATE = '-----BEGIN "X"-----\r\na\\b?? \u00fc\n-----END-----\n'
EMBEDDING = """#include <stdio.h>
#include <stdint.h>
#include <string.h>
#if 0
asm("nop");
#endif
extern const uint8_t cert[]   asm("_binary_my_root_1_pem_start");
extern const uint8_t cert_end[] asm("_binary_my_root_1_pem_end");
int main(void) {
    const char *text = (const char *)cert;
    printf("%d %d\\n%s", (int)strlen(text), (int)(cert_end - cert), text);
}
"""


async def test_a_file_that_is_embedded_is_a_text_at_its_symbols(try_files: Try) -> None:
    """As EMBED_TXTFILES of ESP-IDF has it: with a NUL behind it. Each byte comes through."""
    size = len(CERTIFICATE.encode())
    trial = await try_files("main.c", EMBEDDING, {"my-root.1.pem": CERTIFICATE})
    assert trial.ok, trial.error
    assert "\n".join(trial.log).startswith(f"{size} {size + 1}\n")
    assert "a\\b?? \u00fc" in "\n".join(trial.log)


def test_a_file_that_is_embedded_many_times_does_not_fill_the_memory() -> None:
    declarations = []
    for number in range(5_000):
        declarations.append(f'extern const char text{number}[] asm("_binary_big_txt_start");')
    with pytest.raises(BuildError, match="more than 262,144 characters"):
        join_files("main.c", "\n".join(declarations), {"big.txt": "x" * 60_000})


async def test_inline_assembly_is_refused_once_where_the_preprocessor_leaves_it(compile_c: CompileC) -> None:
    for source, places in (
        (EMBEDDING, [(7, 31), (8, 33)]),
        ('int main(void) {\n    __asm__ volatile("nop");\n    return 0;\n}\n', [(2, 5)]),
        ('__asm__(".incbin \\"/etc/passwd\\"");\nvoid on_init(void) {}\n', [(1, 1)]),
        ('#define NOP 1\n#undef asm\nint main(void) { asm("nop"); }\n', [(2, 8)]),
    ):
        with pytest.raises(BuildError) as caught:
            await compile_c(source)
        found = caught.value.diagnostics
        assert [(each.line, each.column) for each in found if "inline assembly" in each.message] == places


ASSEMBLY = {
    "plain": '__asm(".globl x");',
    "macro's own name": '#define no_inline_assembly asm\nasm(".globl x");',
    "reserved name": '#define __microclaw_no_assembly __asm__\n__asm__(".globl x");',
    "other name": '#define X asm\nvoid f(void) { X("nop"); }',
    "joined lines": 'as\\\nm(".globl x");',
    "digraph": '%:define X(a, b) a%:%:b\nvoid f(void) { X(__as, m__)("nop"); }',
    "trigraph": '??=define no_inline_assembly asm\nasm(".globl x");',
    "pasted": '#define X(a, b) a##b\nvoid f(void) { X(a, sm)("nop"); }',
    "_Pragma": '_Pragma("push_macro(\\"asm\\")") asm(".globl x");',
    "pragma": '#pragma push_macro("asm")\nasm(".globl x");',
    "in a true #if": '#if 1\n#define no_inline_assembly __asm__\n__asm__(".globl x");\n#endif',
}


@pytest.mark.parametrize("trick", ASSEMBLY)
async def test_inline_assembly_is_refused_in_each_language_and_file(compile_c: CompileC, trick: str) -> None:
    text = ASSEMBLY[trick]
    main = "\nint main(void) { return 0; }\n"
    for file, source, files in (
        ("main.c", text + main, {}),
        ("main.cpp", text + main, {}),
        ("main.cpp", "#include <vector>\n" + text + main, {}),
        ("main.ino", text + "\nvoid setup() {}\nvoid loop() {}\n", {}),
        ("main.c", '#include "part.h"' + main, {"part.h": f"#pragma once\n{text}\n"}),
    ):
        words = " ".join(each.message for each in await refused(compile_c, file, source, files))
        assert re.search("inline assembly|no_assembly|_Pragma|#pragma|only ASCII|neither C", words), words


async def test_a_macro_of_the_program_makes_no_assembly_in_a_header_of_ours(compile_c: CompileC) -> None:
    macros = "#define X_(a, b) a##b\n#define X(a, b) X_(a, b)\n"
    macro = '#define strtol strtol(const char *, char **, int); X(__as, m__)(".globl x"); long other\n'
    found = await refused(compile_c, "main.c", f"{macros}{macro}#include <errno.h>\nvoid on_init(void) {{}}\n", {})
    assert "inline assembly" in found[0].message


async def test_assembly_that_the_preprocessor_leaves_out_is_no_fault(compile_c: CompileC) -> None:
    await compile_c('#ifdef __riscv\n#define NOP asm("nop")\n#else\n#define NOP\n#endif\nint main(void) { NOP; }\n')


async def test_a_build_reads_no_program_in_the_event_loops_thread(compile_c: CompileC) -> None:
    functions = set[str]()
    sys.setprofile(lambda frame, event, argument: functions.add(frame.f_code.co_name))
    try:
        with pytest.raises(BuildError):
            await compile_c("#error no\n", language="c")
    finally:
        sys.setprofile(None)
    assert "compile_module" in functions
    assert not functions & {"without_marks", "read_source"}
