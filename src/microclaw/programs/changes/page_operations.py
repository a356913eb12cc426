"""The act that gives away the address of one program's page: whoever has it opens this page, and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta, Struct

from microclaw.errors import ConfigError
from microclaw.host.operations.forms import CommandForm, HttpAnswer
from microclaw.host.operations.operation import Access, OperationCall, Permission, operation
from microclaw.host.operations.result import Result
from microclaw.programs.changes.program_requests import AppName, OfDevice
from microclaw.wire.host_api import program_page_path

if TYPE_CHECKING:
    from microclaw.host.auth.tokens import PersonTokens
    from microclaw.programs.changes.page_boards import PageBoards


class PageService(Struct, frozen=True):
    """The parts that the act works with. `url` is the host's own address for browsers, None without one."""

    boards: PageBoards
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
    board = await service.boards.board_of(name, device)
    await service.boards.check_pages(board, name)
    program = f"{name}@{board.name}"
    token = f"page-{secrets.token_hex(3)}"
    secret = await service.tokens.create(token, call.person_id, days=days, scope="act", page=program)
    return GivenPage(url=service.url + program_page_path(program, secret), device=board.name, token=token)
