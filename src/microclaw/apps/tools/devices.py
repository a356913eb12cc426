"""Tools that list devices, read and set their pins at once, notify, show facts and undo. They install nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta, structs

from microclaw.apps.change_log import Change, maker_now
from microclaw.apps.deployment import ChangeRequest
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
    AdcReading,
    Call,
    DeviceFacts,
    DeviceInfo,
    DeviceRestart,
    DeviceStatus,
    EdgesRead,
    GpioGet,
    GpioSet,
    I2cAddresses,
    I2cRead,
    I2cScan,
    PinLevel,
    PwmSet,
    PwmState,
    Restart,
    SensorReading,
)
from microclaw.devices.device import Device
from microclaw.devices.registry import Registry
from microclaw.devices.target import DEVICE_HELP, OnDevice, describe_device, find_device
from microclaw.errors import NotSupported, ToolFailed
from microclaw.events import Edge, Evidence, EvidenceKind
from microclaw.operations.tool import Parameters, Tool, ToolContext, ToolOutput

if TYPE_CHECKING:
    from microclaw.link_server.server import LinkServer


MAX_PAGES: Final = 64
_TAKES_BACK: Final = "takes back: "


class EdgesParameters(OnDevice, kw_only=True):
    pin: Annotated[int, Meta(ge=0, le=255, description="Only this pin.")] | None = None
    cursor: Annotated[
        int, Meta(ge=0, description="Where an earlier reading ended; 0: from the oldest that is kept.")
    ] = 0
    last: Annotated[int, Meta(ge=1, le=200, description="The newest so many.")] = 50


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


class _Calling(OnDevice, kw_only=True):
    """Arguments of one call of a device."""

    makes: ClassVar[type[Call[Any]]]

    def call(self) -> Call[Any]:
        return self.makes(**{name: value for name, value in structs.asdict(self).items() if name != "device"})


class _OnPin(_Calling, kw_only=True):
    pin: Annotated[int, Meta(ge=0, le=255, description="GPIO number.")]


class GetParameters(_OnPin):
    makes = GpioGet


class SetParameters(_OnPin, kw_only=True):
    makes = GpioSet
    level: Annotated[Literal[0, 1], Meta(description="1 is high, 0 is low.")]


class PwmParameters(_OnPin, kw_only=True):
    makes = PwmSet
    duty: Annotated[int, Meta(ge=0, le=MAX_DUTY, description=f"0 is off, {MAX_DUTY} is full.")]
    frequency_hz: Annotated[int, Meta(ge=1, le=40_000_000)] = DEFAULT_PWM_HZ


class AdcParameters(_OnPin):
    makes = AdcRead


class ScanParameters(_Calling):
    makes = I2cScan


class SensorParameters(_Calling, kw_only=True):
    makes = I2cRead
    sensor: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9_]{1,32}$",
            description="bme280 gives temperature, humidity, pressure; ina219 gives voltage, current, power.",
        ),
    ]


class InfoParameters(_Calling):
    makes = DeviceInfo


class StatusParameters(_Calling):
    makes = DeviceStatus


class RestartParameters(_Calling):
    makes = DeviceRestart


def direct_io_tools(apps: Apps) -> tuple[Tool[Any], ...]:
    """gpio-set, gpio-get, adc-read, pwm-set, i2c-scan, i2c-read, device-info, device-status, restart-device."""
    devices, direct_io = apps.registry, apps.direct_io

    async def objections(asked: _OnPin, context: ToolContext) -> tuple[str, ...]:
        """The program that has the pin. Raises PinRefused for a pin that the board forbids."""
        device, call = find_device(devices, context, asked.device), asked.call()
        conflict = await direct_io.conflict(device.name, call)
        if conflict is None:
            return ()
        return (conflict.offer() if isinstance(call, GpioSet | PwmSet) else conflict.objection(),)

    def words(asked: _Calling, context: ToolContext, _: Sequence[str]) -> str:
        return call_words(asked.call(), find_device(devices, context, asked.device).name)

    async def set_pin(asked: _OnPin, context: ToolContext) -> ToolOutput:
        device, call = find_device(devices, context, asked.device), asked.call()
        stopped = await stop_driver(apps, device.name, call, context)
        assert isinstance(call, GpioSet | PwmSet)
        made = await direct_io.act(device.name, call, insist=context.insisted)
        also = {} if stopped is None else {"stopped": stopped}
        return ToolOutput({"success": True, **pin_fields(made), **also}, (made.evidence,))

    async def read(asked: _Calling, context: ToolContext) -> ToolOutput:
        device, call = find_device(devices, context, asked.device), asked.call()
        text, fields = _told(device, await device.call(call))
        kind: EvidenceKind = device.evidence_of(call.method) or "reported"
        return ToolOutput({"success": True, "device": device.name, **fields}, (Evidence(kind, text),))

    async def facts(asked: _Calling, context: ToolContext) -> ToolOutput:
        return await _facts(find_device(devices, context, asked.device), asked.call())

    async def check(asked: RestartParameters, context: ToolContext) -> None:
        find_device(devices, context, asked.device).transport_for(DeviceRestart.method)

    acts: dict[str, Any] = {"describe": describe_device(devices), "words": words}
    pins: dict[str, Any] = {"objections": objections, "words": words}
    look, act = (Permission.READ, Effect.READ), (Permission.ACT, Effect.IDEMPOTENT)
    restart = "Restart a whole device; what it holds only in memory is lost."
    return (
        Tool("gpio-set", "Set a pin high or low now.", SetParameters, *act, set_pin, **acts, objections=objections),
        Tool("gpio-get", "Read a pin's level now.", GetParameters, *look, read, **pins),
        Tool("adc-read", "Measure the voltage at an ADC pin now.", AdcParameters, *look, read, **pins),
        Tool(
            "pwm-set",
            "Drive a pin with PWM now (brightness, speed).",
            PwmParameters,
            *act,
            set_pin,
            **acts,
            objections=objections,
        ),
        Tool("i2c-scan", "Find which addresses answer on the I2C bus.", ScanParameters, *look, read),
        Tool("i2c-read", "Read a sensor now.", SensorParameters, *look, read),
        Tool("device-info", "What a device is: chip, firmware, board.", InfoParameters, *look, facts),
        Tool("device-status", "How a device is: uptime, memory, network.", StatusParameters, *look, facts),
        Tool("restart-device", restart, RestartParameters, Permission.RISKY, Effect.ONCE, read, check=check, **acts),
    )


def _told(device: Device, got: Any) -> tuple[str, dict[str, Any]]:
    """What a device answered, as a sentence and as fields."""
    match got:
        case PinLevel(pin=pin, level=level):
            return f"pin {pin} reads {level}", {"pin": pin, "level": level}
        case AdcReading(pin=pin, raw=raw, volts=volts):
            return f"ADC pin {pin} reads {volts:.3f} V (raw {raw})", {"pin": pin, "volts": round(volts, 4), "raw": raw}
        case I2cAddresses(addresses=addresses):
            names = {address: name for name, address in device.board.i2c.sensors.items()} if device.board.i2c else {}
            shown = [{"address": f"0x{a:02x}"} | ({"sensor": names[a]} if a in names else {}) for a in addresses]
            return f"I2C: {', '.join(' '.join(s.values()) for s in shown) or 'nobody answers'}", {"addresses": shown}
        case SensorReading(sensor=sensor, values=values):
            if not values:
                text = f"{device.name} answered without a value for {sensor}"
                raise ToolFailed(text, next_step="scan the I2C bus")
            rounded = {name: round(value, 3) for name, value in values.items()}
            return f"read from {sensor} on {device.name}", {"sensor": sensor, "values": rounded}
        case Restart(seconds=seconds):
            text = f"it came back in another boot {seconds:g} s after it was asked"
            return text, {"message": f"restarted {device.name}"}
    raise AssertionError(got)


async def stop_driver(apps: Apps, device: str, call: Call[Any], context: ToolContext) -> str | None:
    """Stop the program that drives the pin, where the person said yes to that; its name."""
    conflict = await apps.direct_io.conflict(device, call)
    if conflict is None or not conflict.can_stop or conflict.offer() not in context.insisted:
        return None
    await apps.changes.apply(ChangeRequest(device, conflict.app, "stop"), context.report)
    return conflict.app


def pin_fields(change: PinChange) -> dict[str, Any]:
    """What was set, for the model."""
    state = change.state
    fields: dict[str, Any] = {"device": change.device_name, "pin": state.pin, "change": change.change_id}
    if isinstance(state, PwmState):
        fields |= {"duty": state.duty, "frequency_hz": state.frequency_hz}
    else:
        fields["level"] = state.level
    return fields | ({"warning": change.warning} if change.warning else {})


class NotifyParameters(Parameters, kw_only=True):
    text: Annotated[str, Meta(min_length=1, max_length=2000)]
    device: Annotated[str, Meta(description=DEVICE_HELP)] | None = None
    speak: Annotated[bool, Meta(description="Say it aloud, where the device can.")] = False
    expires_s: Annotated[int, Meta(ge=1, description="Worth nothing after so many seconds.")] | None = None


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


class UndoParameters(OnDevice, kw_only=True):
    change: Annotated[int, Meta(ge=1, description="A change's number; left out: all of the newest request.")] | None = (
        None
    )
    anyone: Annotated[bool, Meta(description="Also what other people did; for an owner who asks for it.")] = False


def inventory_tools(apps: Apps, link: LinkServer | None) -> tuple[Tool[Any], ...]:
    """list-devices, check-device, undo."""
    devices, undo = apps.registry, apps.undo

    async def list_devices(_: _Nothing, __: ToolContext) -> ToolOutput:
        known = [_entry(device) for device in devices.list()]
        return ToolOutput({"success": True, "devices": known, "count": len(known)})

    async def check_device(asked: OnDevice, context: ToolContext) -> ToolOutput:
        device = find_device(devices, context, asked.device)
        found = await examined(device, link, apps.reconciler.status())
        lines = [structs.asdict(line) for line in found.findings]
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
            context.person_id, asked.change, device_id, asked.device is None, asked.anyone, maker_now().conversation
        )

    async def describe(asked: UndoParameters, context: ToolContext) -> tuple[str, ...]:
        changes = await undo.chosen(choice(asked, context))
        return undo_lines(devices, changes)

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
        Tool("check-device", "Reach a device now: how it answers, and what is wrong.", OnDevice, *read, check_device),
        Tool("undo", text, UndoParameters, *once, take_back, describe=describe, words=words),
    )


def undo_lines(devices: Registry, changes: Sequence[Change]) -> tuple[str, ...]:
    """What would be taken back on which device, and what stays."""
    names = {device.device_id: device.name for device in devices.list()}
    lines = []
    for change in changes:
        text = f"{change_text(change)}, on {names.get(change.device_id, change.device_id)}"
        stays = f"stays: {text}: what was before it is not known"
        lines.append(stays if change.inverse is None else f"{_TAKES_BACK}{text}")
    return tuple(lines)


def _entry(device: Device) -> dict[str, Any]:
    return {
        "name": device.name,
        "board": device.board.title,
        "transports": list(device.endpoints),
        "labels": list(device.labels),
    }


async def _facts(device: Device, call: Call[DeviceFacts]) -> ToolOutput:
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
