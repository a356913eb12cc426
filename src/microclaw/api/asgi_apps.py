"""The ASGI apps: the API on the control socket (mode 0600), and the API with tokens and sessions. It opens no port."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp

from microclaw.api.access import access_from_network, access_of
from microclaw.api.by_hand import load_by_hand
from microclaw.api.caller import LOCAL_OWNER, BearerAuth, as_caller
from microclaw.api.credential_end import EndsWithCredential
from microclaw.api.failures import AnswersInForm
from microclaw.api.host_routes import Document
from microclaw.api.operation_routes import RouteParts, by_hand_routes, operation_routes
from microclaw.api.request_check import LOOPBACK_NAMES, RequestCheck
from microclaw.api.shares import Shares
from microclaw.api.waiting import TellsWaiting, WaitingRequests
from microclaw.auth.admission import Admission
from microclaw.config.settings import Limits
from microclaw.operations.operation import Operation, load

_OPEN_HERE: Final = ("compile", "metrics")  # to this machine alone


def host_api(parts: RouteParts) -> ASGIApp:
    """Every route, for both apps: the caller is in the request (api.caller)."""
    return _app(parts.services, load(), operation_routes(parts))


def control_socket_app(api: ASGIApp, limits: Limits) -> ASGIApp:
    """The whole API. Whoever can open the socket is the owner."""
    return RequestCheck(as_caller(api, LOCAL_OWNER), body_bytes=limits.control_body_bytes, body_s=limits.body_s)


def api_app(
    api: ASGIApp,
    strangers: Mapping[str, Any],
    admission: Admission,
    limits: Limits,
    waiting: WaitingRequests,
    allowed_hosts: Container[str] = LOOPBACK_NAMES,
    *,
    on_network: bool = False,
) -> ASGIApp:
    """With a token or a session: the whole API, as far as the person's role allows. Without one: what
    `strangers` (services by noun) serve, `on_network` less. `allowed_hosts`: the names by which it may be called."""
    outside = _app({noun: one for noun, one in strangers.items() if not on_network or noun not in _OPEN_HERE})
    shares = Shares(admission.people)

    def checked(app: ASGIApp, body_bytes: int) -> ASGIApp:
        return RequestCheck(app, body_bytes=body_bytes, body_s=limits.body_s)

    inside = TellsWaiting(checked(api, limits.control_body_bytes), admission.approvals, waiting)
    app = BearerAuth(
        inside=shares.limit(EndsWithCredential(inside, admission.watching, admission.people, admission.approvals)),
        outside=shares.limit(checked(outside, limits.body_bytes)),
        tokens=admission.tokens,
        sign_ins=admission.sign_ins,
        access=access_from_network if on_network else access_of,
    )
    return RequestCheck(app, body_bytes=None, body_s=limits.body_s, allowed_hosts=allowed_hosts)


def _app(by_hand: Mapping[str, Any], acts: Sequence[Operation[..., Any]] = (), routes: Sequence[Route] = ()) -> ASGIApp:
    documented = [*acts, *(one for one in load_by_hand() if one.noun in by_hand or one.noun == "document")]
    services = {**by_hand, "document": Document(documented)}
    return AnswersInForm(Router([*routes, *by_hand_routes(services)]))
