"""`microclaw mcp`: one MCP client on stdin and stdout. It ends with the client.

In this order, so that the first answer comes at once: a host is started where there is none, the client's first line
is answered, and only then the MCP library is loaded.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from microclaw.errors import ProtocolError
from microclaw.mcp.attach import HostAttachment
from microclaw.mcp.opening import FirstAnswer, first_answer
from microclaw.mcp.wire import Wire

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream, ObjectSendStream
    from mcp.shared.message import SessionMessage

FIRST_LINE_S: Final = 0.25  # a client that sends nothing at first: the library is loaded meanwhile
FLUSH_S: Final = 1.0
_log = logging.getLogger(__name__)


def serve_stdio(home: Path, control_socket: Path, *, every_tool: bool = False) -> None:
    """Serve until the client closes stdin, or SIGTERM or SIGINT comes."""
    wire = Wire.claim()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="microclaw mcp: %(message)s")
    try:
        with HostAttachment(home, control_socket) as attachment:
            answered = _open(wire)
            asyncio.run(_serve(wire, answered, attachment, control_socket, every_tool))
    except* BrokenPipeError:
        pass  # the client is gone
    finally:
        wire.flush(FLUSH_S)


def _open(wire: Wire) -> FirstAnswer | None:
    line = wire.first_line(FIRST_LINE_S)
    if line is None:
        return None
    answer = first_answer(line)
    if answer is not None:
        wire.send_now(answer.line)
    if answer is None or answer.replayed:
        wire.put_back(line)
    return answer


async def _serve(
    wire: Wire, answered: FirstAnswer | None, attachment: HostAttachment, control_socket: Path, every_tool: bool
) -> None:
    import anyio

    from microclaw.mcp.bridge import HostBridge
    from microclaw.mcp.desk import LocalDesk
    from microclaw.mcp.lent_board import LentBoard
    from microclaw.mcp.server import mcp_server

    serving = asyncio.current_task()
    assert serving is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, serving.cancel)
    sending, received = anyio.create_memory_object_stream["SessionMessage | Exception"](1)
    send, outgoing = anyio.create_memory_object_stream["SessionMessage"](1)
    try:
        async with (
            HostBridge.on_socket(control_socket, attachment.ready) as bridge,
            LentBoard(HostBridge.on_socket(control_socket)) as lent,
            mcp_server(LocalDesk(attachment, bridge, lent), every_tool=every_tool) as server,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_read(wire, sending), name="read requests")
            group.create_task(_write(wire, outgoing, answered), name="write answers")
            await server.run(received, send, server.create_initialization_options())
    except* asyncio.CancelledError:
        pass  # a signal: as good as the client's end
    except* anyio.BrokenResourceError:
        if not serving.cancelling() and not wire.broken:  # the library's own, when it ends with requests on their way
            raise


async def _read(wire: Wire, sending: ObjectSendStream[SessionMessage | Exception]) -> None:
    import mcp_types as types
    from anyio import BrokenResourceError
    from mcp.shared.message import SessionMessage

    async with sending:
        try:
            async for line in wire.lines():
                try:
                    message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError as exc:
                    await wire.send(_parse_error(line))
                    _log.warning("a line that is no message: %s", str(exc).splitlines()[0][:200])
                    continue
                await sending.send(SessionMessage(message))
        except ProtocolError as exc:
            _log.error("%s; the connection ends", exc.message)
        except BrokenResourceError:
            pass  # the server has ended


async def _write(wire: Wire, outgoing: ObjectReceiveStream[SessionMessage], answered: FirstAnswer | None) -> None:
    dropped = None if answered is None or not answered.replayed else answered.request_id
    async with outgoing:
        async for item in outgoing:
            message = item.message
            if dropped is not None and getattr(message, "id", None) == dropped and not hasattr(message, "method"):
                dropped = None  # it was answered before the library was there
                continue
            await wire.send(message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")


def _parse_error(line: bytes) -> bytes:
    try:
        json.loads(line)
        code, text = -32600, "this is JSON, but no JSON-RPC message"
    except (ValueError, RecursionError):
        code, text = -32700, "this line is not JSON"
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": text}}
    return json.dumps(error, separators=(",", ":")).encode() + b"\n"
