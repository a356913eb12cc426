"""The access rules of each route, as the acts declare them; read by api.credentials and by the matrix test.

What is not declared is nobody's but the owner's. What an act or the gate checks besides (a risky act, an own
conversation) stays as it is: this is the least that a caller must be.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from starlette.routing import compile_path

from microclaw.api.by_hand import load_by_hand
from microclaw.operations.operation import Access, load

OF_ROLE: Final[Mapping[str, Access]] = {
    "read-only": Access.LOOK,
    "guest": Access.ASK,
    "member": Access.ACT,
    "owner": Access.OWN,
}

# Open to this machine alone: on a network they tell strangers what devices there are, or work for them.
OPEN_HERE: Final = frozenset({"/metrics", "/api/openapi.json", "/api/compile-wasm"})


def every_route() -> Iterator[tuple[Access, str]]:
    """Each route, "GET /v1/devices", with what it asks for."""
    acts = (*load(), *load_by_hand())
    yield from ((act.least, route) for act in acts for route in (act.http, act.many) if route is not None)


def access_from_network(method: str, path: str) -> Access | None:
    """As `access_of`, where strangers can reach the port: what is open to this machine needs a token or session."""
    found = access_of(method, path)
    return Access.LOOK if found is Access.OPEN and path in OPEN_HERE else found


def access_of(method: str, path: str) -> Access | None:
    """The access that this request asks for; None when there is no such route. Of several that fit: the strictest."""
    if path.endswith("\n"):  # the router's `$` fits before a last newline, too
        return Access.SOCKET
    method = "GET" if method == "HEAD" else method
    return max((access for pattern, access in _routes().get(method, ()) if pattern.fullmatch(path)), default=None)


def methods_at(path: str) -> list[str]:
    """The methods that this path has, for `Allow`; HEAD where there is GET."""
    found = {method for method in _routes() if access_of(method, path) is not None}
    return sorted(found | {"HEAD"} if "GET" in found else found)


@cache
def _routes() -> dict[str, list[tuple[re.Pattern[str], Access]]]:
    found: dict[str, list[tuple[re.Pattern[str], Access]]] = defaultdict(list)
    for access, route in every_route():
        method, path = route.split(" ")
        found[method].append((compile_path(path)[0], access))
    return dict(found)
