"""A program's file made into a checked image, without a host. Nothing is installed."""

from __future__ import annotations

from pathlib import Path

from microclaw.boards.profile import BoardProfile
from microclaw.config import Settings
from microclaw.errors import ConfigError
from microclaw.wasm.image import Image

WASM_MAGIC = b"\0asm"
MAX_FILE_BYTES = 4 << 20


def read_program(file: Path) -> bytes:
    """The file's bytes; ConfigError says why it cannot be read."""
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{file} has {file.stat().st_size:,} bytes, at most {MAX_FILE_BYTES:,} are read")
        return file.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"cannot read {file}: {exc.strerror}", next_step="give the path of a .c or .wasm file"
        ) from exc


def source_text(content: bytes, file: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise ConfigError(
            f"{file} is neither wasm nor UTF-8 text (byte {exc.start})", next_step="save the source as UTF-8"
        ) from exc


async def build_file(
    settings: Settings, file: Path, board: BoardProfile, *, name: str | None, optimization: str
) -> Image:
    """Compile C or check wasm, by the file's first bytes. Raises BuildError, ConfigError."""
    from microclaw.wasm import BuildCache, compile_module, read_module

    content = read_program(file)
    app_name = name or file.stem
    if content.startswith(WASM_MAGIC):
        return read_module(content, board, name=app_name)
    cache = BuildCache(settings.cache)
    source = source_text(content, file)
    return await compile_module(source, board, name=app_name, optimization=optimization, cache=cache)
