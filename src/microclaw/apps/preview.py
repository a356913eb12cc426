"""What a deployment would do, in lines for the person who is asked for a yes: after the trial, before any change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from microclaw.apps.change import AppVersion
from microclaw.apps.stages import kilobytes
from microclaw.apps.timeline import describe, round_seconds, seconds
from microclaw.apps.trial import Trial
from microclaw.bus.events import Edge
from microclaw.devices.device import Device
from microclaw.wasm.image import Image

TRACK_CELLS: Final = 40
MAX_EDGES: Final = 12  # of a pin, in numbers
MAX_LOG_LINES: Final = 8
_LOW, _HIGH, _CHANGE = "_", "~", "|"


def deployment_text(device: Device, name: str, *, replaces: bool) -> str:
    """ "put blink on virtual-1", or "... in place of the blink that runs there"."""
    return f"put {name} on {device.name}" + (f", in place of the {name} that is there" if replaces else "")


def deployment_detail(
    device: Device, name: str, image: Image, version: AppVersion, trial: Trial, *, lost: bool = False
) -> tuple[str, ...]:
    """Program, board, pins, size, heap, the trial's timeline and the whole source, a line each.

    `lost`: a program of that name is there that this host did not install.
    """
    pins = sorted({*image.pins, *trial.pins})
    driven = f" (drives {_numbers(trial.driven)})" if trial.driven else ""
    lines = [
        f"program: {name}, {image.size_bytes:,} B, heap {kilobytes(version.heap_bytes)}, sha256 {image.sha256[:12]}",
        f"board: {device.name}, {device.board.title}",
        *([f"the {name} that is there is lost: this host did not install it and has no copy"] if lost else []),
        f"pins: {_numbers(pins)}{driven}" if pins else "pins: none",
        f"trial: {trial.summary()}",
        *_timeline(trial),
        *(f"warning: {warning}" for warning in trial.warnings),
        *(f"prints: {line[:160]}" for line in trial.log[:MAX_LOG_LINES]),
    ]
    return tuple(_clean(line) for line in (*lines, *_source(image.source)))


def _timeline(trial: Trial) -> list[str]:
    lines = []
    for pin in dict.fromkeys(edge.pin for edge in trial.edges):
        edges = [edge for edge in trial.edges if edge.pin == pin]
        lines.append(f"pin {pin}: {_track(edges, trial.board_ms)} {round_seconds(trial.board_ms)}")
        shown = ", ".join(f"{'high' if e.level else 'low'} at {seconds(e.t_ms)}" for e in edges[:MAX_EDGES])
        more = f", and {len(edges) - MAX_EDGES:,} more" if len(edges) > MAX_EDGES else ""
        lines.append(f"    {shown}{more}")
    if trial.pwm:
        lines.append(describe((), trial.pwm))
    return lines


def _track(edges: Sequence[Edge], board_ms: float) -> str:
    """The level over the trial's time: `|` where it changed within a cell."""
    cells = [_LOW if edges[0].level else _HIGH] * TRACK_CELLS
    width_ms = max(board_ms, edges[-1].t_ms, 1.0) / TRACK_CELLS
    for edge in edges:
        at = min(int(edge.t_ms / width_ms), TRACK_CELLS - 1)
        cells[at:] = [_CHANGE, *[_HIGH if edge.level else _LOW] * (TRACK_CELLS - at - 1)]
    return "".join(cells)


def _source(source: str | None) -> list[str]:
    if source is None:
        return ["source: not known, the program came as a wasm module"]
    lines = source.splitlines()
    return [
        f"source: {len(lines)} line{'' if len(lines) == 1 else 's'}",
        *(f"    {line}" for line in lines),
    ]


def _numbers(pins: Sequence[int]) -> str:
    return ", ".join(map(str, pins))


def _clean(line: str) -> str:
    """Without what could draw over the question where it is shown."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "?" for char in line)
