"""docs/client.md: its blocks run, one after the other, against a real host with a virtual board."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import pytest
from tests.interfaces.api.people_host import people_host

PAGE: Final = (Path(__file__).parents[3] / "docs" / "client.md").read_text("utf-8")
BLOCKS: Final = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
WITHIN_S: Final = 240.0


def run(blocks: list[str]) -> None:
    scope: dict[str, Any] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/client.md, block {number}", "exec"), scope)


async def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with people_host(tmp_path / "home") as host:
        monkeypatch.setenv("MICROCLAW_HOME", str(tmp_path / "home"))
        monkeypatch.delenv("MICROCLAW_HOST", raising=False)
        blocks = [block.replace("http://127.0.0.1:8080", host.http) for block in BLOCKS]
        blocks = [block.replace("mc_...", host.secrets["ada"]) for block in blocks]
        await asyncio.wait_for(asyncio.to_thread(run, blocks), WITHIN_S)
    shown = capsys.readouterr().out
    for words in ("virtual-1 virtual []", "ada member", "unknown_name", "counted", "['blink']", "42", "Answer"):
        assert words in shown
