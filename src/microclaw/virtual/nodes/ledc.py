"""/dev/ledc/N as esp-iot-solution's ext_vfs_ledc.c serves it, its slips included. Simulates no waveform, only duty.

What a program meets there: the duty in the configuration is a percentage that the driver multiplies by 13 (the number
of bits) instead of 8192, so 50 % becomes 6 of 8192; LEDCIOCSSETDUTY takes the raw 13-bit duty; a node can be configured
once; channels are numbered across all nodes, so two nodes with one channel each share channel 0.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct, field

from microclaw.virtual.board import Board
from microclaw.virtual.filesystem import Errno, PosixError
from microclaw.virtual.nodes.node import DataSeq, DeviceFile, DeviceUser, take_data_seq
from microclaw.wire.wasmachine.ioctl import IoctlCommand

NODES: Final = 4
CHANNELS: Final = 4
DUTY_BITS: Final = 13
DUTY_FULL: Final = 1 << DUTY_BITS
_DUTY_MAX_PERCENT: Final = 100
_PHASE_MAX: Final = 360


class _Channel(Struct):
    node: int
    duty: int
    pins: dict[int, str] = field(default_factory=dict)


class LedcSignal(NamedTuple):
    """The part of a configuration that one channel has: its pin, duty and phase in degrees."""

    pin: int
    percent: int
    phase: int


class _Node(Struct):
    frequency_hz: int = 0
    configured: bool = False
    paused: bool = False
    channels: set[int] = field(default_factory=set)


class Ledc:
    """The LEDC peripheral in one boot: its state outlives the app that configured it."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._highest_hz = board.profile.pwm.highest_hz(DUTY_BITS)
        self._nodes = [_Node() for _ in range(NODES)]
        self._channels: dict[int, _Channel] = {}

    def configure(self, number: int, frequency_hz: int, count: int, signal: LedcSignal, app: str) -> None:
        """Set a node up, once: it drives the pin from `count` channels. Raises PosixError."""
        node = self._nodes[number]
        if node.configured or signal.percent > _DUTY_MAX_PERCENT or signal.phase >= _PHASE_MAX:
            raise PosixError(Errno.EINVAL)
        pin = signal.pin
        if not 0 < frequency_hz <= self._highest_hz or count > CHANNELS or not self._board.can_drive(pin):
            raise PosixError(Errno.EIO)
        node.frequency_hz = frequency_hz
        for index in range(count):
            # The GPIO matrix gives a pin one source: the channel configured last.
            for other in self._channels.values():
                other.pins.pop(pin, None)
            channel = self._channels.setdefault(index, _Channel(number, 0))
            channel.node = number
            channel.duty = signal.percent * DUTY_BITS // _DUTY_MAX_PERCENT
            channel.pins[pin] = app
            node.channels.add(index)
        node.configured = True
        if count:
            self._board.set_pwm(pin, 0, frequency_hz, app)
        self._show(node.channels)

    def set_frequency(self, number: int, frequency_hz: int) -> None:
        """Change a node's frequency. Raises PosixError."""
        node = self._configured(number)
        if not 0 < frequency_hz <= self._highest_hz:
            raise PosixError(Errno.EIO)
        node.frequency_hz = frequency_hz
        self._show(set(self._channels))

    def set_duty(self, number: int, index: int, duty: int) -> None:
        """Change a channel's duty, DUTY_FULL at most. Raises PosixError."""
        self._configured(number)
        if index >= self._board.profile.pwm.channels:
            raise PosixError(Errno.EIO)
        self._channels.setdefault(index, _Channel(number, 0)).duty = min(duty, DUTY_FULL)
        self._show({index})

    def pause(self, number: int, *, paused: bool) -> None:
        """Halt a node's timer, or let it go on. Raises PosixError."""
        self._configured(number).paused = paused
        self._show(set(self._channels))

    def close(self, number: int) -> None:
        """Stop each of its channels: they idle low until someone sets a duty again; pins stay wired (ledc_stop)."""
        node = self._nodes[number]
        for index in node.channels:
            self._channels[index].duty = 0
        self._show(node.channels)
        self._nodes[number] = _Node(node.frequency_hz)

    def abandon(self, number: int) -> None:
        """Let the node be configured again: its app is gone. The signal goes on."""
        self._nodes[number].configured = False

    def _configured(self, number: int) -> _Node:
        if not self._nodes[number].configured:
            raise PosixError(Errno.EINVAL)
        return self._nodes[number]

    def _show(self, channels: set[int]) -> None:
        for index in sorted(channels):
            channel = self._channels[index]
            node = self._nodes[channel.node]
            # A paused timer leaves the signal where it stood; which level that is depends on the moment.
            if node.paused:
                share = 0.0
            else:
                share = channel.duty / DUTY_FULL
            for pin, app in channel.pins.items():
                if self._board.is_pwm(pin):  # else someone took it for plain input or output
                    pulse_us = share * 1_000_000 / max(node.frequency_hz, 1)
                    self._board.set_pwm(pin, round(share * 255), node.frequency_hz, app, pulse_us=pulse_us)


class LedcFile(DeviceFile):
    """An open /dev/ledc/N."""

    def __init__(self, ledc: Ledc, user: DeviceUser, node: int) -> None:
        self._ledc = ledc
        self._user = user
        self._node = node

    def ioctl(self, command: int, va: int) -> None:
        memory = self._user.memory
        match command:
            case IoctlCommand.LEDCIOCSCFG:
                self._configure(take_data_seq(memory, va))
            case IoctlCommand.LEDCIOCSSETFREQ:
                self._ledc.set_frequency(self._node, memory.u32(va))
            case IoctlCommand.LEDCIOCSSETDUTY:
                values = take_data_seq(memory, va)
                self._ledc.set_duty(self._node, values[1, 1], values[2, 4])
            case IoctlCommand.LEDCIOCSPAUSE | IoctlCommand.LEDCIOCSRESUME:
                self._ledc.pause(self._node, paused=command == IoctlCommand.LEDCIOCSPAUSE)
            case _:
                # LEDCIOCSSETPHASE too: the firmware tests for SETDUTY twice.
                raise PosixError(Errno.EINVAL)

    def close(self) -> None:
        self._ledc.close(self._node)

    def abandon(self) -> None:
        self._ledc.abandon(self._node)

    def _configure(self, values: DataSeq) -> None:
        frequency_hz = values[1, 4]
        count = values[2, 1]
        # Every channel reads the same frame types: all get channel 0's pin, duty and phase.
        if count:
            pin = values[0x103, 1]
            percent = values[0x203, 4]
            phase = values[0x303, 4]
            signal = LedcSignal(pin, percent, phase)
        else:
            signal = LedcSignal(0, 0, 0)
        self._ledc.configure(self._node, frequency_hz, count, signal, self._user.name)
        self._user.pins.add(signal.pin)
