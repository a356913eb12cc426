"""The virtual board that sentences are about."""

from __future__ import annotations

import pytest
from tests.agent.offline.turns import WORLDS

from microclaw.agent.models.protocol import DeviceContext


@pytest.fixture
def device_context() -> DeviceContext:
    return WORLDS["one board"].context
