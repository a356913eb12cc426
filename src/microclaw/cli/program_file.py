"""A program's file read: C source or wasm, told apart by its first bytes. Nothing is built."""

from __future__ import annotations

from pathlib import Path

from microclaw.errors import ConfigError

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
