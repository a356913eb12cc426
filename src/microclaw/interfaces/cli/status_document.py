"""The host's status as the command line reads it: with the fields that rooms of the host add."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from microclaw.conversion import convert
from microclaw.errors import ProtocolError
from microclaw.host.operations.client import Client
from microclaw.host.operations.connection import SAME_VERSION
from microclaw.interfaces.api.operations import read_status
from microclaw.interfaces.api.results import HostStatus


class FullStatus(HostStatus, frozen=True, kw_only=True):
    """The status of a host with any rooms. The field of a room that the host is without is UNSET."""

    xiaozhi: dict[str, Any] | UnsetType = UNSET
    wyoming: dict[str, Any] | UnsetType = UNSET
    gateway_open: bool | UnsetType | None = UNSET
    mqtt: dict[str, Any] | UnsetType | None = UNSET


def read_full_status(host: Client) -> FullStatus:
    """Ask the host for its status. Raises ProtocolError for an answer of another form."""
    document = host.get(read_status.path)
    try:
        return convert(document, FullStatus)
    except msgspec.ValidationError as exc:
        raise ProtocolError(f"the host's answer has an unexpected form: {exc}", next_step=SAME_VERSION) from exc
