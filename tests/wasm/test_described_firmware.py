"""A program that needs what the described firmware lacks is refused at its line, with the cause and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from microclaw.boards.firmware import parse_firmware
from microclaw.boards.profile import BoardProfile
from microclaw.errors import BuildError

SENSOR = """#include "microclaw.h"
static int bus;
static void tick(void) { unsigned char id; i2c_read_reg(bus, 0x76, 0xd0, &id, 1); printf("%d\\n", id); }
void on_init(void) {
    bus = i2c_open(8, 9);
    every(1000, tick);
}
"""
BLINK = """#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    for (;;) { gpio_toggle(led); delay(500); }
}
"""
SKETCH = """void setup() { pinMode(2, OUTPUT); }
void loop() {
    digitalWrite(2, HIGH);
    delayMicroseconds(300);
    digitalWrite(2, LOW);
    delay(100);
}
"""
FILE = """#include <fcntl.h>
#include <unistd.h>
int main(void) {
    int file = open("/storage/a.txt", O_WRONLY | O_CREAT);
    return close(file);
}
"""


BIG = f"static char big[70000];\n{BLINK}".replace("led);", "led + big[led]++);")


@pytest.mark.parametrize(
    ("source", "word", "lines"),
    [
        *((SENSOR, "nodes=-i2c", [5]), (BLINK, "nodes=-gpio", [3]), (SKETCH, "natives=-usleep", [4])),
        *((BLINK, "natives=-libc_ext", [3]), (FILE, "files=no", [4]), (BLINK, "plain", None)),
        *((BLINK, "image=1000", None), (BIG, "memory=64k", None)),
    ],
)
async def test_what_is_missing_is_named_at_the_line(
    compile_c: Any, board: BoardProfile, source: str, word: str, lines: list[int] | None
) -> None:
    with pytest.raises(BuildError) as refused:
        await compile_c(source, board=parse_firmware([word]).applied(board))
    found = refused.value.diagnostics
    assert {one.severity for one in found} == {"error"}
    assert len(found) == (2 if word == "plain" else 1)
    assert lines is None or ([one.line for one in found] == lines and word in (found[0].hint or ""))
