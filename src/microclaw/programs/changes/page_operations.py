"""The act that gives away the address of one program's page: whoever has it opens this page, and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from microclaw.errors import ConfigError, UnknownName
from microclaw.host.operations.forms import CommandForm, HttpAnswer
from microclaw.host.operations.operation import Access, OperationCall, Permission, operation
from microclaw.host.operations.result import Result
from microclaw.programs.changes.program_requests import AppName, OfDevice
from microclaw.wire.host_api import program_page_path

if TYPE_CHECKING:
    from microclaw.devices.registry.registry import Registry
    from microclaw.host.auth.tokens import PersonTokens
    from microclaw.programs.changes.change_log import ChangeLog


class PageService(Struct, frozen=True):
    """The parts that the act works with. `url` is the host's own address for browsers, None without one."""

    registry: Registry
    change_log: ChangeLog
    tokens: PersonTokens
    url: str | None


class GivenPage(Result, frozen=True, kw_only=True):
    """An address with a token. `token` is the name by which it is ended."""

    document: ClassVar = "page"

    url: Annotated[str, Meta(description="Only in this answer")]
    device: str
    token: str

    def lines(self) -> Iterable[str]:
        yield self.url
        yield f"opens only this page, for everybody who has it; end it: microclaw person tokens --rm {self.token}"


@operation(
    "pages.give",
    http="POST /v1/apps/{name}/page",
    permission=Permission.ACT,
    access=Access.SOCKET,
    command=CommandForm("page"),
    answer=HttpAnswer(201),
)
async def give_page(
    service: PageService,
    call: OperationCall,
    name: AppName,
    *,
    device: OfDevice = None,
    days: Annotated[int | None, Meta(ge=1, le=3650, description="It ends after this many days.")] = None,
) -> GivenPage:
    """Print an address that opens a program's page without a sign-in: a browser acts there as a member would."""
    if service.url is None:
        raise ConfigError("this host has no address for browsers", next_step="microclaw up --port 8080")
    device_name = await _device_name(service, name, device)
    program = f"{name}@{device_name}"
    token = f"page-{secrets.token_hex(3)}"
    secret = await service.tokens.create(token, call.person_id, days=days, scope="act", page=program)
    return GivenPage(url=service.url + program_page_path(program, secret), device=device_name, token=token)


async def _device_name(service: PageService, name: str, device: str | None) -> str:
    """Return the board that the program is on. Raises UnknownName if that is none, or not clear."""
    if device is not None:
        return service.registry.get(device).name
    device_ids = await service.change_log.device_ids_with(name)
    names = [service.registry.get(device_id).name for device_id in device_ids]
    if len(names) == 1:
        return names[0]
    if names:
        raise UnknownName(f"{name} runs on {', '.join(names)}", next_step=f"name one: -d {names[0]}")
    raise UnknownName(f"no program {name[:40]!r} runs on a board", next_step="microclaw app list")
