"""/v1/cluster: the hosts that share a database with this one. It changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from typing_extensions import TypedDict

from microclaw.api.answers import answers
from microclaw.api.caller import RequestCaller


class ClusterHost(TypedDict):
    """`devices` are connected to it; it told so `seen_s` ago. `calls` is where other hosts call it.

    `known` false: it was live then; whether it is now this host cannot see. `clock_ahead_s`: of the database's.
    """

    host: str
    name: str
    version: str
    schema_version: int
    devices: int
    known: bool
    seen_s: float
    clock_ahead_s: float
    api: str | None
    link: str | None
    calls: str | None
    started_ms: int


class EndedHost(TypedDict):
    """A host that stopped `in_order`, or whose lease ended, within a day, and is not back. It had `devices` then; its
    last renewal was `ended_s` ago."""

    host: str
    name: str
    devices: int
    in_order: bool
    ended_s: float


class ClusterDuty(TypedDict):
    """What one host does for all. `holder` None: nobody at the moment."""

    name: str
    holder: str | None
    fence: int


class ClusterProblem(TypedDict):
    text: str
    next: str


class ClusterFacts(TypedDict):
    """`host` is this one's id; `member` says whether its lease is good. `database` is without its password.

    `seen_s`: how old its news of the hosts are.
    """

    host: str
    database: str
    connected: bool
    member: bool
    seen_s: float
    hosts: list[ClusterHost]
    ended: list[EndedHost]
    duties: list[ClusterDuty]
    problems: list[ClusterProblem]


class ClusterAnswer(TypedDict):
    """`cluster` None: this host is alone."""

    cluster: ClusterFacts | None


def cluster_router(status: Callable[[], Awaitable[dict[str, Any]]] | None) -> APIRouter:
    """`status` is None in a host that is alone."""
    router = APIRouter(tags=["host"])

    @router.get("/v1/cluster", summary="Hosts and duties of the cluster", responses=answers(ClusterAnswer))
    async def read_cluster(_: RequestCaller) -> dict[str, Any]:
        return {"cluster": None if status is None else await status()}

    return router
