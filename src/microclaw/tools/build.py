"""Joins the tools of this version into one toolbox. Constructs no collaborator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from microclaw.auth.gate import Gate
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.tools.device_io import Exploring, Notifier, direct_io_tools, edge_tools, notifying_tools
from microclaw.tools.inventory import Undoing, inventory_tools
from microclaw.tools.knowledge import remembering_tools, skill_tools
from microclaw.tools.programs import Deploying, Listing, program_tools
from microclaw.tools.target import Devices
from microclaw.tools.tool import Tool
from microclaw.tools.toolbox import Toolbox


def build_toolbox(
    *,
    devices: Devices,
    deployer: Deploying,
    catalogue: Listing,
    direct_io: Exploring,
    undo: Undoing,
    gate: Gate,
    notifier: Notifier | None = None,
    knowledge: Knowledge | None = None,
    more: Iterable[Tool[Any]] = (),
    coming: Callable[[], Iterable[Tool[Any]]] = tuple,
) -> Toolbox:
    """Every tool a model may call, over ready collaborators, and `more`; without a notifier there is no notify.

    `coming` are the tools of MCP servers, which come and go.
    """
    return Toolbox(
        (
            *program_tools(deployer=deployer, catalogue=catalogue, devices=devices),
            *direct_io_tools(direct_io=direct_io, devices=devices),
            *edge_tools(devices=devices),
            *inventory_tools(devices=devices, undo=undo),
            *(notifying_tools(notifier=notifier, devices=devices) if notifier is not None else ()),
            *(_knowing(knowledge, devices) if knowledge is not None else ()),
            *more,
        ),
        gate,
        coming=coming,
    )


def _knowing(knowledge: Knowledge, devices: Devices) -> tuple[Tool[Any], ...]:
    memory = remembering_tools(memory=knowledge.memory, search=knowledge.search, devices=devices)
    return (*memory, *skill_tools(skills=knowledge.skills))
