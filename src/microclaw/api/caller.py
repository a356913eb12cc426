"""The sender of a request, its rights, and the place where it is asked. api.credentials finds the sender."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from microclaw.apps.change_log import COMMAND_LINE, conversation_of
from microclaw.auth.people import OWNER
from microclaw.auth.tokens import SESSION_PREFIX
from microclaw.errors import PermissionRefused
from microclaw.wire.host_api import REQUEST_HEADER

CHANNEL: Final = "api"  # the channel of approvals that programs wait for
CALLER_KEY: Final = "microclaw.caller"
_NUMBER: Final = re.compile(r"[0-9a-f]{16,32}")


@dataclass(frozen=True, slots=True)
class Caller:
    """`direct`: a person at the command line of this machine, who is not asked again. `source` is the token's id, or
    the session's.

    `request` is the request's own number, which its approvals carry.
    """

    person_id: str
    direct: bool
    source: str
    request: str = ""
    csrf: str = ""  # of a browser's session: what it sends with each change
    role: str = field(default=OWNER.role, compare=False)  # what the token or session came in as

    @property
    def conversation(self) -> str:
        """The conversation of its requests outside of a chat: all of a token's are one."""
        if self.direct:
            return COMMAND_LINE
        return conversation_of(CHANNEL, self.source)

    @property
    def token(self) -> str | None:
        """The token's or session's id; None on the control socket."""
        return None if self.direct else self.source

    def chat(self, chat_id: str) -> tuple[str, str]:
        """The channel and id of a chat of this token alone; a browser's is the person's, in each browser."""
        if self.direct:
            return "terminal", chat_id
        return CHANNEL, f"{SESSION_PREFIX}{self.person_id}.{chat_id}" if self.csrf else f"{self.source}.{chat_id}"

    @property
    def job(self) -> str:
        """The key of the request's job, and the chat id of its approval outside of a stream."""
        return self.job_key(self.request)

    def job_key(self, number: str) -> str:
        """A request's number, of this token alone."""
        return f"{self.source}.{number}"


NOBODY: Final = Caller("", direct=False, source="")
"""Who sends a request without a token, where none is needed."""
LOCAL_OWNER: Final = Caller(OWNER.person_id, direct=True, source="socket")


def caller_of(request: Request) -> Caller:
    """The request's caller, with a number of ours where the request has none.

    A request without a caller is refused: it must not count as the owner's.
    """
    caller = request.scope.get(CALLER_KEY)
    if not isinstance(caller, Caller):
        raise PermissionRefused(
            "this request has no caller", next_step="send a token: microclaw person tokens --add NAME"
        )
    return replace(caller, request=caller.request or request_number(request.scope) or secrets.token_hex(8))


def client_address(scope: Scope) -> str:
    return str((scope.get("client") or ("?", 0))[0])


def request_number(scope: Scope) -> str:
    """The request's own number; "" when it has none, or one of another form."""
    named = Headers(scope=scope).getlist(REQUEST_HEADER)
    if len(named) == 1 and _NUMBER.fullmatch(named[0]):
        return named[0]
    return ""
