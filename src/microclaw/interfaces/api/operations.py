"""The operations of the host itself: its state, and the hosts with which it shares a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microclaw.host.operations.forms import NO_COMMAND
from microclaw.host.operations.operation import Access, OperationCall, operation
from microclaw.interfaces.api.results import HostStatus

if TYPE_CHECKING:
    from microclaw.interfaces.api.status import StatusReader


@operation("host.status", http="GET /v1/status", access=Access.LOOK, command=NO_COMMAND)
async def read_status(reader: StatusReader, call: OperationCall) -> HostStatus:
    """Read the model, devices and programs."""
    return await reader.read(call.person_id)
