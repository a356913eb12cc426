"""Joins the tools that reach beyond the devices: web, files, clock, chats, trials, logs. Opens nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

from microclaw.app.admission import Admission
from microclaw.app.programs import Apps
from microclaw.apps.trial import try_image
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.policy.egress import Egress
from microclaw.tools.fetching import Fetcher
from microclaw.tools.search_engines import search_engine
from microclaw.tools.telling import Mail, clock_tool, say_tool
from microclaw.tools.tool import Tool
from microclaw.tools.trying import trying_tools
from microclaw.tools.web import web_tools
from microclaw.tools.workspace import Workspace, workspace_tools


def outward_tools(
    settings: Settings, devices: Registry, apps: Apps, admission: Admission, mail: Mail, egress: Egress | None
) -> tuple[Tool[Any], ...]:
    """Without a search engine in the settings there is no web_search."""
    proxy = settings.proxy
    engine = None if settings.search is None else search_engine(settings.search, proxy=proxy)
    trying = partial(try_image, standby=apps.standby)
    return (
        *web_tools(fetcher=Fetcher(egress or Egress(), proxy=proxy), engine=engine),
        *workspace_tools(Workspace(settings.workspace)),
        clock_tool(settings.agent.timezone),
        say_tool(mail=mail, people=admission.people),
        *trying_tools(compile_source=apps.compile, try_image=trying, devices=devices),
    )
