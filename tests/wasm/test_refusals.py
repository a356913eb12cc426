"""What programs ask for and the firmware has not: each entry says why and what to use; only findings are matched."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.boards import board_ids, load_board
from microclaw.builds.cache import BuildCache
from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm import compile_module
from microclaw.wasm.diagnostics import declared_names
from microclaw.wasm.refusals import refused_header, refused_name
from microclaw.wasm.source_scanner import header_names


def test_no_header_of_ours_is_refused() -> None:
    refusals = {name: refused_header(name) for name in header_names()}
    assert [name for name, refusal in refusals.items() if refusal is not None and not refusal.by_pattern] == []


def test_what_a_header_declares_is_refused_only_where_the_header_is_offered() -> None:
    both = {name: header for name, header in declared_names().items() if (r := refused_name(name)) and not r.by_pattern}
    assert set(both.values()) <= {"Arduino.h", "esp_log.h", "microclaw.h"}


@pytest.mark.parametrize("board_id", board_ids())
def test_network_advice_is_what_the_board_has(board_id: str) -> None:
    board = load_board(board_id)
    refusal = refused_name("socket", board)
    assert refusal is not None
    assert ("MQTT" in refusal.hint) == ("mqtt" in board.firmware.native_groups)
    assert "{" not in refusal.hint


async def test_words_in_comments_and_strings_are_not_refused(compile_c: Any) -> None:
    source = (
        "#include <stdio.h>\n/* no fopen, no Serial.println, #include <freertos/task.h> */\n"
        'int main(void) { printf("vTaskDelay, digitalWrite and socket()\\n"); return 0; } // setjmp\n'
    )
    assert (await compile_c(source)).warnings == ()


async def test_own_function_of_a_refused_name_is_the_programs_own(compile_c: Any) -> None:
    source = (
        "#include <stdio.h>\n#include <unistd.h>\nstatic void vTaskDelay(int ms) { usleep(ms * 1000); }\n"
        "static int send(int x) { return x + 1; }\n"
        'int main(void) { vTaskDelay(5); printf("%d\\n", send(2)); return 0; }\n'
    )
    assert (await compile_c(source)).eventful


async def refused(compile_c: Any, source: str, **options: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(BuildError) as caught:
        await compile_c(source, **options)
    return caught.value.diagnostics


async def test_declared_and_never_defined_is_refused_as_well(compile_c: Any) -> None:
    source = "int socket(int a, int b, int c);\nint main(void) { return socket(2, 1, 0); }\n"
    (found,) = await refused(compile_c, source)
    assert found.line == 2


async def test_comment_behind_a_missing_header_stays_a_comment(compile_c: Any) -> None:
    source = '#include <esp_check.h> /*\n#include "/etc/hostname"\n*/\nint main(void) { return 0; }\n'
    await refused(compile_c, source)


async def test_program_without_its_missing_header_is_not_taken_from_the_cache(compile_c: Any) -> None:
    rest = "\nint main(void) { return 77; }\n"
    await compile_c(rest)
    assert await refused(compile_c, f"#include <esp_check.h>{rest}")


SKETCH = """#include <Arduino.h>
const int LED = 4;
void setup() { pinMode(LED, OUTPUT); pinMode(5, INPUT_PULLUP); }
void loop() { digitalWrite(LED, digitalRead(5)); analogWrite(6, 128); delay(500); }
"""


async def test_sketch_names_its_pins_and_is_checked_against_the_board(compile_c: Any) -> None:
    image = await compile_c(SKETCH)
    assert image.pins == (4, 5, 6)
    assert image.eventful
    found = await refused(compile_c, SKETCH.replace("LED = 4", "LED = 30"))
    assert {d.line for d in found} == {3, 4}
    assert all("GPIO 30" in d.message for d in found)


async def test_loop_alone_or_a_main_of_its_own_makes_no_sketch(compile_c: Any) -> None:
    own = await compile_c(
        "#include <Arduino.h>\nvoid setup() {}\nvoid loop() {}\nint main(void) { setup(); return 0; }\n"
    )
    assert not own.eventful
    assert await refused(compile_c, "#include <Arduino.h>\nvoid loop() {}\n")


@pytest.mark.parametrize("name", ["min", "max", "constrain", "map"])
async def test_programs_own_function_wins_over_arduinos(compile_c: Any, name: str) -> None:
    source = f"#include <Arduino.h>\nstatic int {name}(int a) {{ return a; }}\nint main(void) {{ return {name}(3); }}\n"
    assert (await compile_c(source)).warnings == ()


@pytest.mark.parametrize(
    ("call", "language"),
    [
        ('printf("%d %10.3Lf", 1, 1.5L);', "c"),
        ('char text[64]; snprintf(text, sizeof text, "%Le", 1.5L);', "c"),
        ('const char *format = "%LG"; printf(format, 1.5L);', "c"),
        ('dprintf(1, "%*.1Lf", 3, 1.5L);', "c"),
        ('long double read; sscanf("1", "%Lf", &read);', "c"),
        ('Serial.printf("%Lf", 1.5L);', "sketch"),
    ],
)
async def test_format_of_a_long_double_is_refused(compile_c: Any, call: str, language: str) -> None:
    head = "void setup()" if language == "sketch" else "#include <stdio.h>\nint main(void)"
    tail = "void loop() {}\n" if language == "sketch" else ""
    with pytest.raises(BuildError) as caught:
        await compile_c(f"{head} {{\n{call}\n}}\n{tail}", language=language)
    found = next(each for each in caught.value.diagnostics if "is for a long double" in each.message)
    assert found.line == (2 if language == "sketch" else 3)


async def test_text_that_only_looks_so_is_printed(compile_c: Any) -> None:
    source = '#include <stdio.h>\nint main(void) { printf("100%%Large\\n"); puts("5%Lead"); return 0; }\n'
    assert (await compile_c(source, language="c")).warnings == ()


CHOOSES = """#include <Arduino.h>
#if defined(ESP8266)
#include <ESP8266WiFi.h> // of another chip
#elif defined(HAS_LCD)
#include "lcd.h" /* a long
comment */
#endif
void setup() { pinMode(2, OUTPUT); }
void loop() { digitalWrite(2, !digitalRead(2)); delay(500); }
"""


async def test_a_header_that_an_if_leaves_out_need_not_be_here(cache: BuildCache) -> None:
    image = await compile_module(CHOOSES, load_board("virtual"), cache=cache)
    assert image.pins == (2,)


@pytest.mark.parametrize(("macro", "line"), [("ESP8266", 4), ("HAS_LCD", 6)])
async def test_a_header_that_an_if_takes_is_refused_at_its_line(macro: str, line: int, cache: BuildCache) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_module(f"#define {macro}\n{CHOOSES}", load_board("virtual"), cache=cache)
    assert [found.line for found in caught.value.diagnostics] == [line]


async def test_a_header_within_a_guard_of_the_whole_file_is_refused(cache: BuildCache) -> None:
    text = '#ifndef MAIN\n#define MAIN\n#include "lcd.h"\nvoid on_init(void) { lcd_begin(); }\n#endif\n'
    with pytest.raises(BuildError) as caught:
        await compile_module(text, load_board("virtual"), cache=cache)
    assert [found.line for found in caught.value.diagnostics] == [3]
