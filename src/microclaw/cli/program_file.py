"""A program's file read: C source or wasm, told apart by its first bytes. Nothing is built."""

from __future__ import annotations

from pathlib import Path

from microclaw.config import Limits
from microclaw.errors import ConfigError

WASM_MAGIC = b"\0asm"
MAX_FILE_BYTES = 4 << 20
MAX_SOURCE_CHARS = Limits().source_chars
_GIVE_A_PROGRAM = "give the path of a .c or .wasm file"


def read_program(file: Path) -> bytes:
    """The file's bytes; ConfigError says why it cannot be read."""
    try:
        with file.open("rb") as opened:  # a device or a pipe tells no size beforehand
            content = opened.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"cannot read {file}: {exc.strerror}", next_step=_GIVE_A_PROGRAM) from exc
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{file} has more than {MAX_FILE_BYTES:,} bytes", next_step=_GIVE_A_PROGRAM)
    if not content:
        raise ConfigError(f"{file} is empty", next_step=_GIVE_A_PROGRAM)
    if file.suffix == ".wasm" and not content.startswith(WASM_MAGIC):
        raise ConfigError(
            f"{file} is no wasm module: it does not begin with 00 61 73 6d",
            next_step="build one with microclaw app build FILE.c, or name a C source .c",
        )
    return content


def source_text(content: bytes, file: Path) -> str:
    """The file as text, without the mark that some editors put before UTF-8."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(
            f"{file} is neither wasm nor UTF-8 text (byte {exc.start})", next_step="save the source as UTF-8"
        ) from exc
    if len(text) > MAX_SOURCE_CHARS:
        raise ConfigError(
            f"{file} has {len(text):,} characters, a program's source at most {MAX_SOURCE_CHARS:,}",
            next_step="leave large tables out, or compute them",
        )
    return text
