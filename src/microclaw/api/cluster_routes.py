"""/v1/cluster: the hosts that share devices and people with this one, over NATS. It changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from typing_extensions import TypedDict

from microclaw.api.answers import answers
from microclaw.api.caller import RequestCaller


class ClusterHost(TypedDict):
    """`devices` are connected to it, `behind` entries of the log it had not yet when it told so, `seen_s` ago.

    `known` false: it was live then; whether it is now this host cannot see. `clock_ahead_s`: of the NATS server's.
    """

    host: str
    name: str
    version: str
    schema_version: int
    devices: int
    position: int
    behind: int
    known: bool
    seen_s: float
    clock_ahead_s: float
    api: str | None
    link: str | None
    started_ms: int


class EndedHost(TypedDict):
    """A host that stopped `in_order`, or whose lease ended, within a day, and is not back. It had `devices` then.

    `ended_ms` is by the NATS server's clock: its goodbye, or its last renewal.
    """

    host: str
    name: str
    devices: int
    in_order: bool
    ended_ms: int
    ended_s: float


class ClusterStream(TypedDict):
    """A stream of JetStream. `leader` is None for a server alone, or while there is none: `has_leader` tells."""

    name: str
    messages: int
    bytes: int
    first: int
    last: int
    replicas: int
    leader: str | None
    has_leader: bool


class ClusterSnapshot(TypedDict):
    """The newest copy of the whole store: as it was at the entry `seq` of the log."""

    seq: int
    at_ms: int


class ClusterDuty(TypedDict):
    """What one host does for all. `holder` None: nobody at the moment."""

    name: str
    holder: str | None
    fence: int


class ClusterProblem(TypedDict):
    text: str
    next: str


class ClusterFacts(TypedDict):
    """`host` is this one's id; `member` says whether its lease is good. `nats`: the servers' addresses as it got them.

    `streams` is empty, and `snapshot` None, while NATS cannot be asked. `seen_s`: how old its news of the hosts are.
    """

    name: str
    host: str
    connected: bool
    member: bool
    server: str | None
    servers: list[str]
    nats: str
    seen_s: float
    position: int
    behind: int
    conflicts: int
    hosts: list[ClusterHost]
    ended: list[EndedHost]
    streams: list[ClusterStream]
    snapshot: ClusterSnapshot | None
    duties: list[ClusterDuty]
    problems: list[ClusterProblem]


class ClusterAnswer(TypedDict):
    """`cluster` None: this host is alone."""

    cluster: ClusterFacts | None


def cluster_router(status: Callable[[], Awaitable[dict[str, Any]]] | None) -> APIRouter:
    """`status` is None in a host that is alone."""
    router = APIRouter(tags=["host"])

    @router.get("/v1/cluster", summary="Hosts, streams and duties of the cluster", responses=answers(ClusterAnswer))
    async def read_cluster(_: RequestCaller) -> dict[str, Any]:
        return {"cluster": None if status is None else await status()}

    return router
