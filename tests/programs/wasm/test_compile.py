"""From source to image, and every check that can refuse one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from microclaw.errors import BuildError, ConfigError
from microclaw.hardware.boards.natives import NATIVES
from microclaw.hardware.boards.reader import board_ids, load_board
from microclaw.programs.builds.cache import BuildCache
from microclaw.programs.wasm.compile import MAX_FUNCTIONS, compile_module
from microclaw.programs.wasm.toolchain import LOG_NATIVES, compiler_chosen, find_toolchain, list_compilers

HEAD = '#include "microclaw.h"\n'
BLINK = (
    HEAD
    + """static int led;
static void toggle(void) { gpio_toggle(led); }
void on_init(void) {
    led = gpio_open(2, GPIO_OUT);
    every(500, toggle);
}
"""
)


async def test_image_says_what_the_module_needs_and_comes_from_the_cache_with_its_warnings(compile_c: Any) -> None:
    source = BLINK.replace("every(", "int unused; every(")
    first = await compile_c(source, name="blink")
    second = await compile_c(source, name="blink")
    assert first.pins == (2,)
    assert {"on_init", "on_destroy", "on_timer_callback", "memory", "__heap_base", "__data_end"} <= set(first.exports)
    assert {i.name for i in first.imports} == {
        *("open", "close", "read", "write", "ioctl", "printf", "abort"),
        *("wasm_create_timer", "wasm_timer_destroy", "wasm_get_sys_tick_ms"),
    }
    assert all(i.module == "env" for i in first.imports)
    assert (first.memory.stack_bytes, first.source, first.cached) == (4096, source, False)
    assert 0 < first.memory.static_bytes < 1024
    assert structs.replace(second, cached=False, compile_ms=first.compile_ms) == first
    assert (second.cached, second.compile_ms, len(second.warnings)) == (True, 0, 1)
    assert not (await compile_c(source, name="blink", stack_bytes=8192)).cached


async def test_blink_compiles_for_every_board(compile_c: Any) -> None:
    for board in map(load_board, board_ids()):
        pin = board.usable_pins("output")[0]
        assert (await compile_c(BLINK.replace("gpio_open(2", f"gpio_open({pin}"), board=board)).pins == (pin,)


async def test_every_optimization_level_links(compile_c: Any) -> None:
    for level in ("O1", "O2", "Os"):
        assert (await compile_c(BLINK, optimization=level)).size_bytes < 4096


async def test_optimizing_makes_a_program_smaller(compile_c: Any) -> None:
    source = HEAD + (
        "static int lamps[3], now;\n"
        "static void show(void) { for (int i = 0; i < 3; i++) gpio_set(lamps[i], i == now); }\n"
        "static void next(void) { now = now == 2 ? 0 : now + 1; show(); }\n"
        "void on_init(void) { for (int i = 0; i < 3; i++) lamps[i] = gpio_open(4 + i, GPIO_OUT); every(500, next); }\n"
    )
    size = {level: (await compile_c(source, optimization=level)).size_bytes for level in ("O0", "O3", "Oz")}
    assert size["O3"] < size["O0"]
    assert size["Oz"] < size["O0"]


@pytest.mark.parametrize(
    "options", [{"optimization": "Ofast"}, {"stack_bytes": 100}, {"name": "../x"}, {"name": "-o"}, {"name": ""}]
)
async def test_odd_options_are_refused(compile_c: Any, options: dict[str, Any]) -> None:
    with pytest.raises(BuildError) as caught:
        await compile_c(BLINK, **options)
    assert caught.value.stage == "options"


async def test_a_program_of_more_functions_than_are_looked_through_is_refused(compile_c: Any) -> None:
    functions = "".join(f"int a{number}(int x) {{ return x + {number}; }}\n" for number in range(MAX_FUNCTIONS))
    with pytest.raises(BuildError) as caught:
        await compile_c(f"{functions}void on_init(void) {{ a1(1); }}\n", optimization="O0")
    assert caught.value.stage == "check"


async def test_optimizer_calls_nothing_that_firmware_lacks(compile_c: Any) -> None:
    codes = {
        "memcmp(x, y, 16) == 0": {"memcmp"},
        "(strcpy(x, y), 0)": {"printf"},
        "(strcpy(*(char **)x, y), 0)": {"strcpy"},
        'sprintf(x, "%s", y)': {"printf", "vsnprintf", "vsprintf"},
        'printf("%s", y)': {"vprintf", *LOG_NATIVES},
        "(int)pow(2, x[0])": {"pow"},
        "(int)sqrt(x[0])": set(),
        "(int)strlen(x)": {"strlen"},
    }
    for code, wanted in codes.items():
        head = "#include <math.h>\n#include <stdio.h>\n#include <string.h>\nchar x[64], y[64];\nint result;\n"
        imports = {i.name for i in (await compile_c(f"{head}void on_init(void) {{ result = {code}; }}\n")).imports}
        assert imports <= set(NATIVES) & (wanted | {"strlen", "memcpy"}), code


def test_missing_compiler_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ziglang").mkdir()
    (tmp_path / "ziglang" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "ziglang", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing was looked for there yet
    for chosen in ("", "clang", "tcc"):
        monkeypatch.setenv("MICROCLAW_COMPILER", chosen)
        with pytest.raises(ConfigError) as caught:
            find_toolchain()
        assert caught.value.next_step


async def test_a_wasi_sdk_is_used_from_its_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: BuildCache
) -> None:
    for tool in ("clang", "wasm-ld"):  # the system's, in the layout of a wasi-sdk
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / tool).symlink_to(found)
    monkeypatch.setenv("WASI_SDK_PATH", str(tmp_path))
    with compiler_chosen("wasi-sdk"):
        image = await compile_module("void on_init(void) {}", load_board("virtual"), cache=cache)
    assert image.compiler.startswith("wasi-sdk ")
    assert [one.compiler for one in list_compilers() if one.version] == ["zig", "wasi-sdk", "clang"]
    monkeypatch.setenv("WASI_SDK_PATH", str(tmp_path / "none"))


PIN_OFFERS = (
    # Pins, the board, and what the first refusal offers: a sketch for an Uno has pins of the classic ESP32's flash.
    (
        "9 8",
        "esp32-devkitc-v4",
        "the ESP32-S3 (--board esp32-s3-devkitc-1-v1.0); this sketch's pins are an Arduino Uno's, too",
    ),
    ("9 16", "esp32-devkitc-v4", "all pins of this program fit the ESP32-S3 (--board esp32-s3-devkitc-1-v1.0)"),
    ("22", "virtual", "the ESP32-C6 (--board esp32-c6-devkitc-1) and the ESP32 (--board esp32-devkitc-v4)"),
    ("9 200", "esp32-devkitc-v4", None),
    # A name has another number there: A0 is GPIO 36 on the ESP32, which cannot be switched, and 0 on the C6.
    ("A0 22", "virtual", "all pins of this program fit the ESP32-C6 (--board esp32-c6-devkitc-1)"),
    (
        "D5 LED_BUILTIN",
        "virtual",
        "D5 is an Arduino Uno's pin 5; all pins of this program fit the ESP32-S3 (--board xiao",
    ),
    (
        "A1 22",
        "esp32-devkitc-v4",
        "A1 is an Arduino Uno's pin 15; all pins of this program fit the ESP32-C6 (--board esp",
    ),
    ("D13", "virtual", "D13 is an Arduino Uno's pin 13"),
    ("A2 46", "esp32-c3-devkitm-1", "(--board esp32-s3-devkitc-1-v1.0)"),
)


@pytest.mark.parametrize(("pins", "board", "offer"), PIN_OFFERS)
async def test_pins_that_the_board_lacks_offer_the_boards_that_have_them_all(
    compile_c: Any, pins: str, board: str, offer: str | None
) -> None:
    calls = " ".join(f"pinMode({pin}, OUTPUT);" for pin in pins.split())
    with pytest.raises(BuildError) as caught:
        await compile_c(f"void setup() {{ {calls} }}\nvoid loop() {{}}\n", board=load_board(board), language="sketch")
    first, *others = [error.hint or "" for error in caught.value.diagnostics]
    assert (offer or "pins near it") in first
    assert ("--board" in first) is ("--board" in (offer or ""))
    assert not any("--board" in hint for hint in others)
