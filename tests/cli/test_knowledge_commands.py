"""memory edit beside a running host: an editor that fails or is late."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Run


@pytest.fixture
def home(host: dict[str, Any]) -> Path:
    return Path(host["home"])


def editor(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = folder / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(path))
    monkeypatch.delenv("VISUAL", raising=False)


def test_an_editor_that_changes_nothing_or_fails_changes_nothing(
    ask: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask("memory", "show", "--json").out
    editor(tmp_path, monkeypatch, "true")
    assert ask("memory", "edit").code == 0
    editor(tmp_path, monkeypatch, 'echo lost > "$1"; exit 3')
    assert ask("memory", "edit").code == 1
    monkeypatch.setenv("EDITOR", str(tmp_path / "no-such-editor"))
    assert ask("memory", "edit").code == 1
    assert ask("memory", "show", "--json").out == before


def test_what_was_written_is_kept_when_somebody_else_changed_it_meanwhile(
    ask: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = home / "memory" / "MEMORY.md"
    editor(tmp_path, monkeypatch, f'mkdir -p "{memory.parent}"; echo "- theirs" >> "{memory}"; echo "- mine" >> "$1"')
    refused = ask("memory", "edit")
    assert refused.code == 1
    kept = Path(refused.out.split("what you wrote is in ")[1].split()[0])
    assert "- mine" in kept.read_text()
    kept.unlink()
    assert "- theirs" in ask("memory", "show").out
    assert "- mine" not in ask("memory", "show").out
