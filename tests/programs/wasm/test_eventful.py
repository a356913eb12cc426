"""A program that blocks in `main` becomes event-driven, or is told why not: rules of the build and of the shim.

What such programs print is in tests/vectors/programs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.programs.wasm.instance import Clockwork

from microclaw.devices.registry.calls import AppInstall, AppRequest
from microclaw.devices.transports.address import parse_host_port
from microclaw.devices.virtual_boards.trial_board import trial_board
from microclaw.errors import BuildError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.wasm.wasm_image import WasmImage
from microclaw.wire.board_control import Advance
from microclaw.wire.wasmachine.frame import Frame, FrameDecoder, MessageType, encode_frame
from microclaw.wire.wasmachine.request import RequestAction, Response, WasmachineRequest

HEAD = "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
SLEEPER = HEAD + 'int main(void) {\n    for (;;) {\n        puts("tick");\n        sleep(1);\n    }\n}\n'


async def test_without_binaryen_only_what_must_become_event_driven_is_refused(
    compile_c: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    plain = await compile_c(HEAD + 'int main(void) { puts("no sleep"); exit(1); }')
    assert plain.compiled_bytes is None
    with pytest.raises(BuildError) as caught:
        await compile_c(SLEEPER.replace("tick", "tock"))
    (error,) = caught.value.diagnostics
    assert (error.line, bool(error.hint)) == (7, True)


LONG = "for (int i = 0; i < 100; i++) delay(60000);"  # 100 minutes
STARTS = (
    f"struct Lamp {{ void on_init() {{}} }};\nLamp lamp;\nvoid on_init() {{ lamp.on_init(); {LONG} }}\n",
    f"#if DEMO\nint main() {{\n#else\nint main(int n, char **words) {{\n#endif\n{LONG}\n}}\n",
    f"#if !DEMO\nvoid on_init() {{ {LONG} }}\n#endif\nint main() {{ on_init(); }}\n",
)


@pytest.mark.parametrize("source", STARTS)
async def test_what_waits_at_the_start_is_event_driven_whatever_stands_before_it(compile_c: Any, source: str) -> None:
    assert (await compile_c(f"#include <microclaw.h>\n{source}", language="c++")).compiled_bytes


BACKSTOP = 3
LATE_MS = 50  # before, the backstop leaves a pause to its own timer


async def test_sleep_longer_than_the_tick_can_tell_lasts_as_long_as_asked(compile_c: Any) -> None:
    board = Clockwork((await compile_c(HEAD + 'int main(void) { sleep(3000000); puts("x"); return 0; }')).wasm)
    board.now_ms = 2**32 - 1000
    end_ms = board.now_ms + 3_000_000_000
    board.call("on_init")
    while board.now_ms < end_ms - 1:
        board.now_ms = min(board.now_ms + 2**28, end_ms - 1)
        board.call("on_timer_callback", BACKSTOP)
        assert board.lines == 0
    assert all(0 < interval < 2**31 for _, interval in board.armed)
    board.now_ms += 1 + LATE_MS
    board.call("on_timer_callback", BACKSTOP)
    assert board.lines == 1


async def test_backstop_makes_up_for_a_lost_one_shot_and_early_or_late_callbacks_do_no_harm(compile_c: Any) -> None:
    source = 'int main(void) { usleep(20000); puts("a"); sleep(1); puts("b"); sleep(1); return 0; }'
    board = Clockwork((await compile_c(HEAD + source)).wasm)
    board.call("on_init")
    first = board.armed[-1][0]
    board.now_ms = 500
    board.call("on_timer_callback", BACKSTOP)
    assert board.lines == 1
    board.call("on_timer_callback", first)  # the lost one, late
    assert board.lines == 1
    second, interval = board.armed[-1]
    assert (second != first, interval) == (True, 1000)
    board.now_ms = 1499
    board.call("on_timer_callback", second)  # a millisecond early: armed again, with the other timer
    assert board.lines == 1
    assert board.armed[-1] == (first, 1)
    board.call("on_timer_callback", 77)  # nobody's
    board.now_ms = 1500
    board.call("on_timer_callback", first)
    assert board.lines == 2


async def test_fewer_than_three_timers_are_told(compile_c: Any, on_board: Any) -> None:
    ran = on_board.run(await compile_c(SLEEPER), 3_000, timers=2)
    assert ran.own == ["tick"]
    assert ran.shim[0] == "sleeping takes 3 timers"


ANSWERING = """#include <string.h>
#include <wasm_app.h>
static int asked;
/* Answers CONTENT without a body, to the message id and sender of the request (wire/wasmachine/request.py). */
void on_request(char *request, int size) {
    char answer[16] = {1, 69, 0, 99};
    memcpy(answer + 4, request + 4, 8);
    printf("request %d, %d\\n", ++asked, size > 18);
    wasm_response_send(answer, sizeof answer);
}
int main(void) {
    int local[8], sum = 0;
    wasm_register_resource("/a");
    for (int i = 0; i < 8; i++) {
        local[i] = i * i;
        sleep(1);
    }
    for (int i = 0; i < 8; i++) {
        sum += local[i];
    }
    printf("%d, %d\\n", sum, asked);
    return 0;
}
"""


@asynccontextmanager
async def watching(endpoint: str, url: str) -> AsyncIterator[AsyncIterator[WasmachineRequest]]:
    """The board's requests to a client that asked for the events of this URL. It serves one client at a time."""
    address = parse_host_port(endpoint.removeprefix("wasmachine://"))
    reader, writer = await asyncio.open_connection(address.host, address.port)
    decoder = FrameDecoder(65_536)

    async def frames() -> AsyncIterator[Frame]:
        while data := await reader.read(4096):
            decoder.receive(data)
            while (frame := decoder.next_frame()) is not None:
                yield frame

    writer.write(encode_frame(MessageType.REQUEST, WasmachineRequest(RequestAction.PUT, f"/event/{url}", 1).encode()))
    coming = frames()
    assert Response.decode((await anext(coming)).payload).status == 69
    yield (WasmachineRequest.decode(frame.payload) async for frame in coming)
    writer.transport.abort()


async def test_requests_are_answered_while_main_is_paused_and_its_end_is_an_event(
    compile_c: Any, board: BoardProfile
) -> None:
    image: WasmImage = await compile_c(HEAD + ANSWERING, name="asked")
    async with trial_board(board) as bench:
        control = bench.control
        wasmachine = bench.wasmachine
        await wasmachine.call(AppInstall(image.name, image.wasm, 8192, 20), 20)
        for _ in range(3):
            await control.request(Advance(1_500))
            reply = await wasmachine.call(AppRequest("asked", "/a", {}), 60)
            assert reply.status == 69
        await wasmachine.close()
        async with asyncio.timeout(60), watching(wasmachine.endpoint, "ended") as events:
            await control.request(Advance(20_000))
            assert (await anext(events)).url == "ended"
        lines = [line.text for line in (await control.log(0)).lines if line.app == "asked"]
    own = [line for line in lines if not line.startswith("microclaw")]
    assert own == ["request 1, 1", "request 2, 1", "request 3, 1", "140, 3"]


async def test_sleeping_program_can_be_removed_at_any_time(compile_c: Any, on_board: Any) -> None:
    image = await compile_c(SLEEPER + 'void on_destroy(void) { puts("bye"); }\n')
    for ms in (0, 999, 1_000, 2_500):
        ran = on_board.run(image, ms)
        assert ran.all[-1] == "bye"
        assert ran.own[:-1] == ["tick"] * (ms // 1000 + 1)
