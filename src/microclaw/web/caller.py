"""Who sends a request: the owner on the 0600 socket, or a person by a token. It checks no token and decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from microclaw.agent.events import ApprovalAsked, ApprovalSettled
from microclaw.errors import PermissionRefused
from microclaw.policy.approval import Approvals, Pending, Settled
from microclaw.policy.gate import Gate, Permission
from microclaw.policy.person import OWNER
from microclaw.web.jobs import Feed

CHANNEL: Final = "api"  # where acts of programs are asked for
_KEY: Final = "microclaw.caller"


@dataclass(frozen=True, slots=True)
class Caller:
    """`direct`: a person's own hand on the command line, whose words are their yes. `source` is the token's id.

    `request` is the number that the request gave itself, for its question to be known by.
    """

    principal: str
    direct: bool
    source: str
    request: str = ""

    @property
    def token(self) -> str | None:
        """The token's id; None for a person's own hand."""
        return None if self.direct else self.source

    def scoped(self, chat_id: str) -> str:
        """A chat of this token alone; on the socket the chat itself."""
        return chat_id if self.direct else f"{self.source}.{chat_id}"

    def asks_in(self, chat_id: str = "") -> str:
        """Where a question is asked: in this chat; without one, under the request's number, where it has one."""
        if chat_id not in ("", self.source):
            return chat_id
        return f"{self.source}.{self.request}" if self.request else self.source


OWNER_HERE: Final = Caller(OWNER.person_id, direct=True, source="socket")


class As:
    """Every request of `app` is this caller's."""

    def __init__(self, app: ASGIApp, caller: Caller) -> None:
        self._app = app
        self._caller = caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, _KEY: self._caller}, receive, send)


def caller_of(request: Request) -> Caller:
    """The request's caller; nobody is told apart from the owner by a missing word, so none is refused."""
    caller = request.scope.get(_KEY)
    if not isinstance(caller, Caller):
        raise PermissionRefused("this request is nobody's", next_step="send a token: microclaw token create NAME")
    return caller


By = Annotated[Caller, Depends(caller_of)]


async def admit(
    gate: Gate, caller: Caller, permission: Permission, action: str, *, detail: Sequence[str] = (), chat_id: str = ""
) -> None:
    """Return when `caller` may do it. What the owner types on the command line is their yes; a program's act asks."""
    if caller.direct:
        gate.check(caller.principal, permission, action)
        return
    place = caller.asks_in(chat_id)
    await gate.admit(caller.principal, permission, action, detail=detail, channel=CHANNEL, chat_id=place)


def check_own_hand(gate: Gate, caller: Caller, action: str) -> None:
    """Raise PermissionRefused unless an owner does it on the control socket.

    For what would outlive a token (another token, a person, a device's secret) or reaches any file of this machine.
    """
    gate.check_owner(caller.principal, action)
    if not caller.direct:
        raise PermissionRefused(f"no token may {action}", next_step="do it on the host's own command line")


@contextmanager
def questions_in(feed: Feed, approvals: Approvals, *, channel: str, chat_id: str) -> Iterator[None]:
    """Inside, what is asked at this place, and how it ended, is told in the feed too."""

    def tell(news: Pending | Settled) -> None:
        pending = news if isinstance(news, Pending) else news.pending
        if (pending.channel, pending.chat_id) != (channel, chat_id):
            return
        if isinstance(news, Pending):
            feed.put(ApprovalAsked(news.approval_id, news.action, news.detail, news.expires_s))
        else:
            feed.put(ApprovalSettled(pending.approval_id, news.outcome))

    stop = approvals.listen(tell)
    try:
        yield
    finally:
        stop()
