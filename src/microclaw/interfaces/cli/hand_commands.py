"""`microclaw press`, and `microclaw device record`: hands on a virtual board's parts, and what they show as lines."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import Final

import click
from msgspec.structs import replace

from microclaw.errors import ConfigError, MicroclawError
from microclaw.host.operations.client import Client
from microclaw.interfaces.cli.operation_commands import perform, show
from microclaw.interfaces.cli.options import GlobalOptions, command, on_interrupt
from microclaw.interfaces.cli.targets import MAX_NAMED, known_devices
from microclaw.programs.bench import hand_operations as hands
from microclaw.programs.bench import recording_operations as recordings
from microclaw.programs.bench.recording import DeviceRecording
from microclaw.programs.changes.wiring_operations import show_wiring
from microclaw.programs.run_times import parse_time_ms

_VIRTUAL: Final = "virtual:"
_LOOK_EVERY_S: Final = 1.0
_MAX_FAILED_LOOKS: Final = 3
_UNTRIED: Final = "interrupted: these lines are kept as they were recorded, no trial has met them"


@command()
@click.argument("part", help="The part's id, as microclaw device wiring NAME shows it.")
@click.argument("key", required=False, help="The key of a keypad.")
@click.option("--on", "on_device", metavar="DEVICE", help="The virtual board; none: the only one with such a part.")
@click.option("--for", "hold_ms", type=parse_time_ms, metavar="TIME", help="For how long: 200ms, 2s.")
def press(options: GlobalOptions, *, part: str, key: str | None, on_device: str | None, hold_ms: float | None) -> None:
    """Press a button of a virtual board."""
    device = on_device or options.device
    if device is None:
        device = _device_with(options.host(), part)
    values = {"device": device, "part": part, "verb": "press", "argument": key, "for_ms": hold_ms}
    perform(options, hands.do, values)


def _device_with(host: Client, part_id: str) -> str:
    """Return the only virtual board with this part. Raises ConfigError if there is none, or several."""
    names = []
    for device in known_devices(host):
        is_virtual = any(transport.startswith(_VIRTUAL) for transport in device.transports)
        if not is_virtual:
            continue
        wiring = host.call(show_wiring, device=device.name)
        if any(row.id == part_id for row in wiring.parts):
            names.append(device.name)
    if len(names) == 1:
        return names[0]
    if names:
        text = f"which device? {part_id} is wired to {len(names)}"
        raise ConfigError(text, next_step=f"give --on {' or --on '.join(names[:MAX_NAMED])}")
    text = f"no virtual board of this host has a part {part_id}"
    raise ConfigError(text, next_step="microclaw device wiring NAME shows the parts; those of a real board: by hand")


def record(options: GlobalOptions, name: str, for_ms: float | None) -> None:
    """Record until Ctrl-C, for this time, or until the host ends it; then print the lines.

    Another Ctrl-C does not wait for the trial of the lines: they are printed as they were recorded.
    """
    host = options.host()
    ended = threading.Event()
    host.call(recordings.begin, device=name)
    if not options.quiet:
        # On stderr, as the lines may go into a file.
        sys.stderr.write(f"recording {name}: press, turn, set; Ctrl-C ends it and prints the lines\n")
        sys.stderr.flush()
    left_s = float("inf")
    if for_ms is not None:
        left_s = for_ms / 1000
    with on_interrupt(ended.set):
        try:
            _wait_for_end(host, name, ended, left_s)
        except BaseException:
            # Nobody else ends it; if the host is away, the first error says so.
            with suppress(MicroclawError):
                host.call(recordings.end, device=name)
            raise
        untried = _look(host, name) if ended.is_set() else None
        try:
            with on_interrupt(partial(signal.default_int_handler, signal.SIGINT, None)):
                recording = host.call(recordings.end, device=name)
        except KeyboardInterrupt:
            if untried is not None:
                show(options, recordings.end, replace(untried, running=False, note=_UNTRIED))
            raise
    show(options, recordings.end, recording)


def end_recording(options: GlobalOptions, name: str) -> None:
    """End a recording whose own command is gone, and print its lines."""
    show(options, recordings.end, options.host().call(recordings.end, device=name))


def _look(host: Client, name: str) -> DeviceRecording | None:
    """Return what was recorded until now, or None if the host does not say."""
    with suppress(MicroclawError):
        return host.call(recordings.show, device=name)
    return None


def _wait_for_end(host: Client, name: str, ended: threading.Event, left_s: float) -> None:
    """Wait for Ctrl-C, for the time to pass, or for the host to end the recording.

    It goes on in the host if a look at it fails; after some failures in a row the end has to say what is wrong.
    """
    failure_count = 0
    while left_s > 0 and failure_count < _MAX_FAILED_LOOKS and not ended.wait(min(left_s, _LOOK_EVERY_S)):
        left_s -= _LOOK_EVERY_S
        try:
            is_running = host.call(recordings.show, device=name).running
        except MicroclawError:
            failure_count += 1
            continue
        failure_count = 0
        if not is_running:
            return
