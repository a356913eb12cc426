"""Gives a trial's board the lines of expectations that answer the program in place of a network. Judges nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import structs

from microclaw.devices.transports.virtual_board import VirtualBoardTransport
from microclaw.programs.proof.record import Record
from microclaw.programs.proof.stimuli import NetworkStimulus, Stimulus
from microclaw.programs.proof.trial_plan import Run
from microclaw.wire import board_control as wire
from microclaw.wire.board_replies import TrafficRow
from microclaw.wire.canned_lines import CannedLine


async def give_network(control: VirtualBoardTransport, run: Run, board_time: Callable[[float], float | None]) -> None:
    """Tell the board which servers and brokers answer, and what comes from the network at times of the trial."""
    for batch in _batches(_lines(run, board_time)):
        await control.request(wire.Network(tuple(batch)))


def first_input_ms(run: Run, record: Record) -> float | None:
    """Return when the first input comes, an answer of the network too; the levels from the start are none."""
    moments = [stimulus.at_ms for stimulus in run.inputs]
    for stimulus in run.stimuli:
        if stimulus.at_ms > 0:
            moments.append(stimulus.at_ms)
    moments += [row.t_ms for row in record.traffic if row.kind in ("asked", "received", "unknown")]
    return min(moments, default=None)


def has_received(traffic: Iterable[TrafficRow]) -> bool:
    """Return whether a message came to the program. A request that its own server answers is its doing, in `moved`."""
    return any(row.kind == "received" for row in traffic)


def _lines(run: Run, board_time: Callable[[float], float | None]) -> Iterator[CannedLine]:
    expectations = run.expectations
    if expectations is not None:
        yield from expectations.network
    for stimulus in _network_stimuli(run.stimuli):
        yield structs.replace(stimulus.line, at_ms=board_time(stimulus.at_ms))


def _network_stimuli(stimuli: Iterable[Stimulus]) -> list[NetworkStimulus]:
    return [stimulus for stimulus in stimuli if isinstance(stimulus, NetworkStimulus)]


def _batches(lines: Iterable[CannedLine]) -> Iterator[Sequence[CannedLine]]:
    """Yield the lines in parts for which a request has room."""
    batch: list[CannedLine] = []
    size = 0
    for line in lines:
        line_size = len(wire.encode_request(0, wire.Network((line,))))
        if batch and size + line_size > wire.MAX_LINE_BYTES // 2:
            yield batch
            batch = []
            size = 0
        batch.append(line)
        size += line_size
    if batch:
        yield batch
