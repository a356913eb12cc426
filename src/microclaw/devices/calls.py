"""The one vocabulary of device methods (protocols/link.md): typed calls and what they return.

A call is a frozen dataclass whose `method` is its name on the command line, in logs and on the link. A transport says
which methods it offers; `Device.call(GpioGet(pin=4))` finds the transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Generic, TypeVar

from microclaw.events import Edge, ProgramKind

MAX_DUTY: Final = 255
DEFAULT_PWM_HZ: Final = 5000

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """A request to a device; R is what its answer is."""

    method: ClassVar[str]
    idempotent: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class PinLevel:
    pin: int
    level: int


@dataclass(frozen=True, slots=True)
class AdcReading:
    pin: int
    raw: int
    volts: float


@dataclass(frozen=True, slots=True)
class PwmState:
    """`duty` is 0-255, `frequency_hz` as set."""

    pin: int
    duty: int
    frequency_hz: int


@dataclass(frozen=True, slots=True)
class SensorReading:
    """Field names carry their units: temperature_c, humidity_pct, pressure_hpa, voltage_v, current_ma, power_mw."""

    sensor: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a device says of itself; a field the firmware does not report is absent."""

    values: Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class AppEntry:
    name: str
    heap_bytes: int


@dataclass(frozen=True, slots=True)
class AppReply:
    """An app's own answer to a request: CoAP-style status and its attributes."""

    status: int
    values: Mapping[str, str | int | float | bool | bytes]


@dataclass(frozen=True, slots=True)
class EdgeLog:
    """Edges since a cursor; `dropped` counts those that the board's ring no longer held."""

    edges: tuple[Edge, ...]
    cursor: int
    dropped: int
    now_ms: float


@dataclass(frozen=True, slots=True)
class PwmChange:
    """A duty or frequency change at a PWM pin, board time in ms; `duty` is 0-255, `pulse_us` the time high a period."""

    t_ms: float
    pin: int
    duty: int
    frequency_hz: int
    pulse_us: float | None = None


@dataclass(frozen=True, slots=True)
class LedChange:
    """What a chain of addressable LEDs was sent: (red, green, blue) of each, 0 to 255."""

    t_ms: float
    pin: int
    colors: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class PwmLog:
    """PWM changes since a cursor."""

    changes: tuple[PwmChange, ...]
    cursor: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """`t_ms` is the board's time; `at_ms` when it reached this host, in Unix time, where that is known."""

    t_ms: float
    app: str | None
    text: str
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LogPage:
    lines: tuple[LogLine, ...]
    cursor: int
    dropped: int


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """A line of a board's serial console, of whatever program or of the firmware. `n` is this host's count."""

    n: int
    at_ms: int
    text: str


@dataclass(frozen=True, slots=True)
class ConsolePage:
    """`open_ms`: for how long the port has been open. `problem`: why it is not, after it was."""

    lines: tuple[ConsoleLine, ...]
    cursor: int
    dropped: int
    open_ms: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class AppRuns:
    """Of a program that a board runs at an interval or for a time: how long ago, or in how long, in ms.

    `last_how`: returned, exited, stopped or trapped. `missed`: times at which the run before still went on.
    """

    every_ms: int
    stop_after_ms: int
    runs: int
    missed: int
    next_in_ms: int | None = None
    running_ms: int | None = None
    last_ago_ms: int | None = None
    last_took_ms: int | None = None
    last_how: str | None = None


@dataclass(frozen=True, slots=True)
class AppState:
    """What a virtual board knows of an app and stock firmware does not tell.

    `sha256` is of the program's bytes, in hex; None where the board does not tell it.
    `tells_end`: `state` is returned as soon as main is over, also where the firmware would list the app as running.
    """

    name: str
    state: str  # loaded, running, returned, exited, trapped; waiting between two runs
    error: str | None
    heap_bytes: int
    peak_heap_bytes: int
    peak_stack_bytes: int
    pins: tuple[int, ...]
    runs: AppRuns | None = None
    tells_end: bool = False
    sha256: str | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it ended by an error, or its last run did and the next one is waited for."""
        waits = self.state == "waiting" and self.runs is not None
        return self.state == "trapped" or (waits and self.runs is not None and self.runs.last_how == "trapped")


@dataclass(frozen=True, slots=True)
class GpioSet(Call[PinLevel]):
    method = "gpio.set"
    pin: int
    level: int


@dataclass(frozen=True, slots=True)
class GpioGet(Call[PinLevel]):
    method = "gpio.get"
    pin: int


@dataclass(frozen=True, slots=True)
class AdcRead(Call[AdcReading]):
    method = "adc.read"
    pin: int


@dataclass(frozen=True, slots=True)
class PwmSet(Call[PwmState]):
    method = "pwm.set"
    pin: int
    duty: int
    frequency_hz: int = DEFAULT_PWM_HZ


@dataclass(frozen=True, slots=True)
class I2cRead(Call[SensorReading]):
    """Read a sensor that the firmware has a driver for, by name (bme280, ina219)."""

    method = "i2c.read"
    sensor: str


@dataclass(frozen=True, slots=True)
class I2cScan(Call["I2cAddresses"]):
    method = "i2c.scan"


@dataclass(frozen=True, slots=True)
class I2cAddresses:
    addresses: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DeviceInfo(Call[DeviceFacts]):
    method = "device.info"


@dataclass(frozen=True, slots=True)
class DeviceStatus(Call[DeviceFacts]):
    method = "device.status"


@dataclass(frozen=True, slots=True)
class Restart:
    """A board that was seen back in another boot, so long after it was asked."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DeviceRestart(Call[Restart]):
    """Done when the device is back. OutcomeUnknown when it was asked, and was not seen back yet."""

    method = "device.restart"
    idempotent = False


@dataclass(frozen=True, slots=True)
class WifiTrial:
    """Of a network that the board was given. `state`: trying, kept, failed; `seconds` is how long it is tried."""

    ssid: str
    state: str
    why: str | None = None
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class WifiNetworks:
    """Names of the networks that a board knows, the one to be tried first in front, and the one that it is in."""

    networks: tuple[str, ...]
    ssid: str | None = None
    trial: WifiTrial | None = None


@dataclass(frozen=True, slots=True)
class WifiList(Call[WifiNetworks]):
    method = "wifi.list"


@dataclass(frozen=True, slots=True)
class WifiSet(Call[WifiTrial]):
    """The board answers, tries the network, and goes back to the former one when the host is not reached over it.

    `later`: only note it, for a network that is not there yet.
    """

    method = "wifi.set"
    idempotent = False
    ssid: str
    password: str | None = field(default=None, repr=False)
    later: bool = False


@dataclass(frozen=True, slots=True)
class WifiForget(Call[None]):
    method = "wifi.forget"
    idempotent = False
    ssid: str


@dataclass(frozen=True, slots=True)
class AppInstall(Call[None]):
    """Load a program under a name that is free on the device. Accepted only means loaded.

    `code` is a wasm module, or an .mpy file. `timers` and `watchdog_ms` count on WASMachine only, `every_ms` and
    `stop_after_ms` on boards that run programs at intervals by themselves. None: it runs on.
    """

    method = "apps.install"
    idempotent = False
    name: str
    code: bytes
    heap_bytes: int = 8192
    timers: int = 20
    watchdog_ms: int = 180_000
    kind: ProgramKind = "wasm"
    every_ms: int | None = None
    stop_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AppUninstall(Call[None]):
    method = "apps.remove"
    idempotent = False
    name: str


@dataclass(frozen=True, slots=True)
class AppStart(Call[None]):
    method = "apps.start"
    idempotent = False
    name: str


@dataclass(frozen=True, slots=True)
class AppStop(Call[None]):
    """It stays on the device."""

    method = "apps.stop"
    idempotent = False
    name: str


@dataclass(frozen=True, slots=True)
class AppUndo(Call[None]):
    """Back to the version that the device itself kept of the app."""

    method = "apps.undo"
    idempotent = False
    name: str


@dataclass(frozen=True, slots=True)
class AppList(Call[tuple[AppEntry, ...]]):
    method = "apps.list"


@dataclass(frozen=True, slots=True)
class AppRequest(Call[AppReply]):
    """Ask an app under /app/NAME/url."""

    method = "apps.request"
    name: str
    url: str
    values: Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class EdgesRead(Call[EdgeLog]):
    """Edges the board counted since `cursor`; only boards that report pins offer it."""

    method = "edges.read"
    cursor: int = 0


@dataclass(frozen=True, slots=True)
class PwmRead(Call[PwmLog]):
    """PWM changes the board noted since `cursor`; only boards that report pins offer it."""

    method = "pwm.read"
    cursor: int = 0


@dataclass(frozen=True, slots=True)
class LogsRead(Call[LogPage]):
    method = "logs.read"
    cursor: int = 0


@dataclass(frozen=True, slots=True)
class ConsoleRead(Call[ConsolePage]):
    """Opens the port if it is not open. What came before that is not known."""

    method = "console.read"
    cursor: int = 0


@dataclass(frozen=True, slots=True)
class AppStates(Call[tuple[AppState, ...]]):
    method = "apps.states"
