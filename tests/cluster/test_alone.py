"""A host without --database has nothing of many hosts in it."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import asyncio, pathlib, sys, tempfile
from microclaw.app.host import running_host
from microclaw.config.load import load_settings
from dataclasses import replace

async def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"HOME": folder}, home=pathlib.Path(folder) / "home")
        async with running_host(replace(settings, http_port=0, gateway_off=True, gateway=None)):
            print(sorted(name for name in sys.modules if name.startswith("psycopg") or ".cluster." in name))

asyncio.run(main())
"""


def test_a_host_that_is_alone_imports_the_declared_act_of_many_hosts_alone() -> None:
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['microclaw.cluster.operations']\n"
