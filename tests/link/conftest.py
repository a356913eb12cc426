"""A real host to check, in this process and on its own event loop: the device plane of tests/link_server."""

from __future__ import annotations

from tests.link_server.conftest import Plane as Plane
from tests.link_server.conftest import limits as limits
from tests.link_server.conftest import plane as plane
from tests.link_server.on_uvloop.conftest import pytest_asyncio_loop_factories as pytest_asyncio_loop_factories
