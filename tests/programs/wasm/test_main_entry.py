"""Ready modules that export only a main, as Espressif's SDK builds them."""

from __future__ import annotations

import pytest
import wasmtime

from microclaw.errors import BuildError
from microclaw.hardware.boards.profile import BoardProfile
from microclaw.programs.proof.trial import TrialOptions, try_image
from microclaw.programs.wasm.compile import read_module

PUTS = '(import "env" "puts" (func $puts (param i32) (result i32)))'
SLEEP = '(import "env" "sleep" (func $sleep (param i32) (result i32)))'
REST = '(memory (export "memory") 1) (global (mut i32) (i32.const 8192)) (data (i32.const 16) "from main\\00")'
SAY = "(drop (call $puts (i32.const 16)))"


def module(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {text} {REST})"))


@pytest.mark.parametrize(
    "main",
    [
        f'(func (export "main") (param i32 i32) (result i32) {SAY} (local.get 0))',
        f'(func (export "main") {SAY})',
        f'(func (export "__main_argc_argv") (param i32 i32) (result i32) {SAY} (i32.const 0))',
    ],
    ids=["with arguments", "with neither", "under clang's name"],
)
async def test_module_with_only_a_main_runs(board: BoardProfile, main: str) -> None:
    image = read_module(module(PUTS + main), board, name="only_main")
    assert "on_init" in image.exports
    trial = await try_image(image, board, TrialOptions(for_ms=1000))
    assert (trial.ok, trial.log) == (True, ("from main",))


NAP = "(func $nap (drop (call $sleep (i32.const 1))))"


@pytest.mark.parametrize(
    "wasm",
    [
        module(f'{SLEEP} {NAP} (func (export "main") (result i32) (call $nap) (i32.const 0))'),  # it waits
        module('(func (export "other"))'),
        *(b"", b"\x7fELF", b"\0asm\2\0\0\0", b"\0asm\1\0\0\0"),
    ],
)
def test_what_cannot_run_is_refused(board: BoardProfile, wasm: bytes) -> None:
    with pytest.raises(BuildError):
        read_module(wasm, board, name="x")
