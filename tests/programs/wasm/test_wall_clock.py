"""time() and localtime() of programs on firmware without a calendar, by the stamp that the host puts in as it sends."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace
from tests.programs.wasm.conftest import CompileC, OnBoard

from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.wire.wasmachine.clock_stamp import stamp_clock

BERLIN = ZoneInfo("Europe/Berlin")
SPRING_S = datetime(2026, 3, 29, 0, 59, 50, tzinfo=UTC).timestamp()  # ten seconds before summer time
HEAD = "#include <microclaw.h>\n#include <time.h>\n#include <unistd.h>\n"
SHOW = (
    "static void show(void) { char s[60]; time_t now = time(NULL); struct tm *t = localtime(&now);\n"
    ' strftime(s, sizeof s, "%F %T %z %Z", t); printf("%s %d\\n", s, mktime(t) == now); }\n'
)
SLEEPS = "int main(void) { sleep(5); show(); sleep(10); show(); return 0; }"
EVENTS = "void on_init(void) { every(5000, show); }"
WINTER = "2026-03-29 01:59:55 +0100 +0100 1"
SUMMER = "2026-03-29 03:00:05 +0200 +0200 1"


def stamped(image: WasmImage, now_s: float) -> WasmImage:
    return replace(image, wasm=stamp_clock(image.wasm, now_s, BERLIN))


@pytest.mark.parametrize(("program", "level"), [(SLEEPS, "O0"), (EVENTS, "Os")])
async def test_local_time_counts_from_the_start_and_follows_the_zone(
    compile_c: CompileC, on_board: OnBoard, program: str, level: str
) -> None:
    image = await compile_c(HEAD + SHOW + program, optimization=level)
    own = on_board.run(stamped(image, SPRING_S), 15_500).own
    assert (own[0], own[-1]) == (WINTER, SUMMER)
    assert hashlib.sha256(image.wasm).hexdigest() == image.sha256  # the stamp is in a copy


async def test_program_that_does_not_ask_for_the_time_carries_no_stamp(compile_c: CompileC) -> None:
    image = await compile_c(HEAD + "int main(void) { sleep(1); return (int)micros() + (int)clock(); }")
    assert b"mcclock" not in image.wasm
    asking = await compile_c(HEAD + "int main(void) { return (int)time(NULL); }")
    assert asking.wasm.count(b"\xf5mcclock" + b"\xff" * 24) == 1
    assert not [name for name in asking.exports if name.startswith("__microclaw_")]
