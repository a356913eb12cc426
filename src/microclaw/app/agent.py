"""Joins the agent: its mail, and the loop with all that a turn needs. It runs nothing."""

from __future__ import annotations

from microclaw.agent.compaction import Compactor
from microclaw.agent.context import BoardSurroundings
from microclaw.agent.loop import AgentLoop
from microclaw.agent.mail import Mail, MailLimits
from microclaw.agent.turn import TurnLimits
from microclaw.app.admission import Admission
from microclaw.app.clock import now_ms
from microclaw.config import Settings
from microclaw.devices.registry import Registry
from microclaw.knowledge.shelf import Knowledge
from microclaw.models.protocol import Model
from microclaw.store.apps import AppTable
from microclaw.store.database import Database
from microclaw.store.inbox import InboxTable
from microclaw.store.journal import Journal
from microclaw.store.outbox import OutboxTable
from microclaw.tools.toolbox import Toolbox


def build_agent(
    settings: Settings,
    mail: Mail,
    model: Model,
    devices: Registry,
    tools: Toolbox,
    database: Database,
    admission: Admission,
    knowledge: Knowledge,
) -> AgentLoop:
    summarising = model if settings.model.configured else None  # the offline one writes no summaries
    return AgentLoop(
        mail=mail,
        model=model,
        tools=tools,
        surroundings=BoardSurroundings(
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


def build_mail(settings: Settings, database: Database) -> Mail:
    return Mail(
        inbox=InboxTable(database, now_ms),
        outbox=OutboxTable(database, now_ms),
        settings=settings.agent,
        limits=MailLimits(message_bytes=settings.limits.message_bytes),
    )
