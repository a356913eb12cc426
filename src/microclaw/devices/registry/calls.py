"""The methods of devices (docs/protocols/link-methods.md): typed calls and the types of their answers.

A call is a struct whose `method` is its name on the command line, in logs and on the link. A transport says
which methods it offers; `Device.call(GpioGet(pin=4))` finds the transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, TypeVar, get_args

from msgspec import Struct

from microclaw.errors import ProgramSilent
from microclaw.events import Edge, ProgramKind
from microclaw.network_use import NO_NETWORK, NetworkUse
from microclaw.wire.board_replies import PartPage
from microclaw.wire.wasmachine.request import DEFAULT_HEAP_BYTES, DEFAULT_TIMERS, DEFAULT_WATCHDOG_MS

MAX_DUTY: Final = 255
MAX_PAGE_BYTES: Final = 65_536
"""Of the answer of a program's page, on every way to a board."""
DEFAULT_PWM_HZ: Final = 5000
NEWEST: Final = 2**53 - 1
"""Above every cursor: reading from here gives no entries, and the present cursor."""

R = TypeVar("R")


class Call(Struct, Generic[R], frozen=True):
    """A request to a device; R is the type of its answer."""

    method: ClassVar[str]
    idempotent: ClassVar[bool] = True
    __orig_bases__: ClassVar[tuple[Any, ...]]

    @classmethod
    def answer_type(cls) -> Any:
        """Return R, the type of the answer."""
        return get_args(cls.__orig_bases__[0])[0]


class PinLevel(Struct, frozen=True):
    pin: int
    level: int


class AdcReading(Struct, frozen=True):
    pin: int
    raw: int
    volts: float


class PwmState(Struct, frozen=True):
    """The state of a PWM pin: `duty` is 0-255, `frequency_hz` as set."""

    pin: int
    duty: int
    frequency_hz: int


class SensorReading(Struct, frozen=True):
    """The values of a sensor.

    Their names carry the units: temperature_c, humidity_pct, pressure_hpa, voltage_v, current_ma, power_mw.
    """

    sensor: str
    values: Mapping[str, float]


class DeviceFacts(Struct, frozen=True):
    """The facts that a device reports; a fact that the firmware does not report is absent."""

    values: Mapping[str, str | int | float | bool]


class AppReply(Struct, frozen=True):
    """An app's own answer to a request: CoAP-style status and its attributes."""

    status: int
    values: Mapping[str, str | int | float | bool | bytes]


class EdgeLog(Struct, frozen=True, omit_defaults=True):
    """Edges since a cursor; `dropped` counts the edges that the board's ring no longer held.

    `pwm_pins` are pins that the board says to be driven by PWM: not every change of them is an edge.
    """

    edges: tuple[Edge, ...]
    cursor: int
    dropped: int
    now_ms: float
    pwm_pins: tuple[int, ...] = ()


class PwmChange(Struct, frozen=True):
    """A duty or frequency change at a PWM pin, at `t_ms` of the board.

    `duty` is 0-255, `pulse_us` the high time in a period.
    """

    t_ms: float
    pin: int
    duty: int
    frequency_hz: int
    pulse_us: float | None = None


class LedChange(Struct, frozen=True):
    """The colours sent to a chain of addressable LEDs: (red, green, blue) of each, 0 to 255."""

    t_ms: float
    pin: int
    colors: tuple[tuple[int, int, int], ...]


class PwmLog(Struct, frozen=True):
    """PWM changes since a cursor."""

    changes: tuple[PwmChange, ...]
    cursor: int


class LogLine(Struct, frozen=True):
    """A line of a log.

    `t_ms` is the board's time; `at_ms` when the line reached this host, in Unix time, or None if unknown.
    """

    t_ms: float
    app: str | None
    text: str
    at_ms: int | None = None


class ConsoleLines(Struct, frozen=True):
    lines: tuple[LogLine, ...]
    cursor: int
    dropped: int


class ConsoleLine(Struct, frozen=True):
    """A line of a board's serial console, by any program or by the firmware. `n` is this host's count."""

    n: int
    at_ms: int
    text: str


class ConsolePage(Struct, frozen=True):
    """Lines of a console.

    `open_ms`: for how long the port has been open. `problem`: why it closed again.
    """

    lines: tuple[ConsoleLine, ...]
    cursor: int
    dropped: int
    open_ms: int
    problem: str | None


class AppRuns(Struct, frozen=True):
    """The runs of a program that a board runs at an interval or for a time; all times are in ms.

    `last_how`: returned, exited, stopped or trapped. `missed`: times at which the former run had not ended.
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

    `state` is loaded, running, returned, exited or trapped; waiting between two runs.
    `sha256` is of the program's bytes, in hex; None if the board does not report it.
    """

    name: str
    state: str
    error: str | None
    heap_bytes: int
    peak_heap_bytes: int
    peak_stack_bytes: int
    pins: tuple[int, ...]
    runs: AppRuns | None = None
    sha256: str | None = None

    @property
    def last_end(self) -> str | None:
        """How the last run ended, if the program waits for its next run; else the state."""
        if self.state == "waiting" and self.runs is not None:
            return self.runs.last_how
        return self.state

    @property
    def has_failed(self) -> bool:
        """Whether it ended by an error, or waits for its next run after a failed run."""
        return self.last_end == "trapped"


class AppEntry(Struct, frozen=True):
    """A program in the board's list. `state` is None if the list does not have it; AppStates may."""

    name: str
    heap_bytes: int
    state: AppState | None = None


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
    """Read an I2C sensor that the firmware has a driver for, by the name of its part (hardware/parts)."""

    method = "i2c.read"
    sensor: str


class I2cAddresses(Struct, frozen=True):
    addresses: tuple[int, ...]


class I2cScan(Call[I2cAddresses], frozen=True):
    method = "i2c.scan"


class DeviceInfo(Call[DeviceFacts], frozen=True):
    method = "device.info"


class DeviceStatusRead(Call[DeviceFacts], frozen=True):
    method = "device.status"


class Restart(Struct, frozen=True):
    """A completed restart: the board is back in another boot, `seconds` after the request."""

    seconds: float


class DeviceRestart(Call[Restart], frozen=True):
    """Restart the device; the answer comes when it is back. OutcomeUnknown if it has not come back in time."""

    method = "device.restart"
    idempotent = False


class WifiTrial(Struct, frozen=True):
    """The trial of a new network. `state`: trying, kept, failed; `seconds` is how long the board tries it."""

    ssid: str
    state: str
    why: str | None = None
    seconds: int | None = None


class BoardNetworks(Struct, frozen=True):
    """The networks that a board knows, the first to try in front; `ssid` is the network that it uses."""

    networks: tuple[str, ...]
    ssid: str | None = None
    trial: WifiTrial | None = None


class WifiList(Call[BoardNetworks], frozen=True):
    method = "wifi.list"


class WifiSet(Call[WifiTrial], frozen=True):
    """Try another network. The board answers first, and goes back to the former network if it cannot reach the host.

    `later`: only store it, for a network that is not in range yet.
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
    """Load a program under a name that is free on the device. An answer means only that it is loaded.

    `code` is a wasm module, or an .mpy file. `timers` and `watchdog_ms` are for WASMachine only, `every_ms` and
    `stop_after_ms` for boards that run programs at intervals by themselves. None: it runs without an end. `network`:
    the hosts that it may talk to and the ports that it may open. `autostart`: begun again when the board restarts.
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
    network: NetworkUse = NO_NETWORK
    autostart: bool = True


class AppUninstall(Call[None], frozen=True):
    method = "apps.remove"
    idempotent = False
    name: str


class AppStart(Call[None], frozen=True):
    method = "apps.start"
    idempotent = False
    name: str


class AppStop(Call[None], frozen=True):
    """Stop an app, which stays on the device."""

    method = "apps.stop"
    idempotent = False
    name: str


class AppUndo(Call[None], frozen=True):
    """Go back to the version of the app that the device itself kept."""

    method = "apps.undo"
    idempotent = False
    name: str


class AppList(Call[tuple[AppEntry, ...]], frozen=True):
    method = "apps.list"


class AppRequest(Call[AppReply], frozen=True):
    """Send a request to an app, under /app/NAME/url."""

    method = "apps.request"
    name: str
    url: str
    values: Mapping[str, str | int | float | bool]


class AppPage(Call[bytes], frozen=True):
    """Send one whole HTTP request to an app, and return its whole HTTP answer, as the app wrote it."""

    method = "apps.page"
    idempotent = False
    name: str
    request: bytes


def silent_page_error(name: str) -> ProgramSilent:
    """Return the error of a program that gave no answer for its page in time."""
    return ProgramSilent(f"{name} gave no answer in time", next_step="see what it printed: microclaw logs")


class EdgesRead(Call[EdgeLog], frozen=True):
    """Read the edges that the board counted since `cursor`; only boards that report pins offer it."""

    method = "edges.read"
    cursor: int = 0


class PwmRead(Call[PwmLog], frozen=True):
    """Read the PWM changes that the board noted since `cursor`; only boards that report pins offer it."""

    method = "pwm.read"
    cursor: int = 0


class PartsRead(Call[PartPage], frozen=True):
    """Read the states of wired parts and of pins that changed since `cursor`; only virtual boards offer it."""

    method = "parts.read"
    cursor: int = 0


class LogsRead(Call[ConsoleLines], frozen=True):
    method = "logs.read"
    cursor: int = 0


class ConsoleRead(Call[ConsolePage], frozen=True):
    """Read the console, and open its port first if needed. Earlier lines are lost."""

    method = "console.read"
    cursor: int = 0


class AppStates(Call[tuple[AppState, ...]], frozen=True):
    method = "apps.states"


CALLS: Final[Mapping[str, type[Call[Any]]]] = {kind.method: kind for kind in Call.__subclasses__()}
