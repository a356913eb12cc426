"""A program's file made into a checked image, without a host. Nothing is installed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from microclaw.boards.profile import BoardProfile
from microclaw.cli.program_file import WASM_MAGIC, read_program, source_text
from microclaw.config import Settings
from microclaw.wasm import BuildCache, compile_module, read_module
from microclaw.wasm.image import Image


def build_file(settings: Settings, file: Path, board: BoardProfile, *, name: str | None, optimization: str) -> Image:
    """Compile C or check wasm, by the file's first bytes. Raises BuildError, ConfigError."""
    content = read_program(file)
    app_name = name or file.stem
    if content.startswith(WASM_MAGIC):
        return read_module(content, board, name=app_name)
    cache = BuildCache(settings.cache)
    source = source_text(content, file)
    return asyncio.run(compile_module(source, board, name=app_name, optimization=optimization, cache=cache))
