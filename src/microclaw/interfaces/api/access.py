"""The access rules of each route, as the operations declare them; read by api.credentials and by the matrix test.

Only the owner may use a route that is not declared. What an operation or the gate checks besides (a risky act, an own
conversation) stays as it is: this is the minimum access level of a caller.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from starlette.routing import compile_path

from microclaw.host.operations.operation import Access, load
from microclaw.interfaces.api.custom_routes import load_by_hand

ACCESS_BY_ROLE: Final[Mapping[str, Access]] = {
    "read-only": Access.LOOK,
    "guest": Access.ASK,
    "member": Access.ACT,
    "owner": Access.OWN,
}

# Open only to this machine: on a network they would show the devices to strangers, or do work for strangers.
PAGE_PATHS: Final = ("/app/{program}", "/app/{program}/{path:path}")
"""The pages of programs (api.program_pages). Already a GET can act on a board."""
PAGE_METHODS: Final = ("GET", "POST", "PUT", "DELETE", "OPTIONS")
OPEN_HERE: Final = frozenset({"/metrics", "/api/openapi.json", "/api/compile-wasm"})


def every_route() -> Iterator[tuple[Access, str]]:
    """Yield each route, "GET /v1/devices", with the access that it needs."""
    for act in (*load(), *load_by_hand()):
        for route in act.routes:
            yield act.least, f"{route.method} {route.path}"
    for path in PAGE_PATHS:
        for method in PAGE_METHODS:
            yield Access.ACT, f"{method} {path}"


def access_from_network(method: str, path: str) -> Access | None:
    """Return the same as `access_of`, if strangers can reach the port.

    A route that is open to this machine needs a token or a session then.
    """
    access = access_of(method, path)
    if access is Access.OPEN and path in OPEN_HERE:
        return Access.LOOK
    return access


def access_of(method: str, path: str) -> Access | None:
    """Return the access that this request needs, or None if there is no such route.

    If several routes match, it is the strictest.
    """
    # The router's `$` matches before a last newline, too.
    if path.endswith("\n"):
        return Access.SOCKET
    method = "GET" if method == "HEAD" else method
    return max((access for pattern, access in _routes().get(method, ()) if pattern.fullmatch(path)), default=None)


def methods_at(path: str) -> list[str]:
    """Return the methods of this path for `Allow`; HEAD if there is GET."""
    methods = {method for method in _routes() if access_of(method, path) is not None}
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


@cache
def _routes() -> dict[str, list[tuple[re.Pattern[str], Access]]]:
    routes: dict[str, list[tuple[re.Pattern[str], Access]]] = defaultdict(list)
    for access, route in every_route():
        method, path = route.split(" ")
        routes[method].append((compile_path(path)[0], access))
    return dict(routes)
