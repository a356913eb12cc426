"""The sender of a request, its rights, and its conversation. api.credentials finds the sender."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from microclaw.errors import PermissionRefused
from microclaw.host.auth.people import OWNER
from microclaw.host.auth.tokens import SESSION_PREFIX
from microclaw.programs.changes.change_log import COMMAND_LINE, conversation_of
from microclaw.wire.host_api import REQUEST_HEADER

# The channel of approvals that programs wait for.
CHANNEL: Final = "api"
CALLER_KEY: Final = "microclaw.caller"
_NUMBER: Final = re.compile(r"[0-9a-f]{16,32}")


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    If `direct`, it is a person at the command line of this machine, who is not asked for approvals. `source` is the id
    of the token or the session. `request` is the request's own number, which its approvals carry. `csrf` is the value
    that a browser's session sends with each change, `role` the role with which the token or session was accepted.
    """

    person_id: str
    direct: bool
    source: str
    request: str = ""
    csrf: str = ""
    role: str = field(default=OWNER.role, compare=False)

    @property
    def conversation(self) -> str:
        """The conversation of its requests outside of a chat: one for each token."""
        if self.direct:
            return COMMAND_LINE
        return conversation_of(CHANNEL, self.source)

    @property
    def token(self) -> str | None:
        """The token's or session's id; None on the control socket."""
        return None if self.direct else self.source

    def chat(self, chat_id: str) -> tuple[str, str]:
        """Return the channel and the id of a chat.

        The chat belongs to this token only; a browser's chat belongs to the person, in each browser.
        """
        if self.direct:
            return "terminal", chat_id
        if self.csrf:
            return CHANNEL, f"{SESSION_PREFIX}{self.person_id}.{chat_id}"
        return CHANNEL, f"{self.source}.{chat_id}"

    @property
    def job(self) -> str:
        """The key of the request's job, and the chat id of its approval outside of a stream."""
        return self.job_key(self.request)

    def job_key(self, number: str) -> str:
        """Return the key of a request's number, which is this token's only."""
        return f"{self.source}.{number}"


NOBODY: Final = Caller("", direct=False, source="")
"""The sender of a request without a token, if none is needed."""
LOCAL_OWNER: Final = Caller(OWNER.person_id, direct=True, source="socket")


def caller_of(request: Request) -> Caller:
    """Return the request's caller, with a new number if the request has none.

    Raises PermissionRefused for a request without a caller: it must not count as the owner's.
    """
    caller = request.scope.get(CALLER_KEY)
    if not isinstance(caller, Caller):
        step = "send a token: microclaw person tokens --add NAME"
        raise PermissionRefused("this request has no caller", next_step=step)
    number = caller.request or request_number(request.scope) or secrets.token_hex(8)
    return replace(caller, request=number)


def client_address(scope: Scope) -> str:
    """Return the address of the connection, "?" if it has none."""
    return str((scope.get("client") or ("?", 0))[0])


def request_number(scope: Scope) -> str:
    """Return the request's own number; "" if it has none, or not exactly one of the right form."""
    numbers = Headers(scope=scope).getlist(REQUEST_HEADER)
    if len(numbers) == 1 and _NUMBER.fullmatch(numbers[0]):
        return numbers[0]
    return ""
