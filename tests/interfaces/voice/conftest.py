"""Agents for spoken turns, on one engine of the store: speech keeps nothing there."""

from tests.agent.turn.conftest import make_agent, open_store

__all__ = ["make_agent", "open_store"]  # the fixtures
