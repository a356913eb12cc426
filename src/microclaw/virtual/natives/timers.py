"""wasm_create_timer and its kin, and the system tick. The timers themselves are in microclaw.virtual.runtime.timers."""

from __future__ import annotations

from microclaw.virtual.natives.binding import Handler
from microclaw.virtual.runtime.process import Process


def _create(process: Process, interval_ms: int, periodic: int, start: int) -> int:
    return process.timers.create(interval_ms & 0xFFFFFFFF, bool(periodic), bool(start))


def _destroy(process: Process, number: int) -> None:
    process.timers.destroy(number)


def _cancel(process: Process, number: int) -> None:
    process.timers.cancel(number)


def _restart(process: Process, number: int, interval_ms: int) -> None:
    process.timers.restart(number, interval_ms & 0xFFFFFFFF)


def _tick(process: Process) -> int:
    return int(process.now_ms()) & 0xFFFFFFFF


HANDLERS: dict[str, Handler] = {
    "wasm_create_timer": _create,
    "wasm_timer_destroy": _destroy,
    "wasm_timer_cancel": _cancel,
    "wasm_timer_restart": _restart,
    "wasm_get_sys_tick_ms": _tick,
}
