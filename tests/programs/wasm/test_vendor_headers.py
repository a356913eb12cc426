"""Described firmware: what its natives get, and what it lacks is refused at its line, with the cause and what to do."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from tests.programs.wasm.instance import Instance

from microclaw.errors import BuildError
from microclaw.hardware.boards.firmware import parse_firmware
from microclaw.hardware.boards.profile import BoardProfile

SOURCE = Path(__file__).with_name("vendor_headers.c").read_text(encoding="utf-8")


@pytest.fixture
def with_all(board: BoardProfile) -> BoardProfile:
    return parse_firmware(["natives=+lvgl,+wifi_prov,+rainmaker"]).applied(board)


class Board(Instance):
    """The natives of one instance: each call with what its argv held; handles count up from 100."""

    def __init__(self, wasm: bytes) -> None:
        self.calls: list[tuple[str, int, tuple[int, ...]]] = []
        self.plain: list[tuple[str, tuple[int, ...]]] = []
        self.start(wasm)

    def from_table(self, index: int, *args: int) -> Any:
        table = self.exports["__indirect_function_table"]
        assert isinstance(table, wasmtime.Table)
        function = table.get(self.store, index)
        assert isinstance(function, wasmtime.Func)
        return function(self.store, *args)

    def native(self, wanted: wasmtime.ImportType) -> Callable[..., int | None]:
        name = wanted.name or ""
        kind = wanted.type
        assert isinstance(kind, wasmtime.FuncType)

        def answer(*args: int) -> int | None:
            result = 0
            if name.endswith("_call_native_func") or name == "wasm_wifi_prov_mgr_init":
                number, count, argv = args
                words = struct.unpack(f"<{count}I", self.bytes_at(argv, 4 * count))
                self.calls.append((name, number, words))
                result = 100 + len(self.calls)
                if name == "esp_lvgl_call_native_func":
                    self.write(argv, struct.pack("<I", result))
                elif number == 23:  # RainMaker: the value that somebody wrote
                    self.write(words[2], struct.pack("<i", 1))
                    self.write(words[3], b"\1")
            else:
                self.plain.append((name, args))
            return result if kind.results else None

        return answer


async def test_the_natives_get_what_their_tables_say(compile_c: Any, with_all: BoardProfile) -> None:
    board = Board((await compile_c(SOURCE, board=with_all)).wasm)
    board.call("on_init")
    lvgl = [(number, words) for name, number, words in board.calls if name.startswith("esp_lvgl")]
    screen = 101
    button = 102
    label = 103
    assert [number for number, _ in lvgl] == [316, 89, 31, 28, 10, 96]
    assert [len(words) for _, words in lvgl] == [1, 1, 1, 3, 5, 4]
    assert lvgl[1][1] == (screen,)
    assert lvgl[2][1] == (button,)
    assert lvgl[3][1] == (button, 0xFF8001, 0)
    assert lvgl[4][1] == (label, button, 9, 2**32 - 3, 4)
    assert (lvgl[5][1][0], *lvgl[5][1][2:]) == (button, 10, label)
    assert ("esp_lvgl_init", (0x090300,)) in board.plain
    schemes = [(number, words) for name, number, words in board.calls if name == "wasm_wifi_prov_mgr_init"]
    assert schemes == [(2, (0, 0)), (1, (0, 0))]
    rainmaker = [(number, words) for name, number, words in board.calls if name.startswith("wasm_rmaker")]
    assert [number for number, _ in rainmaker] == [0, 8, 18, 20, 12, 12, 14, 4]
    assert [len(words) for _, words in rainmaker] == [3, 3, 5, 3, 3, 3, 4, 3]
    assert [board.text_at(word) for word in rainmaker[2][1][:2]] == ["Power", "esp.param.power"]
    assert rainmaker[2][1][2:] == (1, 1, 3)
    assert ("wasm_rmaker_run", (6,)) in board.plain
    device, on_write, write, _ = rainmaker[6][1]
    board.calls.clear()
    board.from_table(lvgl[5][1][1], 55)
    assert [number for _, number, _ in board.calls] == [151, 32]
    board.calls.clear()
    assert board.from_table(on_write, device, 77, 88, write, 0, 1) == 102
    assert [number for _, number, _ in board.calls] == [23, 22]
    assert board.calls[0][2][:2] == (0, 88)
    assert board.calls[1][2] == (5, 77, 1, 1)


@pytest.mark.parametrize("group", ["lvgl", "wifi_prov", "rainmaker"])
async def test_a_firmware_without_them_refuses_at_a_line(compile_c: Any, board: BoardProfile, group: str) -> None:
    others = ",".join(f"+{one}" for one in ("lvgl", "wifi_prov", "rainmaker") if one != group)
    with pytest.raises(BuildError) as caught:
        await compile_c(SOURCE, board=parse_firmware([f"natives={others}"]).applied(board))
    (found,) = caught.value.diagnostics
    assert f"(group {group})" in found.message
    assert found.line is not None


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
