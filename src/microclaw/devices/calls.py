"""The one vocabulary of device methods (protocols/link.md): typed calls and what they return.

A call is a struct whose `method` is its name on the command line, in logs and on the link. A transport says
which methods it offers; `Device.call(GpioGet(pin=4))` finds the transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar, get_args

from msgspec import Struct

from microclaw.events import Edge, ProgramKind
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS, DEFAULT_WATCHDOG_MS

MAX_DUTY: Final = 255
DEFAULT_PWM_HZ: Final = 5000
NEWEST: Final = 2**53 - 1
"""Above every cursor: reading from here gives no entries, and the present cursor."""

R = TypeVar("R")


class Call(Struct, Generic[R], frozen=True):
    """A request to a device; R is what its answer is."""

    method: ClassVar[str]
    idempotent: ClassVar[bool] = True
    __orig_bases__: ClassVar[tuple[Any, ...]]

    @classmethod
    def answer_type(cls) -> Any:
        """R."""
        return get_args(cls.__orig_bases__[0])[0]


class PinLevel(Struct, frozen=True):
    pin: int
    level: int


class AdcReading(Struct, frozen=True):
    pin: int
    raw: int
    volts: float


class PwmState(Struct, frozen=True):
    """`duty` is 0-255, `frequency_hz` as set."""

    pin: int
    duty: int
    frequency_hz: int


class SensorReading(Struct, frozen=True):
    """Field names carry their units: temperature_c, humidity_pct, pressure_hpa, voltage_v, current_ma, power_mw."""

    sensor: str
    values: Mapping[str, float]


class DeviceFacts(Struct, frozen=True):
    """The facts that a device reports of itself; a field the firmware does not report is absent."""

    values: Mapping[str, str | int | float | bool]


class AppEntry(Struct, frozen=True):
    name: str
    heap_bytes: int


class AppReply(Struct, frozen=True):
    """An app's own answer to a request: CoAP-style status and its attributes."""

    status: int
    values: Mapping[str, str | int | float | bool | bytes]


class EdgeLog(Struct, frozen=True):
    """Edges since a cursor; `dropped` counts those that the board's ring no longer held."""

    edges: tuple[Edge, ...]
    cursor: int
    dropped: int
    now_ms: float


class PwmChange(Struct, frozen=True):
    """A duty or frequency change at a PWM pin, board time in ms; `duty` is 0-255, `pulse_us` the time high a period."""

    t_ms: float
    pin: int
    duty: int
    frequency_hz: int
    pulse_us: float | None = None


class LedChange(Struct, frozen=True):
    """The colours that a chain of addressable LEDs was sent: (red, green, blue) of each, 0 to 255."""

    t_ms: float
    pin: int
    colors: tuple[tuple[int, int, int], ...]


class PwmLog(Struct, frozen=True):
    """PWM changes since a cursor."""

    changes: tuple[PwmChange, ...]
    cursor: int


class LogLine(Struct, frozen=True):
    """`t_ms` is the board's time; `at_ms` when it reached this host, in Unix time, where that is known."""

    t_ms: float
    app: str | None
    text: str
    at_ms: int | None = None


class LogPage(Struct, frozen=True):
    lines: tuple[LogLine, ...]
    cursor: int
    dropped: int


class ConsoleLine(Struct, frozen=True):
    """A line of a board's serial console, of whatever program or of the firmware. `n` is this host's count."""

    n: int
    at_ms: int
    text: str


class ConsolePage(Struct, frozen=True):
    """`open_ms`: for how long the port has been open. `problem`: why it is not, after it was."""

    lines: tuple[ConsoleLine, ...]
    cursor: int
    dropped: int
    open_ms: int
    problem: str | None


class AppRuns(Struct, frozen=True):
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


class AppState(Struct, frozen=True):
    """The state of an app, which a virtual board knows and stock firmware does not report.

    `sha256` is of the program's bytes, in hex; None where the board does not tell it.
    """

    name: str
    state: str  # loaded, running, returned, exited, trapped; waiting between two runs
    error: str | None
    heap_bytes: int
    peak_heap_bytes: int
    peak_stack_bytes: int
    pins: tuple[int, ...]
    runs: AppRuns | None = None
    sha256: str | None = None

    @property
    def has_failed(self) -> bool:
        """True if it ended by an error, or its last run did and the next one is waited for."""
        waits = self.state == "waiting" and self.runs is not None
        return self.state == "trapped" or (waits and self.runs is not None and self.runs.last_how == "trapped")


class GpioSet(Call[PinLevel], frozen=True):
    method = "gpio.set"
    pin: int
    level: int


class GpioGet(Call[PinLevel], frozen=True):
    method = "gpio.get"
    pin: int


class AdcRead(Call[AdcReading], frozen=True):
    method = "adc.read"
    pin: int


class PwmSet(Call[PwmState], frozen=True):
    method = "pwm.set"
    pin: int
    duty: int
    frequency_hz: int = DEFAULT_PWM_HZ


class I2cRead(Call[SensorReading], frozen=True):
    """Read a sensor that the firmware has a driver for, by name (bme280, ina219)."""

    method = "i2c.read"
    sensor: str


class I2cAddresses(Struct, frozen=True):
    addresses: tuple[int, ...]


class I2cScan(Call[I2cAddresses], frozen=True):
    method = "i2c.scan"


class DeviceInfo(Call[DeviceFacts], frozen=True):
    method = "device.info"


class DeviceStatus(Call[DeviceFacts], frozen=True):
    method = "device.status"


class Restart(Struct, frozen=True):
    """A board that was seen back in another boot, so long after it was asked."""

    seconds: float


class DeviceRestart(Call[Restart], frozen=True):
    """Done when the device is back. OutcomeUnknown when it was asked, and was not seen back yet."""

    method = "device.restart"
    idempotent = False


class WifiTrial(Struct, frozen=True):
    """Of a network that the board was given. `state`: trying, kept, failed; `seconds` is how long it is tried."""

    ssid: str
    state: str
    why: str | None = None
    seconds: int | None = None


class WifiNetworks(Struct, frozen=True):
    """Names of the networks that a board knows, the one to be tried first in front, and the one that it is in."""

    networks: tuple[str, ...]
    ssid: str | None = None
    trial: WifiTrial | None = None


class WifiList(Call[WifiNetworks], frozen=True):
    method = "wifi.list"


class WifiSet(Call[WifiTrial], frozen=True):
    """The board answers, tries the network, and goes back to the former one when the host is not reached over it.

    `later`: only note it, for a network that is not there yet.
    """

    method = "wifi.set"
    idempotent = False
    ssid: str
    password: str | None = None
    later: bool = False

    def __repr__(self) -> str:
        return f"WifiSet(ssid={self.ssid!r}, later={self.later})"


class WifiForget(Call[None], frozen=True):
    method = "wifi.forget"
    idempotent = False
    ssid: str


class AppInstall(Call[None], frozen=True):
    """Load a program under a name that is free on the device. Accepted only means loaded.

    `code` is a wasm module, or an .mpy file. `timers` and `watchdog_ms` count on WASMachine only, `every_ms` and
    `stop_after_ms` on boards that run programs at intervals by themselves. None: it runs on.
    """

    method = "apps.install"
    idempotent = False
    name: str
    code: bytes
    heap_bytes: int = DEFAULT_HEAP_BYTES
    timers: int = DEFAULT_TIMERS
    watchdog_ms: int = DEFAULT_WATCHDOG_MS
    kind: ProgramKind = "wasm"
    every_ms: int | None = None
    stop_after_ms: int | None = None


class AppUninstall(Call[None], frozen=True):
    method = "apps.remove"
    idempotent = False
    name: str


class AppStart(Call[None], frozen=True):
    method = "apps.start"
    idempotent = False
    name: str


class AppStop(Call[None], frozen=True):
    """It stays on the device."""

    method = "apps.stop"
    idempotent = False
    name: str


class AppUndo(Call[None], frozen=True):
    """Back to the version that the device itself kept of the app."""

    method = "apps.undo"
    idempotent = False
    name: str


class AppList(Call[tuple[AppEntry, ...]], frozen=True):
    method = "apps.list"


class AppRequest(Call[AppReply], frozen=True):
    """Ask an app under /app/NAME/url."""

    method = "apps.request"
    name: str
    url: str
    values: Mapping[str, str | int | float | bool]


class EdgesRead(Call[EdgeLog], frozen=True):
    """Edges the board counted since `cursor`; only boards that report pins offer it."""

    method = "edges.read"
    cursor: int = 0


class PwmRead(Call[PwmLog], frozen=True):
    """PWM changes the board noted since `cursor`; only boards that report pins offer it."""

    method = "pwm.read"
    cursor: int = 0


class LogsRead(Call[LogPage], frozen=True):
    method = "logs.read"
    cursor: int = 0


class ConsoleRead(Call[ConsolePage], frozen=True):
    """Opens the port if it is not open. What came before that is not known."""

    method = "console.read"
    cursor: int = 0


class AppStates(Call[tuple[AppState, ...]], frozen=True):
    method = "apps.states"


CALLS: Final[Mapping[str, type[Call[Any]]]] = {kind.method: kind for kind in Call.__subclasses__()}
