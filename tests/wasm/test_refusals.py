"""What programs ask for and the firmware has not: each entry says why and what to use; only findings are matched."""

from __future__ import annotations

import re
from typing import Any

import pytest

from microclaw.boards import BoardProfile, board_ids, load_board
from microclaw.builds.cache import BuildCache
from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm import compile_module
from microclaw.wasm.diagnostics import declared_names
from microclaw.wasm.refusals import refused_header, refused_name
from microclaw.wasm.source_scanner import header_names

ASKED = ["scanf", "fgets", "getchar", "fopen", "pthread_create", "xTaskCreate", "fork", "signal", "socket", "WiFi"]
ASKED += ["setjmp", "dlopen", "mmap", "wprintf", "strtold", "digitalWrite", "analogRead", "Serial", "String"]
ASKED += [
    "gpio_set_level",
    "vTaskDelay",
    "esp_restart",
    "ESP_LOGI",
    "ledcWrite",
    "attachInterrupt",
    "cout",
    "HAL_Delay",
]
HEADERS = ["freertos/FreeRTOS.h", "driver/gpio.h", "esp_check.h", "pthread.h", "sys/socket.h", "WiFi.h", "iostream"]
HEADERS += ["SPI.h", "signal.h", "setjmp.h", "wchar.h", "pico/stdlib.h", "Adafruit_BME280.h", "windows.h"]


@pytest.mark.parametrize("name", ASKED)
def test_name_from_elsewhere_has_a_reason_and_something_instead(name: str) -> None:
    refusal = refused_name(name)
    assert refusal is not None
    assert len(refusal.why) > 15
    assert len(refusal.instead) > 10


@pytest.mark.parametrize("name", ["ledcSetup", "ledcAttachPin", "ledcAttach", "ledcWrite", "ledcWriteTone"])
def test_arduinos_ledc_calls_of_both_cores_are_told_apart_and_put_in_calls_that_there_are(name: str) -> None:
    refusal = refused_name(name)
    assert refusal is not None
    assert "core 2.x's ledcSetup" in refusal.why
    assert "core 3.x's ledcAttach" in refusal.why
    for call in ("pwm_open(pin, frequency_hz)", "pwm_set(pwm, duty)", "tone(pin, frequency_hz)"):
        assert call in refusal.instead


@pytest.mark.parametrize("header", HEADERS)
def test_header_from_elsewhere_has_a_reason_and_something_instead(header: str) -> None:
    refusal = refused_header(header)
    assert refusal is not None
    assert refusal.instead


def test_no_header_of_ours_is_refused() -> None:
    refusals = {name: refused_header(name) for name in header_names()}
    assert [name for name, refusal in refusals.items() if refusal is not None and not refusal.by_pattern] == []


def test_what_a_header_declares_is_refused_only_where_the_header_is_offered() -> None:
    both = {name: header for name, header in declared_names().items() if (r := refused_name(name)) and not r.by_pattern}
    assert set(both.values()) <= {"Arduino.h", "esp_log.h", "microclaw.h"}


def test_advice_names_functions_that_there_are() -> None:
    known = declared_names()
    for name in (
        "gpio_open",
        "gpio_set",
        "gpio_get",
        "pwm_open",
        "pwm_set",
        "i2c_open",
        "i2c_read_reg",
        "i2c_write_reg",
    ):
        assert name in known
    for name in ("every", "after", "millis", "delay", "sensor_read", "bme280_read", "ina219_read", "open", "sscanf"):
        assert name in known


@pytest.mark.parametrize("board_id", board_ids())
def test_network_advice_is_what_the_board_has(board_id: str) -> None:
    board = load_board(board_id)
    refusal = refused_name("socket", board)
    assert refusal is not None
    assert ("MQTT" in refusal.instead) == ("mqtt" in board.firmware.native_groups)
    assert "{" not in refusal.instead


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
    assert (found.line, found.explanation) == (2, "the firmware gives programs no sockets")


async def test_native_of_a_missing_group_says_what_to_do_instead(compile_c: Any) -> None:
    source = "int pthread_join(int thread, void **result);\nvoid on_init(void) { pthread_join(0, 0); }\n"
    (found,) = await refused(compile_c, source)
    assert "built without pthread_join" in found.message
    assert "every(ms, task)" in (found.hint or "")


async def test_missing_headers_and_what_they_declare_are_told_together(compile_c: Any) -> None:
    source = '#include <stdio.h>\n#include "driver/gpio.h"\nint main(void) { gpio_set_level(2, 1); return 0; }\n'
    found = await refused(compile_c, source)
    assert [(d.line, "gpio_open" in (d.hint or "")) for d in found] == [(2, True)]
    assert "the same for gpio_set_level (line 3)" in (found[0].explanation or "")


async def test_comment_behind_a_missing_header_stays_a_comment(compile_c: Any) -> None:
    source = '#include <esp_check.h> /*\n#include "/etc/hostname"\n*/\nint main(void) { return 0; }\n'
    found = await refused(compile_c, source)
    assert [d.message for d in found] == ["there is no header 'esp_check.h' for programs"]


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


async def test_setup_and_loop_without_the_header_are_offered_it(compile_c: Any) -> None:
    found = await refused(compile_c, "void setup(void) {}\nvoid loop(void) {}\n", language="c++")
    assert "neither main nor on_init" in found[0].message
    assert "#include <Arduino.h>" in (found[0].hint or "")


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


def test_led_builtin_is_the_boards(board: BoardProfile) -> None:
    text = re.sub(r"\s+", " ", (declared := declared_names())["LED_BUILTIN"])
    assert text == "Arduino.h"
    assert declared["HIGH"] == "Arduino.h"
    assert board.led is not None


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
    assert "use double with %" in (found.hint or "")


async def test_text_that_only_looks_so_is_printed(compile_c: Any) -> None:
    source = '#include <stdio.h>\nint main(void) { printf("100%%Large\\n"); puts("5%Lead"); return 0; }\n'
    assert (await compile_c(source, language="c")).warnings == ()


async def test_busy_wait_is_not_told_to_lose_its_semicolon(compile_c: Any) -> None:
    source = "void setup() {}\nvoid loop() { unsigned long t = micros(); while (micros() - t < 1) ; delay(5); }\n"
    (warning,) = (await compile_c(source, language="sketch")).warnings
    assert (warning.hint or "").startswith("to wait there, write { }")


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


@pytest.mark.parametrize(
    ("macro", "line", "says"),
    [
        ("ESP8266", 4, "no header 'ESP8266WiFi.h'"),
        ("HAS_LCD", 6, "no header 'lcd.h'"),
    ],
)
async def test_a_header_that_an_if_takes_is_refused_at_its_line(
    macro: str, line: int, says: str, cache: BuildCache
) -> None:
    with pytest.raises(BuildError, match=says) as caught:
        await compile_module(f"#define {macro}\n{CHOOSES}", load_board("virtual"), cache=cache)
    assert [found.line for found in caught.value.diagnostics] == [line]


async def test_a_header_within_a_guard_of_the_whole_file_is_refused(cache: BuildCache) -> None:
    text = '#ifndef MAIN\n#define MAIN\n#include "lcd.h"\nvoid on_init(void) { lcd_begin(); }\n#endif\n'
    with pytest.raises(BuildError) as caught:
        await compile_module(text, load_board("virtual"), cache=cache)
    assert [found.line for found in caught.value.diagnostics] == [3]
