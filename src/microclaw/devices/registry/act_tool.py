"""Makes the tools of the declared operations on one device, in the forms that their declarations have for models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct
from msgspec.structs import replace

from microclaw.devices.registry.device import Device
from microclaw.devices.registry.registry import Registry
from microclaw.devices.registry.target import DeviceParameters, device_tool
from microclaw.errors import MicroclawError, ToolRetry
from microclaw.host.operations.forms import ToolForm
from microclaw.host.operations.operation import Operation, Parameter, Permission, load
from microclaw.host.operations.tool import PlannedTrial, Tool, ToolContext, ToolOutput, output_of

S = TypeVar("S")
HoldsProgram: TypeAlias = Callable[[str, str], Awaitable[bool]]
"""Returns True if the host has this program on the device with this id."""


class ToolUse(Struct, Generic[S], frozen=True):
    """A model's call of an operation on a device.

    `values` are the operation's parameters, `arguments` all that the model gave. `run` is the operation itself, for an
    output that needs more than one run of it.
    """

    service: S
    device: Device
    arguments: Any
    values: Mapping[str, Any]
    context: ToolContext
    run: Callable[..., Awaitable[Any]]


class AddressParameters(DeviceParameters, kw_only=True):
    """Arguments that name the device, or its address."""

    device_ip: Annotated[str, Meta(description="Its address instead of its name.")] | None = msgspec.field(
        name="deviceIp", default=None
    )


def act_tools(devices: Registry, services: Mapping[str, Any], holds: HoldsProgram) -> list[Tool[Any]]:
    """Make the tools of the operations on one device. `services` has the rooms' services by noun."""
    tools = []
    for noun, service in services.items():
        for act in load(noun):
            if act.tool is not None and act.tool.fields is not None:
                tools.append(_ActTool(devices, act, act.tool, service, holds).tool())
    return tools


class _ActTool(Struct, frozen=True):
    """An operation with the form of its tool, and the parts that the tool needs."""

    devices: Registry
    act: Operation[..., Any, Any]
    form: ToolForm
    service: Any
    holds: HoldsProgram

    def tool(self) -> Tool[Any]:
        act = self.act
        form = self.form
        hooks: dict[str, Any] = {}
        if act.before is not None:
            hooks["required_permission"] = self._weigh
        if form.describe is not None:
            hooks["describe"] = self._describe
        if form.try_planned is not None:
            hooks["try_planned"] = self._try_planned
        has_words = act.words is not None and not act.previews
        return device_tool(
            self.devices,
            form.name,
            form.about or " ".join(act.help.split()),
            _parameters(act, form),
            self._run,
            act.permission,
            act.does,
            words=self._words if has_words else None,
            has_preview=act.previews,
            complete=complete_device(self.devices, self.holds, form.finds) if form.finds else None,
            **hooks,
        )

    def _use(self, device: Device, arguments: Struct, context: ToolContext) -> ToolUse[Any]:
        values = _values(self.act, self.form, arguments) | {"device": device.device_id}
        own_context = replace(context, device=device.device_id)
        return ToolUse(self.service, device, arguments, values, own_context, self.act.own)

    async def _run(self, device: Device, arguments: Struct, context: ToolContext) -> ToolOutput:
        form = self.form
        use = self._use(device, arguments, context)
        try:
            result = await use.run(self.service, use.context, **use.values)
        except MicroclawError as exc:
            if form.failed is not None:
                await form.failed(use, exc)
            raise
        if form.output is None:
            return output_of(self.act, result)
        output: ToolOutput = await form.output(use, result)
        if not form.has_address:
            return output
        return replace(output, fields={"deviceIp": address_of(device), **output.fields})

    async def _weigh(self, device: Device, arguments: Struct, context: ToolContext) -> Permission:
        assert self.act.before is not None
        use = self._use(device, arguments, context)
        return await self.act.before(self.service, use.context, **use.values) or self.act.permission

    async def _describe(self, device: Device, arguments: Struct, context: ToolContext) -> Sequence[str]:
        assert self.form.describe is not None
        return await self.form.describe(self._use(device, arguments, context))

    async def _try_planned(self, device: Device, arguments: Struct, context: ToolContext) -> PlannedTrial:
        assert self.form.try_planned is not None
        trial: PlannedTrial = await self.form.try_planned(self._use(device, arguments, context))
        return trial

    def _words(self, device: Device, arguments: Struct) -> str:
        return self.act.asked(_values(self.act, self.form, arguments) | {"device": device.name})


def complete_device(devices: Registry, holds: HoldsProgram, field: str) -> Callable[[Any, ToolContext], Awaitable[Any]]:
    """Return a Tool.complete: it names the device of the program in the argument `field`.

    It does so only if no device is named and just one of several has the program.
    """

    async def complete(arguments: Any, context: ToolContext) -> Any:
        program = getattr(arguments, field)
        is_named = arguments.device or getattr(arguments, "device_ip", None) or context.device
        boards = [device for device in devices.list() if device.board.pins]
        if is_named or program is None or len(boards) < 2:
            return arguments
        holders = [device.name for device in boards if await holds(device.device_id, program)]
        if len(holders) == 1:
            return replace(arguments, device=holders[0])
        return arguments

    return complete


def address_of(device: Device) -> str:
    """Return the address of the device's WASMachine transport, or its name if it has no such transport."""
    for endpoint in device.endpoints:
        scheme, _, address = endpoint.partition("://")
        if scheme == "wasmachine":
            return address
    return device.name


def _values(act: Operation[..., Any, Any], form: ToolForm, arguments: Struct) -> dict[str, Any]:
    """Return the values of the operation's parameters. An optional one that is null or blank is left out.

    Raises ToolRetry if nothing of `one_of` is given.
    """
    assert form.fields is not None
    if form.one_of and all(getattr(arguments, name) is None for name in form.one_of):
        raise ToolRetry("nothing to set", next_step=f"give {' or '.join(form.one_of)}")
    values = {}
    for parameter in act.parameters:
        if parameter.name not in form.fields:
            continue
        value = getattr(arguments, form.fields[parameter.name])
        is_blank = value is None or (isinstance(value, str) and not value.strip())
        if is_blank and parameter.default is not msgspec.NODEFAULT:
            continue
        if parameter.option.reads is not None:
            value = parameter.option.reads(value)
        values[parameter.name] = value
    return values


def _parameters(act: Operation[..., Any, Any], form: ToolForm) -> type[Any]:
    assert form.fields is not None
    parameters = {parameter.name: parameter for parameter in act.parameters}
    fields = []
    for name, argument in form.fields.items():
        fields.append(_field(argument, parameters[name], form))
    for argument, (kind, default) in form.extra.items():
        fields.append((argument, kind, default))
    base = AddressParameters if form.has_address else DeviceParameters
    name = form.name.title().replace("-", "")
    return msgspec.defstruct(f"{name}Parameters", fields, bases=(base,), forbid_unknown_fields=True, kw_only=True)


def _field(argument: str, parameter: Parameter, form: ToolForm) -> tuple[str, Any, Any]:
    kind = form.kinds.get(parameter.name, parameter.told)
    default = parameter.default
    if parameter.name in form.required:
        default = msgspec.NODEFAULT
    elif default is UNSET:
        default = None
    return argument, kind, default
