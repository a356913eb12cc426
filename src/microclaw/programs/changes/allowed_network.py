"""The network that was allowed to a program on a device, for the requests that this host makes for it."""

from __future__ import annotations

from microclaw.network_use import NetworkUse
from microclaw.programs.changes.change_log import ChangeLog, PutApp, StartApp


async def allowed_network(change_log: ChangeLog, device_id: str, app: str) -> NetworkUse | None:
    """Return the network of the versions of a program that this host has there, or None if it has none there.

    While a change is made, the program runs before the change is over: both of its versions count until then.
    """
    versions = [desired.version for desired in await change_log.desired(device_id) if desired.name == app]
    for change in await change_log.unfinished(device_id):
        for action in (change.forward, change.inverse):
            if isinstance(action, PutApp | StartApp) and action.name == app:
                versions.append(action.version)
    if not versions:
        return None
    hosts: set[str] = set()
    for version in versions:
        hosts.update(version.claims.network.hosts)
    return NetworkUse(tuple(sorted(hosts)))
