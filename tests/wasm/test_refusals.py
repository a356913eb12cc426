"""Programs that are refused: each at its line, with what to do; and what looks like them and is taken.

What programs ask for and the firmware has not, what no well-meaning program holds (compiler bombs, odd bytes, names of
ours), and what no board could run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from microclaw.boards import board_ids, load_board
from microclaw.builds.process import in_worker
from microclaw.errors import BuildError, Diagnostic
from microclaw.wasm.diagnostics import declared_names
from microclaw.wasm.refusals import refused_header, refused_name
from microclaw.wasm.source_language import Language
from microclaw.wasm.source_scanner import header_names
from microclaw.wasm.toolchain import find_toolchain


class Refused(Struct, frozen=True):
    """A source, the line of its first error (None: any), a word of that error, and the source's language."""

    source: str
    line: int | None = None
    word: str = ""
    language: Language | None = None


GLUE = '#include "microclaw.h"\n#define PIN 2\nint main(void) {\n '
PINS = '#include "microclaw.h"\nenum { LED = 43 };\nstatic const int BUTTON = 20;\n#define NEXT(n) (n + 1)\n'
PINS += "void on_init(void) {\n    int x = "
FILES = "#include <fcntl.h>\n#include <stdio.h>\n#include <unistd.h>\nint main() {\n int fd = "
SLEEPS = "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
TIMER = f"{SLEEPS}#include <wasm_app.h>\nvoid on_timer_callback(timer_id_t t) {{ (void)t; }}\n"
NAPS = f"{SLEEPS}__attribute__((noinline)) static void nap(void) {{ usleep(10000); }}\n"
PRINTS = "#include <stdio.h>\nint main(void) {\n"
LAYERS = "".join(f"#define A{n + 1}(x) A{n}(A{n}(x)) + A{n}(x)\n" for n in range(12))
TABLES = "".join(f"#define A{n} " + ",".join([f"A{n - 1}" if n else "0"] * 10) + "\n" for n in range(8))
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
SKETCH = """#include <Arduino.h>
const int LED = 4;
void setup() { pinMode(LED, OUTPUT); pinMode(5, INPUT_PULLUP); }
void loop() { digitalWrite(LED, digitalRead(5)); analogWrite(6, 128); delay(500); }
"""
REFUSED = {
    # what no firmware could run
    "no native": Refused("int fsync(int, int);\nvoid on_init(void) {\n    fsync(1, 2);\n}\n", 3),
    "another module's import": Refused(
        '__attribute__((import_module("wasi_snapshot_preview1"))) int fd_close(int);\n'
        "void on_init(void) {\n    fd_close(1);\n}\n",
        3,
    ),
    "variable that is nowhere": Refused("extern int missing;\nvoid on_init(void) {\n    missing = 1;\n}\n"),
    "128 bits": Refused("__int128 a; void on_init(void) { a = a * a; }"),
    "on_init's signature": Refused("int on_init(int x) { return x; }"),
    "on_timer_callback's signature": Refused("void on_init(void) {}\nvoid on_timer_callback(void) {}"),
    "on_request's signature": Refused("void on_init(void) {}\nvoid on_request(char *b, long long n) { *b = n; }"),
    "on_timer_callback beside every": Refused(
        '#include "microclaw.h"\nstatic void f(void) {}\nvoid on_init(void) { every(5, f); }\n'
        "void on_timer_callback(int timer) { (void)timer; }\n"
    ),
    "loop of a sketch alone": Refused("#include <Arduino.h>\nvoid loop() {}\n"),
    "constructor beside on_init": Refused(
        "volatile int n;\nstruct A { A() { n++; } } a;\nvoid on_init() {}\n", None, "", "c++"
    ),
    "method that nothing defines": Refused(
        "class A { public: void go(); };\nvoid setup() {\n  A a;\n  a.go();\n}\nvoid loop() {}\n", 4, "", "sketch"
    ),
    "endless loop in a method": Refused(
        "class A { public: void run() { int i = 0; while (true) { i++; } } };\nint main() { A a; a.run(); }\n",
        None, "", "c++",
    ),
    "endless loop in a method called apart": Refused(
        "struct A { __attribute__((noinline)) void run() { while (true) n++; } volatile int n; } a;\n"
        "int main() { a.run(); }\n", None, "", "c++",
    ),
    # what nothing can make event-driven
    "sleep beside on_timer_callback": Refused(f"{TIMER}int main(void) {{ sleep(1); return 0; }}", 5),
    **{
        f"sleep in {name}": Refused(f"{NAPS}void {name}({parameters}) {{ {body} }}\nint main(void) {{ nap(); }}", 5)
        for name, parameters, body in (
            ("on_request", "char *b, int n", "(void)b; if (n) nap();"),
            ("on_response", "char *b, int n", "(void)b; if (n) nap();"),
            ("on_destroy", "void", "nap();"),
        )
    },
    "main of one argument": Refused("int main(int argc) { return 0; }", 1),
    "main of three arguments": Refused("int main(int argc, char **argv, char **environment) { return 0; }", 1),
    "export of asyncify's name": Refused(
        f'{SLEEPS}__attribute__((export_name("asyncify_start_unwind"))) void mine(void) {{}}\n'
        "int main(void) { mine(); sleep(1); return 0; }", 4,
    ),
    # pins and files
    **{
        call: Refused(f"{PINS}{call};\n    gpio_set(x, BUTTON + LED + NEXT(1));\n}}\n", 6)
        for call in (
            "gpio_open(27, GPIO_OUT)", "gpio_open(LED, GPIO_OUT)", "gpio_open(BUTTON, GPIO_IN | GPIO_PULLUP)",
            "gpio_open(99, GPIO_IN)", "pwm_open(NEXT(26), 1000)", "i2c_open(8, 35)", "gpio_open(4, 0)",
        )
    },
    "pin of C++": Refused(
        "#include <Servo.h>\nServo s;\nvoid setup() {\n  s.attach(19);\n}\nvoid loop() {}\n", 4, "USB", "sketch"
    ),
    "pin by its file": Refused(f'{FILES}open("/dev/gpio/30", O_RDWR);\n return fd; }}', 5),
    **{
        f"/dev/{name}": Refused(f'{FILES}open("/dev/{name}", O_RDWR);\n return fd; }}', 5)
        for name in ("gpiochip0", "random")
    },
    **{  # a number in place of what an open returned
        call: Refused(f"{GLUE}{call};\n}}", 4, opener)
        for opener, calls in (
            ("gpio_open", ("gpio_set(BOARD_I2C_SDA, 1)", "gpio_toggle(PIN)", "return gpio_get(1 + 1)")),
            ("pwm_open", ("pwm_set(5, 128)",)),
            ("i2c_open", ("i2c_write_reg(0, 0x50, 0, 0, 0)",)),
        )
        for call in calls
    },
    # formats
    **{
        call: Refused(f"{PRINTS}{call}\n}}\n", 3, "is for a long double", "c")
        for call in (
            'printf("%d %10.3Lf", 1, 1.5L);', 'const char *format = "%LG"; printf(format, 1.5L);',
            'long double read; sscanf("1", "%Lf", &read);',
        )
    },
    "long double of a sketch": Refused(
        'void setup() {\nSerial.printf("%Lf", 1.5L);\n}\nvoid loop() {}\n', 2, "is for a long double", "sketch"
    ),
    # headers
    "comment behind a missing header": Refused('#include <esp_check.h> /*\n#include "/x"\n*/\nint main(void) {}\n'),
    "header that an #if takes": Refused(f"#define ESP8266\n{CHOOSES}", 4),
    "header that an #elif takes": Refused(f"#define HAS_LCD\n{CHOOSES}", 6),
    "header within a guard of the whole file": Refused(
        '#ifndef MAIN\n#define MAIN\n#include "lcd.h"\nvoid on_init(void) { lcd_begin(); }\n#endif\n', 3
    ),
    # what no well-meaning program holds
    "includes itself by name": Refused('#include "main.c"\nint main(void) { return 0; }'),
    "vertical tab": Refused("int main(void) { return 0; } //\v"),
    "next line": Refused("int main(void) { return 0; } //\x85"),
    "line separator": Refused("int main(void) { return 0; } // \u2028 x"),
    "paragraph separator": Refused("int main(void) { return 0; } // \u2029 x"),
    "no UTF-8": Refused('int main(void) { return "\udcff"[0]; }'),
    "a megabyte": Refused("int main(void) { return 0; }\n" + "int x;\n" * (1 << 18)),
    "empty": Refused(" \n"),
    "name of the shim": Refused("int __microclaw_shim;\nint main(void) { return 0; }"),
    "name of the libc": Refused("int microclaw_printf(void) { return 1; }\nint main(void) { return 0; }"),
    "deep parentheses": Refused(f"int main(void) {{ return {'(' * 5000}1{')' * 5000}; }}"),
    "main is a variable": Refused("int main = 3;"),
    "array of the whole address space": Refused("char a[0xfffffff0u];\nint main(void) { return a[5]; }"),
    "array of a computed size": Refused(
        "int f(int);\nint main(void) { char a[f(1)][1 << 30]; return f(sizeof a) + a[0][1]; }"
    ),
    "huge object": Refused("char big[1 << 28] = {1};\nvoid on_init(void) { big[2]++; }\n"),
    "macros of macros": Refused(f"#define A0(x) (x + x)\n{LAYERS}int main(void) {{ return A12(1); }}"),
    "tens of thousands of broken lines": Refused("foo bar baz;\n" * 18_000, 1),
}  # fmt: skip
if sys.platform == "linux":  # rlimits are set from outside, which only Linux can
    REFUSED["table of macros that fills the memory"] = Refused(
        f"{TABLES}int a[] = {{A7}};\nint main(void) {{ return a[3]; }}"
    )


SELF_EVIDENT = {"on_init's signature", "on_timer_callback's signature", "on_request's signature", "huge object"}
SELF_EVIDENT |= {"gpio_open(99, GPIO_IN)"}
SEVERAL = {"endless loop in a method", "tens of thousands of broken lines"}


async def refused(compile_c: Any, source: str, **options: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(BuildError) as caught:
        await compile_c(source, **options)
    return caught.value.diagnostics


@pytest.mark.parametrize("name", REFUSED)
async def test_program_is_refused_at_its_line_with_a_next_step(compile_c: Any, name: str) -> None:
    case = REFUSED[name]
    every = await refused(compile_c, case.source, language=case.language)
    found = next(d for d in every if d.severity == "error" and case.word in d.message)
    assert case.line in (None, found.line)
    assert found.hint or name in SELF_EVIDENT, "it says what to do"
    assert len(every) == 1 or name in SEVERAL
    assert len(found.render()) < 2000, "a whole program on one line is not shown whole"
    assert not [d for d in every if "/tmp" in d.render() or "/dev/shm" in d.render()], "no file of the host is named"


async def test_macro_bomb_is_stopped_by_the_clock(tmp_path: Path) -> None:
    bomb = "#define B0 x,x,x,x,x,x,x,x\n" + "".join(
        f"#define B{n} {','.join([f'B{n - 1}'] * 8)}\n" for n in range(1, 12)
    )
    (tmp_path / "bomb.c").write_text(f"{bomb}int x; void on_init(void) {{ x = (B11); }}")
    command = find_toolchain().compile_command("bomb.c", "O3", ())
    finished = await in_worker(lambda processes: processes.run(command, tmp_path, time_limit_s=1.0))
    assert finished.timed_out or finished.returncode != 0


TAKEN = {
    "words in comments and strings": Refused(
        "#include <stdio.h>\n/* no fopen, no Serial.println, #include <freertos/task.h> */\n"
        'int main(void) { printf("vTaskDelay, digitalWrite and socket()\\n"); return 0; } // setjmp\n'
    ),
    "text that looks like a long double": Refused(f'{PRINTS}printf("100%%Large\\n"); puts("5%Lead"); return 0; }}\n'),
    "own functions of refused names": Refused(
        "#include <stdio.h>\n#include <unistd.h>\nstatic void vTaskDelay(int ms) { usleep(ms * 1000); }\n"
        "static int send(int x) { return x + 1; }\n"
        'int main(void) { vTaskDelay(50); printf("%d\\n", send(2)); return 0; }\n'
    ),
    "header that an #if leaves out": Refused(CHOOSES),
    "main that calls setup": Refused(
        "#include <Arduino.h>\nvoid setup() {}\nvoid loop() {}\nint main(void) { setup(); return 0; }\n"
    ),
    "empty parameter lists": Refused('#include "microclaw.h"\nvoid tick() {}\nvoid on_init() { every(5, tick); }'),
    **{
        f"own {name}": Refused(
            f"#include <Arduino.h>\nstatic int {name}(int a) {{ return a; }}\nint main(void) {{ return {name}(3); }}\n"
        )
        for name in ("min", "max", "constrain", "map")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
async def test_what_only_looks_like_it_is_taken(compile_c: Any, name: str) -> None:
    assert (await compile_c(TAKEN[name].source)).warnings == ()


async def test_sketch_names_its_pins_and_is_checked_against_the_board(compile_c: Any) -> None:
    image = await compile_c(SKETCH)
    assert (image.pins, image.eventful) == ((4, 5, 6), True)
    found = await refused(compile_c, SKETCH.replace("LED = 4", "LED = 30"))
    assert {d.line for d in found} == {3, 4}
    assert all("GPIO 30" in d.message for d in found)
    assert (await compile_c(CHOOSES)).pins == (2,)
    assert not (await compile_c(TAKEN["main that calls setup"].source)).eventful


def test_nothing_of_ours_is_refused() -> None:
    """Its headers, and what they declare but where the header that has it is offered."""
    headers = [refusal for name in header_names() if (refusal := refused_header(name)) is not None]
    assert [refusal for refusal in headers if not refusal.by_pattern] == []
    both = {name: header for name, header in declared_names().items() if (r := refused_name(name)) and not r.by_pattern}
    assert set(both.values()) <= {"Arduino.h", "esp_log.h", "microclaw.h"}


@pytest.mark.parametrize("board_id", board_ids())
def test_network_advice_is_what_the_board_has(board_id: str) -> None:
    board = load_board(board_id)
    refusal = refused_name("socket", board)
    assert refusal is not None
    assert ("MQTT" in refusal.hint) == ("mqtt" in board.firmware.native_groups)
    assert "{" not in refusal.hint
