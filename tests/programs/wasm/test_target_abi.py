"""The types of programs held against those of the compiler that the ESP32's own programs are made with."""

from __future__ import annotations

from typing import Any

import pytest

# What xtensa-esp32-elf-gcc has. Sources, in GCC: config/xtensa/xtensa.h (sizes of types, DEFAULT_SIGNED_CHAR 0,
# BIGGEST_ALIGNMENT 128), config/xtensa/elf.h (wchar_t), config/newlib-stdint.h (integers by width; a long has 32 bits),
# defaults.h (size_t, enums). time_t has 64 bits since ESP-IDF 5.0 (its migration guide).
ESP32 = {
    "(char)-1 > 0": 1,
    "CHAR_MIN": 0,
    "CHAR_MAX": 255,
    "sizeof(bool)": 1,
    "sizeof(short)": 2,
    "sizeof(int)": 4,
    "sizeof(long)": 4,
    "sizeof(long long)": 8,
    "sizeof(void *)": 4,
    "sizeof(size_t)": 4,
    "sizeof(ptrdiff_t)": 4,
    "sizeof(intptr_t)": 4,
    "sizeof(int_fast8_t)": 4,
    "sizeof(int_fast16_t)": 4,
    "sizeof(int_fast64_t)": 8,
    "sizeof(time_t)": 8,
    "sizeof(float)": 4,
    "sizeof(double)": 8,
    "sizeof(long double)": 8,
    "sizeof(wchar_t)": 2,
    "(wchar_t)-1 > 0": 1,
    "sizeof(wint_t)": 4,
    "sizeof(enum small)": 4,
    "sizeof(enum large)": 8,
    "alignof(long long)": 8,
    "alignof(double)": 8,
    "alignof(max_align)": 16,
    "sizeof(struct mixed)": 24,
    "sizeof(struct bits)": 4,
    "__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__": 1,
    "is_unsigned_long((uint32_t)0)": 1,
    "is_unsigned_long((size_t)0)": 0,
    "is_long((int32_t)0)": 1,
    "is_long((ptrdiff_t)0)": 0,
}
SAME_WIDTH = "a type of WebAssembly's C++ ABI; both have 32 bits, and no function of the headers tells them apart"
WIDE = "the headers have no function of wide characters; ESP32s with RISC-V have int, too"
DIFFERENT = {
    "sizeof(long double)": (16, "the headers have no function of it; ESP32s with RISC-V have 16 bytes, too"),
    "sizeof(wchar_t)": (4, WIDE),
    "(wchar_t)-1 > 0": (0, WIDE),
    "is_unsigned_long((uint32_t)0)": (0, SAME_WIDTH),
    "is_unsigned_long((size_t)0)": (1, SAME_WIDTH),
    "is_long((int32_t)0)": (0, SAME_WIDTH),
    "is_long((ptrdiff_t)0)": (1, SAME_WIDTH),
}
BEGIN = """#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
typedef __WINT_TYPE__ wint_t;
typedef int max_align __attribute__((aligned));
enum small { ONE = 1 };
enum large { FAR = 0x100000000LL };
struct mixed { char c; double d; short s; };
struct bits { unsigned low : 5, high : 20; };
bool is_unsigned_long(unsigned long) { return true; }
bool is_unsigned_long(unsigned) { return false; }
bool is_long(long) { return true; }
bool is_long(int) { return false; }
"""


@pytest.mark.parametrize("language", ["sketch", "c++"])
async def test_types_are_those_of_the_esp32_or_differ_for_a_listed_reason(
    compile_c: Any, on_board: Any, language: str
) -> None:
    lines = [f'printf("%d\\n", (int)({expression}));' for expression in ESP32]
    entry = "void setup() {{ {} }}\nvoid loop() {{ delay(1000); }}" if language == "sketch" else "int main() {{ {} }}"
    include = "" if language == "sketch" else "#include <stdio.h>\n"
    source = include + BEGIN + entry.format("\n".join(lines))
    printed = on_board.run(await compile_c(source, language=language), 100).own
    ours = dict(zip(ESP32, map(int, printed), strict=True))
    assert ours == ESP32 | {expression: value for expression, (value, _) in DIFFERENT.items()}


async def test_bytes_of_a_sketchs_text_are_positive(compile_c: Any, on_board: Any) -> None:
    """In the sketch, in the functions of headers and in our C behind them."""
    source = """#include <ctype.h>
#include <string.h>
char text[] = "gr\\xc3\\xb6\\xc3\\x9f" "e";
int sum;
void setup() {
  for (char c : text) sum += c > 127;
  Serial.println(sum);
  Serial.println(text[2], HEX);
  Serial.println(String(text).charAt(3), HEX);
  Serial.println(strrchr(text, '\\xc3') - text);
  Serial.println(isalpha(text[2]) != 0);
}
void loop() { delay(1000); }
"""
    image = await compile_c(source, language="sketch")
    assert on_board.run(image, 100).own == ["4", "C3", "B6", "4", "0"]
    assert not image.warnings


async def test_c_is_warned_where_the_sign_of_a_char_matters_and_only_there(compile_c: Any) -> None:
    source = """#include <stdio.h>
int next(void);
char step = -1;
signed char left = -1;
int main(void) {
    char c = next();
    const char *text = "x";
    if (c < 0)
        c = left < 0 ? 'a' : 'b';
    if (text[0] == -1)
        c = 1 - 2;
    printf("%c%s%d%d\\n", c, text, step, left);
}
int next(void) { return 4; }
"""
    warnings = (await compile_c(source)).warnings
    assert [warning.line for warning in warnings] == [3, 8, 10, 11]
    assert {warning.hint for warning in warnings} == {"write int8_t or uint8_t"}
