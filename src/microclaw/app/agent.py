"""Joins the agent: its inbox, and the conversations with all that a turn needs. It runs nothing."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from microclaw.agent.compaction import Compactor
from microclaw.agent.context import TurnContext
from microclaw.agent.conversation import Conversations
from microclaw.agent.inbox import Inbox, InboxLimits
from microclaw.agent.outbox import Outbox
from microclaw.agent.turn import TurnLimits
from microclaw.app.devices import Apps
from microclaw.apps.trial import try_image
from microclaw.auth.admission import Admission
from microclaw.auth.egress import Egress
from microclaw.clock import now_ms
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.knowledge.knowledge_base import Knowledge
from microclaw.models.budget import Budget, LocalDays
from microclaw.models.protocol import Model
from microclaw.models.router import choose_model
from microclaw.models.usage import Ledger, Metered
from microclaw.offline.model import OfflineModel
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import Journal
from microclaw.store.outbox import OutboxTable
from microclaw.store.usage import UsageTable
from microclaw.tools.fetching import Fetcher
from microclaw.tools.programs import trying_tools
from microclaw.tools.search_engines import search_engine
from microclaw.tools.telling import clock_tool, say_tool
from microclaw.tools.tool import Tool
from microclaw.tools.toolbox import Toolbox
from microclaw.tools.web import web_tools
from microclaw.tools.workspace import Workspace, workspace_tools


def build_model(settings: Settings, database: Database) -> tuple[Model, Ledger]:
    """The model that answers turns, and what it costs; no library of a provider is imported yet."""
    table = UsageTable(database)
    days = LocalDays(time.time, settings.agent.timezone)
    ledger = Ledger(table, days)
    budget = Budget(settings.budget, table, days)
    model = choose_model(
        settings.model, OfflineModel(), proxy=settings.proxy, meter=lambda model: Metered(model, ledger, budget)
    )
    return model, ledger


def outward_tools(
    settings: Settings, devices: Registry, apps: Apps, admission: Admission, outbox: Outbox, egress: Egress | None
) -> tuple[Tool[Any], ...]:
    """Without a search engine in the settings there is no web_search."""
    proxy = settings.proxy
    engine = None if settings.search is None else search_engine(settings.search, proxy=proxy)
    trying = partial(try_image, trial_pool=apps.trial_pool)
    return (
        *web_tools(fetcher=Fetcher(egress or Egress(), proxy=proxy), engine=engine),
        *workspace_tools(Workspace(settings.workspace)),
        clock_tool(settings.agent.timezone),
        say_tool(outbox=outbox, people=admission.people),
        *trying_tools(compile_source=apps.compile, try_image=trying, devices=devices),
    )


def build_conversations(
    settings: Settings,
    inbox: Inbox,
    model: Model,
    devices: Registry,
    tools: Toolbox,
    database: Database,
    admission: Admission,
    knowledge: Knowledge,
) -> Conversations:
    summarising = model if settings.model.configured else None  # the offline one writes no summaries
    return Conversations(
        inbox=inbox,
        model=model,
        tools=tools,
        context=TurnContext(
            devices=devices,
            apps=AppTable(database),
            knowledge=knowledge,
            context_tokens=settings.agent.context_tokens,
        ),
        sessions=knowledge.sessions,
        skills=knowledge.skills,
        compactor=Compactor(model=summarising, beside=knowledge.sessions.summary_path),
        journal=Journal(database, now_ms),
        approvals=admission.approvals,
        roles=admission.people,
        limits=TurnLimits(iterations=settings.agent.iterations, turn_s=settings.agent.turn_s),
    )


def build_inbox(settings: Settings, database: Database) -> Inbox:
    message_bytes = settings.limits.message_bytes
    return Inbox(
        InboxTable(database, now_ms),
        Outbox(OutboxTable(database, now_ms), text_bytes=message_bytes),
        settings=settings.agent,
        limits=InboxLimits(message_bytes=message_bytes),
    )
