"""Joins the language models: the chosen ones, each counted and kept within the budget. It asks none."""

from __future__ import annotations

import time

from microclaw.config import Settings
from microclaw.models.budget import Budget, LocalDays
from microclaw.models.choose import choose_model
from microclaw.models.ledger import Ledger, Metered
from microclaw.models.protocol import Model
from microclaw.store.database import Database
from microclaw.store.usage import UsageTable


def build_model(settings: Settings, database: Database) -> tuple[Model, Ledger]:
    """The model that answers turns, and what it costs; no library of a provider is imported yet."""
    table = UsageTable(database)
    days = LocalDays(time.time, settings.agent.timezone)
    ledger = Ledger(table, days)
    budget = Budget(settings.budget, table, days)
    model = choose_model(settings.model, proxy=settings.proxy, meter=lambda model: Metered(model, ledger, budget))
    return model, ledger
