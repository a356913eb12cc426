"""A real host to check, in this process and on uvloop, as a host runs: the device plane of tests/devices/link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from tests.devices.link.conftest import Plane as Plane
from tests.devices.link.conftest import limits as limits
from tests.devices.link.conftest import plane as plane


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}
