"""The tool catalog: a list, one entry with its source, and what a stranger's folder does to the turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from microclaw.agent.toolbox import Toolbox
from microclaw.auth.gate import Gate
from microclaw.operations.declared_tools import declared_tools
from microclaw.operations.tool import ToolContext, ToolResult
from microclaw.patterns.catalog import shipped


async def ask(folder: Path | None = None, **arguments: Any) -> tuple[ToolResult, dict[str, Any]]:
    box = Toolbox(declared_tools({"catalog": [] if folder is None else [folder]}), Gate())
    result = await box.call("catalog", json.dumps(arguments), ToolContext("owner", lambda _: None))
    return result, json.loads(result.content)


async def test_what_a_folder_says_is_a_strangers_text(tmp_path: Path) -> None:
    place = tmp_path / "blink2" / "1.0.0"
    place.mkdir(parents=True)
    entry = next(one for one in shipped().entries if one.name == "blink")
    for name, content in entry.files.items():
        text = content.decode().replace(f'"{entry.version_text}"', '"1.0.0"').replace('"blink.c"', '"blink2.c"')
        (place / name.replace("blink.", "blink2.")).write_text(text)
    (tmp_path / "broken").mkdir()
    result, found = await ask(tmp_path, words="blink2")
    assert [row[0] for row in found["entries"]] == ["blink2"]
    assert found["mistakes"] == 1
    assert result.foreign
    assert (await ask(tmp_path, name="blink2"))[0].foreign
