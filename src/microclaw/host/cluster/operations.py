"""The operation of a cluster: its state, as this host sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from microclaw.host.cluster.results import ClusterAnswer
from microclaw.host.operations.forms import NO_COMMAND
from microclaw.host.operations.operation import Access, OperationCall, operation

if TYPE_CHECKING:
    from microclaw.host.cluster.status import ClusterView


@operation("cluster.status", http="GET /v1/cluster", access=Access.ACT, command=NO_COMMAND)
async def status(view: ClusterView | None, _call: OperationCall) -> ClusterAnswer:
    """Show hosts and duties of the cluster."""
    if view is None:
        return ClusterAnswer(cluster=None)
    return ClusterAnswer(cluster=await view.status())
