"""The MCP server over the host's tools: lists and calls them, shows pin timelines. It has no tool and no transport."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError

from microclaw import __version__
from microclaw.errors import MicroclawError
from microclaw.mcp.server.calls import Context, Follower, HostCalls, Reporter
from microclaw.mcp.server.first_answer import INSTRUCTIONS, NAME, TITLE
from microclaw.mcp.server.resources import TEMPLATES, TrialStore, list_resources, read_resource, trial_link
from microclaw.mcp.server.service import Caller, Service

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_WHOLE: Final = {"type": "integer"}
_TRUTH: Final = {"type": "boolean"}
_LIST: Final = {"type": "array"}  # a list that was cut to fit ends with a text that says so
_MAYBE_TEXT: Final = {"type": ["string", "null"]}

EVIDENCE: Final[dict[str, Any]] = {
    "type": "array",
    "description": "How this is known.",
    "items": {
        "type": "object",
        "properties": {
            "kind": {
                "enum": ["counted", "reported", "accepted"],
                "description": "counted: edges or levels read at the pins; reported: the board's or program's own "
                "words; accepted: the firmware took it and offers no read-back.",
            },
            "text": _TEXT,
            "edges": {
                "type": "array",
                "description": "Level changes as [milliseconds, pin, level].",
                "items": {"type": "array", "items": _NUMBER, "minItems": 3, "maxItems": 3},
            },
        },
        "required": ["kind", "text"],
    },
}


@dataclass(frozen=True, slots=True)
class Form:
    """`output`: fields of the result beside `success`, `evidence`; `destroys`: takes something away or replaces it."""

    title: str
    output: Mapping[str, Any] = field(default_factory=dict)
    destroys: bool = False
    open_world: bool = False


_DEVICE: Final = {"device": _TEXT}
_PROGRAM: Final = {**_DEVICE, "deviceIp": _TEXT, "appName": _TEXT, "change": _WHOLE, "message": _TEXT}
_FACTS: Final = {**_DEVICE, "board": _TEXT, "chip": _TEXT, "facts": {"type": "object"}, "message": _TEXT}
_TRIED: Final = {
    "summary": _TEXT,
    "ended": _TEXT,
    "pins": _LIST,
    "edges": {**_LIST, "description": "Level changes as [milliseconds, pin, level]."},
    "edge_count": _WHOLE,
    "log": _LIST,
    "binarySize": _WHOLE,
    "peak_heap_bytes": {"type": ["integer", "null"]},
    "warnings": _LIST,
    "error": _MAYBE_TEXT,
    "next": _MAYBE_TEXT,
}

# The tools of a developer's assistant, in the order in which they are listed; it has its own web, files and memory.
FORMS: Final[dict[str, Form]] = {
    "list-devices": Form("List devices", {"devices": _LIST, "count": _WHOLE}),
    "device-info": Form("Device facts", _FACTS),
    "device-status": Form("Device status", _FACTS),
    "query-wasm-apps": Form("List programs", {**_DEVICE, "apps": _LIST, "count": _WHOLE, "missing": _LIST}),
    "read-edges": Form(
        "Read pin timeline",
        {**_DEVICE, "edges": _LIST, "count": _WHOLE, "dropped": _WHOLE, "cursor": _WHOLE, "now_ms": _NUMBER},
    ),
    "read-logs": Form("Read logs", {**_DEVICE, "count": _WHOLE, "lines": _TEXT}),
    "gpio-get": Form("Read a pin", {**_DEVICE, "pin": _WHOLE, "level": _WHOLE}),
    "adc-read": Form("Measure a voltage", {**_DEVICE, "pin": _WHOLE, "volts": _NUMBER, "raw": _WHOLE}),
    "i2c-scan": Form("Scan the I2C bus", {**_DEVICE, "addresses": _LIST}),
    "i2c-read": Form("Read a sensor", {**_DEVICE, "sensor": _TEXT, "values": {"type": "object"}}),
    "gpio-set": Form("Set a pin", {**_DEVICE, "pin": _WHOLE, "level": _WHOLE, "change": {"type": ["integer", "null"]}}),
    "pwm-set": Form(
        "Drive a pin with PWM",
        {
            **_DEVICE,
            "pin": _WHOLE,
            "duty": _WHOLE,
            "frequency_hz": _WHOLE,
            "change": {"type": ["integer", "null"]},
        },
    ),
    "try-program": Form("Try a program on a virtual board", _TRIED),
    "deploy-wasm-app": Form(
        "Deploy a program",
        {
            **_PROGRAM,
            "binarySize": _WHOLE,
            "heapSize": _WHOLE,
            "pins": _LIST,
            "replaced": _TRUTH,
            "verified": _TRUTH,
            "trial": _TEXT,
            "log": _LIST,
            "warnings": _LIST,
        },
        destroys=True,  # a program of the same name is replaced
    ),
    "uninstall-wasm-app": Form("Remove a program", {**_PROGRAM, "undoable": _TRUTH}, destroys=True),
    "undo": Form(
        "Undo the newest request",
        {"undone": _TEXT, "change": _WHOLE, "changes": _LIST, "message": _TEXT},
        destroys=True,
    ),
    "notify": Form("Notify on a device", {**_DEVICE, "state": _TEXT}),
}

# Clients that read no resources write programs from this.
C_API: Final = (
    ' The program includes "microclaw.h". Pins: int gpio_open(int pin, GPIO_IN|GPIO_OUT|GPIO_PULLUP|GPIO_PULLDOWN), '
    "gpio_set(gpio, level), gpio_get(gpio), gpio_toggle(gpio). Time: every(ms, fn), after(ms, fn), cancel(timer), "
    "millis(). PWM: pwm_open(pin, hz), pwm_set(pwm, duty 0-255). I2C: i2c_open(sda, scl), i2c_read_reg(i2c, address, "
    "reg, data, size), i2c_write_reg(...), bme280_read(i2c, address, &out), ina219_read(i2c, address, &out). Output: "
    "printf, log. BOARD_LED_PIN, BOARD_LED_ON. Define void on_init(void): open pins, start timers, return; or int "
    "main(void), which may loop and waits with delay(ms)."
)


def tools_from(listed: list[dict[str, Any]], *, every: bool) -> list[types.Tool]:
    """The host's GET /v1/tools as MCP tools; `every`: those for the host's own agent, too."""
    known = {str(tool["name"]): tool for tool in listed}
    names = [name for name in FORMS if name in known]
    if every:
        names += [name for name, tool in known.items() if name not in FORMS and tool.get("skill") is None]
    return [_tool(known[name], FORMS.get(name) or _form_of(known[name])) for name in names]


def offered(name: str, *, every: bool) -> bool:
    return every or name in FORMS


def _form_of(tool: Mapping[str, Any]) -> Form:
    """The form of an unknown tool: it counts as harmful unless it is known to be harmless."""
    title = str(tool["name"]).replace("-", " ").replace("_", " ").capitalize()
    return Form(title, destroys=tool["permission"] == "risky", open_world=bool(tool.get("foreign")))


def _tool(tool: Mapping[str, Any], form: Form) -> types.Tool:
    reads = tool["permission"] == "read"
    return types.Tool(
        name=tool["name"],
        title=form.title,
        description=tool["description"] + (C_API if tool["name"] == "try-program" else ""),
        input_schema=tool["schema"],
        output_schema={
            "type": "object",
            "properties": {"success": _TRUTH, **form.output, "evidence": EVIDENCE},
            "additionalProperties": True,
        },
        annotations=types.ToolAnnotations(
            title=form.title,
            read_only_hint=reads,
            destructive_hint=form.destroys and not reads,
            idempotent_hint=tool["effect"] in ("read", "idempotent"),
            open_world_hint=form.open_world,
        ),
    )


@asynccontextmanager
async def mcp_server(service: Service, *, every_tool: bool = False) -> AsyncIterator[Server[Any]]:
    """A server whose requests go to the host through `service`; leaving ends the calls that still run."""
    async with HostCalls() as calls:
        yield _Handlers(service, calls, TrialStore(), every_tool).server()


@dataclass(frozen=True, slots=True)
class _Handlers:
    service: Service
    calls: HostCalls
    trials: TrialStore
    every_tool: bool

    def server(self) -> Server[Any]:
        server: Server[Any] = Server(
            NAME,
            version=__version__,
            title=TITLE,
            instructions=INSTRUCTIONS,
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resources=self.list_resources,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
        )
        server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, _set_level)
        return server

    async def list_tools(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        with _protocol_errors():
            caller = await self.service.caller(context)
            listed = await caller.host.get("/v1/tools")
        return types.ListToolsResult(tools=tools_from(listed["tools"], every=self.every_tool))

    async def call_tool(
        self, context: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        reporter = Reporter(context)
        try:
            if not offered(params.name, every=self.every_tool):
                raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name[:80]!r}; tools/list has them")
            async with reporter.telling("the host is starting"):
                caller = await self.service.caller(context)
            result = await Follower(context, self.calls, caller, reporter).follow(params)
        except MicroclawError as exc:
            return _failed(exc.message, exc.next_step)
        return result if isinstance(result, types.InputRequiredResult) else self._result(caller, params.name, result)

    async def list_resources(
        self, context: Context, _: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        with _protocol_errors():
            caller = await self.service.caller(context)
            return types.ListResourcesResult(resources=await list_resources(caller, self.trials))

    async def list_templates(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=list(TEMPLATES))

    async def read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        with _protocol_errors():
            caller = await self.service.caller(context)
        with _protocol_errors(types.INVALID_PARAMS):
            content = await read_resource(caller, self.trials, str(params.uri))
        return types.ReadResourceResult(contents=[content])

    def _result(self, caller: Caller, tool: str, result: dict[str, Any]) -> types.CallToolResult:
        content = dict(result["content"])
        if not result["ok"]:
            message = str(content.get("message") or content.get("error") or "it failed")
            return _failed(message, result["next"], content.get("diagnostics", ()))
        blocks: list[types.ContentBlock] = [types.TextContent(type="text", text=_dump(content))]
        trial_id = self.trials.keep(caller.owner, tool, result)
        if trial_id is not None:
            blocks.append(trial_link(trial_id))
        return types.CallToolResult(content=blocks, structured_content={**content, "evidence": result["evidence"]})


async def _set_level(_: Context, __: types.SetLevelRequestParams) -> types.EmptyResult:
    """Only what a person must know is logged, at `notice`; there is nothing to leave out."""
    return types.EmptyResult()


def _failed(message: str, next_step: str | None, diagnostics: Any = ()) -> types.CallToolResult:
    """What went wrong and what to do about it, as text that a model reads."""
    lines = [str(text) for text in diagnostics]
    if not any(text.startswith(message) for text in lines):
        lines.insert(0, message)
    if next_step:
        lines.append(f"next: {next_step}")
    return types.CallToolResult(content=[types.TextContent(type="text", text="\n".join(lines))], is_error=True)


@contextmanager
def _protocol_errors(code: int = types.INTERNAL_ERROR) -> Iterator[None]:
    """The host's errors as the protocol's."""
    try:
        yield
    except MicroclawError as exc:
        text = exc.message if not exc.next_step else f"{exc.message} (next: {exc.next_step})"
        raise MCPError(code, text) from exc


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
