"""An LCD1602: all of it is in character_display.py, and its size in part.toml."""

from __future__ import annotations

from microclaw.hardware.parts.character_display import CharacterDisplay as Model

__all__ = ["Model"]
