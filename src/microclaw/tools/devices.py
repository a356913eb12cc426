"""Tools that list devices, read and set their pins at once, notify, show facts and undo. They install nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from pydantic import Field

from microclaw.apps.changes import Change, conversation_now
from microclaw.apps.direct_io import PinChange
from microclaw.apps.parts import Apps
from microclaw.apps.reconciler import check_device as examined
from microclaw.apps.undo import UndoChoice
from microclaw.apps.undoable import change_text
from microclaw.auth.gate import Effect, Permission
from microclaw.boards.firmware import firmware_object
from microclaw.devices.call_text import call_words
from microclaw.devices.calls import (
    DEFAULT_PWM_HZ,
    MAX_DUTY,
    AdcRead,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceRestart,
    DeviceStatus,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cRead,
    I2cScan,
    PwmSet,
    PwmState,
)
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.errors import NotSupported, ToolFailed
from microclaw.events import Edge, Evidence, EvidenceKind
from microclaw.tools.target import DEVICE_HELP, Describe, OnDevice, Words, describe_device, find_device
from microclaw.tools.tool import Parameters, Tool, ToolContext, ToolOutput

if TYPE_CHECKING:
    from microclaw.link_server.server import LinkServer


MAX_PAGES: Final = 64
_TAKES_BACK: Final = "takes back: "


class EdgesParameters(OnDevice):
    pin: int | None = Field(None, ge=0, le=255, description="Only this pin.")
    cursor: int = Field(0, ge=0, description="Where an earlier reading ended; 0: from the oldest that is kept.")
    last: int = Field(50, ge=1, le=200, description="The newest so many.")


def edge_tools(*, devices: Registry) -> tuple[Tool[Any], ...]:
    """read-edges."""

    async def read_edges(asked: EdgesParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        found: list[Edge] = []
        cursor, dropped = asked.cursor, 0
        for _ in range(MAX_PAGES):
            page = await device.call(EdgesRead(cursor=cursor))
            found += [edge for edge in page.edges if asked.pin in (None, edge.pin)]
            dropped += page.dropped
            if not page.edges or page.cursor == cursor:
                break
            cursor = page.cursor
        kept = found[-asked.last :]
        fields = {
            "success": True,
            "device": device.name,
            "edges": [[round(edge.t_ms, 1), edge.pin, edge.level] for edge in kept],
            "count": len(found),
            "dropped": dropped,
            "cursor": cursor,
            "now_ms": page.now_ms,
        }
        pins = sorted({edge.pin for edge in found})
        where = f" on pin {', '.join(map(str, pins))}" if pins else ""
        return ToolOutput(fields, (Evidence("counted", f"{len(found)} edges{where}, counted by {device.name}"),))

    text = "When which pin of a device changed its level: [milliseconds, pin, level]. Only boards that count edges."
    return (Tool("read-edges", text, EdgesParameters, Permission.READ, Effect.READ, read_edges),)


class _OnPin(OnDevice):
    pin: int = Field(ge=0, le=255, description="GPIO number.")


class SetParameters(_OnPin):
    level: Literal[0, 1] = Field(description="1 is high, 0 is low.")


class PwmParameters(_OnPin):
    duty: int = Field(ge=0, le=MAX_DUTY, description=f"0 is off, {MAX_DUTY} is full.")
    frequency_hz: int = Field(DEFAULT_PWM_HZ, ge=1, le=40_000_000)


class AdcParameters(_OnPin):
    pass


class _OnPins(TypedDict):
    describe: Describe | None
    objections: Describe
    words: Words


class SensorParameters(OnDevice):
    sensor: str = Field(
        pattern=r"^[a-z0-9_]{1,32}$",
        description="bme280 gives temperature, humidity, pressure; ina219 gives voltage, current, power.",
    )


def direct_io_tools(apps: Apps) -> tuple[Tool[Any], ...]:
    """gpio-set, gpio-get, adc-read, pwm-set, i2c-scan, i2c-read."""
    devices, direct_io = apps.registry, apps.direct_io

    async def gpio_set(asked: SetParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        stopped = await stop_driver(apps, device.name, _pin_call(asked), context)
        done = await direct_io.set_pin(device.name, asked.pin, asked.level, insist=context.insisted)
        return _pin_output(done, stopped)

    async def pwm_set(asked: PwmParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        stopped = await stop_driver(apps, device.name, _pin_call(asked), context)
        done = await direct_io.set_pwm(device.name, asked.pin, asked.duty, asked.frequency_hz, insist=context.insisted)
        return _pin_output(done, stopped)

    async def objections(asked: _OnPin, context: ToolContext) -> tuple[str, ...]:
        """The program that has the pin. Raises PinRefused for a pin that the board forbids."""
        device, call = find_device(devices, context, asked.device), _pin_call(asked)
        conflict = await direct_io.conflict(device.name, call)
        if conflict is None:
            return ()
        return (conflict.offer() if isinstance(call, GpioSet | PwmSet) else conflict.objection(),)

    async def gpio_get(asked: _OnPin, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        got = await device.call(GpioGet(asked.pin))
        return _read(device, GpioGet, f"pin {got.pin} reads {got.level}", pin=got.pin, level=got.level)

    async def adc_read(asked: AdcParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        got = await device.call(AdcRead(asked.pin))
        text = f"ADC pin {got.pin} reads {got.volts:.3f} V (raw {got.raw})"
        return _read(device, AdcRead, text, pin=got.pin, volts=round(got.volts, 4), raw=got.raw)

    async def i2c_scan(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        found = (await device.call(I2cScan())).addresses
        names = {address: name for name, address in device.board.i2c.sensors.items()} if device.board.i2c else {}
        shown = [{"address": f"0x{a:02x}"} | ({"sensor": names[a]} if a in names else {}) for a in found]
        text = ", ".join(" ".join(s.values()) for s in shown) or "nobody answers"
        return _read(device, I2cScan, f"I2C: {text}", addresses=shown)

    async def i2c_read(asked: SensorParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        got = await device.call(I2cRead(asked.sensor))
        if not got.values:
            raise ToolFailed(f"{device.name} answered without a value for {asked.sensor}", next_step="scan the I2C bus")
        values = {name: round(value, 3) for name, value in got.values.items()}
        return _read(device, I2cRead, f"read from {got.sensor} on {device.name}", sensor=got.sensor, values=values)

    def words(asked: _OnPin, context: ToolContext, _: Sequence[str]) -> str:
        return call_words(_pin_call(asked), find_device(devices, context, asked.device).name)

    describe = describe_device(devices)
    acts: _OnPins = {"describe": describe, "objections": objections, "words": words}
    reads: _OnPins = {"describe": None, "objections": objections, "words": words}
    return (
        _tool("gpio-set", "Set a pin high or low now.", SetParameters, gpio_set, **acts),
        _tool("gpio-get", "Read a pin's level now.", _OnPin, gpio_get, **reads),
        _tool("adc-read", "Measure the voltage at an ADC pin now.", AdcParameters, adc_read, **reads),
        _tool("pwm-set", "Drive a pin with PWM now (brightness, speed).", PwmParameters, pwm_set, **acts),
        _tool("i2c-scan", "Find which addresses answer on the I2C bus.", OnDevice, i2c_scan),
        _tool("i2c-read", "Read a sensor now.", SensorParameters, i2c_read),
    )


async def stop_driver(apps: Apps, device: str, call: Call[Any], context: ToolContext) -> str | None:
    """Stop the program that drives the pin, where the person said yes to that; its name."""
    conflict = await apps.direct_io.conflict(device, call)
    if conflict is None or not conflict.can_stop or conflict.offer() not in context.insisted:
        return None
    await apps.lifecycle.stop(device, conflict.app, context.report)
    return conflict.app


def _tool(
    name: str,
    description: str,
    parameters: type[Any],
    run: Callable[[Any, ToolContext], Awaitable[ToolOutput]],
    describe: Describe | None = None,
    objections: Describe | None = None,
    words: Words | None = None,
) -> Tool[Any]:
    """With `describe` the tool acts, without it only reads."""
    permission, effect = (Permission.READ, Effect.READ) if describe is None else (Permission.ACT, Effect.IDEMPOTENT)
    return Tool(
        name, description, parameters, permission, effect, run, describe=describe, objections=objections, words=words
    )


def _pin_call(asked: _OnPin) -> Call[Any]:
    match asked:
        case SetParameters():
            return GpioSet(asked.pin, asked.level)
        case PwmParameters():
            return PwmSet(asked.pin, asked.duty, asked.frequency_hz)
        case AdcParameters():
            return AdcRead(asked.pin)
        case _:
            return GpioGet(asked.pin)


def _pin_output(change: PinChange, stopped: str | None) -> ToolOutput:
    state = change.state
    fields: dict[str, Any] = {
        "success": True,
        "device": change.device_name,
        "pin": state.pin,
        "change": change.change_id,
    }
    if isinstance(state, PwmState):
        fields |= {"duty": state.duty, "frequency_hz": state.frequency_hz}
    else:
        fields["level"] = state.level
    if change.warning:
        fields["warning"] = change.warning
    if stopped is not None:
        fields["stopped"] = stopped
    return ToolOutput(fields, (change.evidence,))


def _read(device: Device, call: type[Call[Any]], text: str, **fields: Any) -> ToolOutput:
    kind: EvidenceKind = device.evidence_of(call.method) or "reported"
    return ToolOutput({"success": True, "device": device.name, **fields}, (Evidence(kind, text),))


class NotifyParameters(Parameters):
    text: str = Field(min_length=1, max_length=2000)
    device: str | None = Field(None, description=DEVICE_HELP)
    speak: bool = Field(False, description="Say it aloud, where the device can.")
    expires_s: int | None = Field(None, ge=1, description="Worth nothing after so many seconds.")


def notifying_tools(*, notifier: LinkServer, devices: Registry) -> tuple[Tool[Any], ...]:
    """notify."""

    async def check(asked: NotifyParameters, context: ToolContext) -> None:
        notifier.check_note(find_device(devices, context, asked.device).name, asked.text)

    async def notify(asked: NotifyParameters, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        state = await notifier.notify(device.name, asked.text, speak=asked.speak, expires_s=asked.expires_s)
        if state == "delivered":
            evidence = Evidence("reported", f"{device.name} says that it has the note")
        else:
            evidence = Evidence("accepted", f"kept for {device.name}, which is not connected")
        return ToolOutput({"success": True, "device": device.name, "state": state}, (evidence,))

    def words(asked: NotifyParameters, context: ToolContext, _: Sequence[str]) -> str:
        verb = "say" if asked.speak else "show"
        return f'{verb} on {find_device(devices, context, asked.device).name}: "{asked.text}"'

    text = "Show or say a text on a device, now or when it comes back."
    return (
        Tool(
            "notify",
            text,
            NotifyParameters,
            Permission.ACT,
            Effect.ONCE,
            notify,
            describe=describe_device(devices),
            check=check,
            words=words,
        ),
    )


class _Nothing(Parameters):
    pass


class UndoParameters(OnDevice):
    change: int | None = Field(None, ge=1, description="A change's number; left out: all of the newest request.")
    anyone: bool = Field(False, description="Also what other people did; for an owner who asks for it.")


def inventory_tools(apps: Apps, link: LinkServer | None) -> tuple[Tool[Any], ...]:
    """list-devices, device-info, device-status, check-device, undo."""
    devices, undo = apps.registry, apps.undo

    async def list_devices(_: _Nothing, __: ToolContext) -> ToolOutput:
        known = [_entry(device) for device in devices.list()]
        return ToolOutput({"success": True, "devices": known, "count": len(known)})

    async def device_info(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        return await _facts(device, DeviceInfo())

    async def device_status(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        return await _facts(device, DeviceStatus())

    async def check_device(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        found = await examined(device, link, apps.reconciler.status())
        lines = [asdict(line) for line in found.lines]
        evidence = Evidence("reported", f"{device.name} {'answered' if found.reached else 'did not answer'} just now")
        fields = {"success": True, "device": device.name, "reached": found.reached, "ok": found.ok, "lines": lines}
        return ToolOutput(fields, (evidence,))

    def choice(asked: UndoParameters, context: ToolContext) -> UndoChoice:
        chats = context.device if asked.change is None else None
        if chats and not devices.get(chats).board.pins:
            chats = None  # it is only spoken to: what is said to it was done on others
        reference = asked.device or chats
        device_id = devices.get(reference).device_id if reference else None
        # `whole`: only a device that was named limits the undo to itself
        return UndoChoice(
            context.person_id, asked.change, device_id, asked.device is None, asked.anyone, conversation_now()
        )

    async def describe(asked: UndoParameters, context: ToolContext) -> tuple[str, ...]:
        changes = await undo.chosen(choice(asked, context))
        names = {device.device_id: device.name for device in devices.list()}
        return tuple(_undo_text(change, names.get(change.device_id, change.device_id)) for change in changes)

    def words(asked: UndoParameters, _: ToolContext, described: Sequence[str]) -> str:
        """What would be taken back, as it is described; of a planned undo nobody knows yet."""
        if described:
            return f"undo: {'; '.join(line.removeprefix(_TAKES_BACK) for line in described)}"
        return "undo what was done last" if asked.change is None else f"undo change {asked.change}"

    async def take_back(asked: UndoParameters, context: ToolContext) -> ToolOutput:
        done = await undo.undo(choice(asked, context), context.report)
        fields = {
            "success": True,
            "undone": "; ".join(one.undone.summary for one in done.taken),
            "change": done.taken[0].by.change_id,
            "changes": [one.by.change_id for one in done.taken],
            "message": done.text,
        }
        return ToolOutput(fields, tuple(one.evidence for one in done.taken))

    read, once = (Permission.READ, Effect.READ), (Permission.ACT, Effect.ONCE)
    text = "Take back all that the last request changed on devices (programs, pins) at once, or a numbered change."
    return (
        Tool("list-devices", "List the devices this host knows.", _Nothing, *read, list_devices),
        Tool("device-info", "What a device is: chip, firmware, board.", OnDevice, *read, device_info),
        Tool("device-status", "How a device is: uptime, memory, network.", OnDevice, *read, device_status),
        Tool("check-device", "Reach a device now: how it answers, and what is wrong.", OnDevice, *read, check_device),
        Tool("undo", text, UndoParameters, *once, take_back, describe=describe, words=words),
    )


def restart_tool(*, devices: Registry) -> Tool[OnDevice]:
    """restart-device."""

    async def check(asked: OnDevice, context: ToolContext) -> None:
        find_device(devices, context, asked.device).transport_for(DeviceRestart.method)

    async def restart(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        seconds = (await device.call(DeviceRestart())).seconds
        text = f"it came back in another boot {seconds:g} s after it was asked"
        fields = {"success": True, "device": device.name, "message": f"restarted {device.name}"}
        return ToolOutput(fields, (Evidence("reported", text),))

    def words(asked: OnDevice, context: ToolContext, _: Sequence[str]) -> str:
        return call_words(DeviceRestart(), find_device(devices, context, asked.device).name)

    return Tool(
        "restart-device",
        "Restart a whole device; what it holds only in memory is lost.",
        OnDevice,
        Permission.RISKY,
        Effect.ONCE,
        restart,
        describe=describe_device(devices),
        check=check,
        words=words,
    )


def _undo_text(change: Change, device: str) -> str:
    if change.inverse is None:
        return f"stays: {change_text(change)}, on {device}: what was before it is not known"
    return f"{_TAKES_BACK}{change_text(change)}, on {device}"


def _entry(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "board": device.board.title,
        "transports": list(device.endpoints),
        "labels": list(device.labels),
    }


async def _facts(device: Device, call: DeviceInfo | DeviceStatus) -> ToolOutput:
    """The board profile and what the device reports of itself; the profile alone when no transport can ask it."""
    fields: dict[str, Any] = {"success": True, "device": device.name, "board": device.board.title}
    fields |= {"chip": device.board.chip, "flash_mb": device.board.flash_mb, "psram_mb": device.board.psram_mb}
    fields["firmware"] = firmware_object(device.board.firmware)
    try:
        facts: DeviceFacts = await device.call(call)
    except NotSupported as exc:
        fields["message"] = f"{exc.message}: only the board profile is known"
        return ToolOutput(fields)
    kind = device.evidence_of(call.method) or "reported"
    evidence = Evidence(kind, f"reported by {device.name} itself")
    return ToolOutput({**fields, "facts": dict(facts.values)}, (evidence,))
