"""The acts of recordings: begin one, show it, end it."""

from __future__ import annotations

from microclaw.devices.link.operations import DeviceName
from microclaw.host.operations.forms import NO_COMMAND
from microclaw.host.operations.operation import Effect, OperationCall, Permission, operation
from microclaw.programs.bench.recording import DeviceRecording, Recordings


@operation(
    "recording.begin",
    http="POST /v1/devices/{device}/recording",
    permission=Permission.ACT,
    command=NO_COMMAND,
)
async def begin(recordings: Recordings, _: OperationCall, device: DeviceName) -> DeviceRecording:
    """Begin to record what hands do on a virtual board, and what follows: at most 10 minutes and 500 stimuli."""
    return await recordings.begin(device)


@operation(
    "recording.show",
    http="GET /v1/devices/{device}/recording",
    permission=Permission.READ,
    command=NO_COMMAND,
)
async def show(recordings: Recordings, _: OperationCall, device: DeviceName) -> DeviceRecording:
    """Show what was recorded until now, as lines of expectations."""
    return await recordings.show(device)


@operation(
    "recording.end",
    http="DELETE /v1/devices/{device}/recording",
    permission=Permission.ACT,
    effect=Effect.ONCE,
    command=NO_COMMAND,
)
async def end(recordings: Recordings, _: OperationCall, device: DeviceName) -> DeviceRecording:
    """End a recording: the stimuli and what followed, as lines of expectations that a trial of the program meets."""
    return await recordings.end(device)
