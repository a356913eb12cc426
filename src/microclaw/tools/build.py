"""Puts the host's tools into one toolbox. Makes no collaborator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from microclaw.apps.catalogue import Catalogue
from microclaw.apps.deploy import Deployer
from microclaw.apps.direct_io import DirectIo
from microclaw.apps.undo import Undo
from microclaw.auth.gate import Gate
from microclaw.devices.registry import Registry
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.tools.device_io import direct_io_tools, edge_tools, notifying_tools
from microclaw.tools.inventory import inventory_tools
from microclaw.tools.knowledge import remembering_tools, skill_tools
from microclaw.tools.programs import program_tools
from microclaw.tools.tool import Tool
from microclaw.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from microclaw.link_server.server import LinkServer


def build_toolbox(
    *,
    devices: Registry,
    deployer: Deployer,
    catalogue: Catalogue,
    direct_io: DirectIo,
    undo: Undo,
    gate: Gate,
    notifier: LinkServer | None = None,
    knowledge: Knowledge | None = None,
    more: Iterable[Tool[Any]] = (),
    coming: Callable[[], Iterable[Tool[Any]]] = tuple,
) -> Toolbox:
    """Every tool that a model may call, and `more`. Without a notifier there is no notify.

    `coming` gives the tools of MCP servers, which come and go.
    """
    tools: list[Tool[Any]] = [
        *program_tools(deployer=deployer, catalogue=catalogue, devices=devices),
        *direct_io_tools(direct_io=direct_io, devices=devices),
        *edge_tools(devices=devices),
        *inventory_tools(devices=devices, undo=undo),
    ]
    if notifier is not None:
        tools += notifying_tools(notifier=notifier, devices=devices)
    if knowledge is not None:
        tools += remembering_tools(memory=knowledge.memory, search=knowledge.search, devices=devices)
        tools += skill_tools(skills=knowledge.skills)
    return Toolbox((*tools, *more), gate, coming=coming)
