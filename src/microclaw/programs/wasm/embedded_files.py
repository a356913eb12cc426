"""Puts the text files that a C program names by ESP-IDF's symbols (EMBED_TXTFILES) into its text. Reads no disk.

`extern const char cert[] asm("_binary_server_pem_start");` is the text of server.pem, which ends with a NUL as there;
`asm("_binary_server_pem_end")` is the place behind it. The declaration stays on its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

_DECLARATION: Final = re.compile(
    r"\bextern[ \t]+(?P<type>const[ \t]+(?:unsigned[ \t]+)?\w+)[ \t]+(?P<name>\w+)[ \t]*\[[ \t]*\][ \t]*"
    r"(?:asm|__asm__)[ \t]*\([ \t]*\"_binary_(?P<symbol>\w{1,100})_(?P<edge>start|end)\"[ \t]*\)[ \t]*;"
)
_NOT_IN_SYMBOLS: Final = re.compile(r"\W", re.ASCII)


def embedded_symbols(text: str) -> frozenset[str]:
    """Return the files that a source embeds, as their symbols name them: server_pem for server.pem."""
    return frozenset(declaration["symbol"] for declaration in _DECLARATION.finditer(text))


def find_embedded(symbol: str, names: Iterable[str]) -> str | None:
    """Return the first of the files' names that has this symbol, or None."""
    for name in names:
        if _NOT_IN_SYMBOLS.sub("_", name.rpartition("/")[2]) == symbol:
            return name
    return None


def with_files_embedded(text: str, files: Mapping[str, str], most_chars: int) -> str | None:
    """Return a source with the texts of those of `files` in it that it embeds. Others are left as they are.

    Returns None if these texts have more than `most_chars` as C: a source may declare one file many times.
    """
    declarations = list(_DECLARATION.finditer(text))
    starts = {}
    for declaration in declarations:
        if declaration["edge"] == "start":
            starts[declaration["symbol"]] = declaration["name"]
    pieces = []
    copied = 0
    left_chars = most_chars
    for declaration in declarations:
        definition = _definition(declaration, files, starts)
        left_chars -= len(definition)
        if left_chars < 0:
            return None
        pieces += [text[copied : declaration.start()], definition]
        copied = declaration.end()
    return "".join([*pieces, text[copied:]])


def _definition(declaration: re.Match[str], files: Mapping[str, str], starts: Mapping[str, str]) -> str:
    """Return the C that stands in place of a declaration; `starts` are the names of the texts by their symbols."""
    file = find_embedded(declaration["symbol"], files)
    start = starts.get(declaration["symbol"])
    if file is None or start is None:
        return declaration[0]
    head = f"static {declaration['type']} "
    if declaration["edge"] == "end":
        return f"{head}*const {declaration['name']} __attribute__((unused)) = {start} + sizeof {start};"
    return f"{head}{declaration['name']}[] __attribute__((unused)) = {_c_text(files[file])};"


def _c_text(text: str) -> str:
    """Return a text as a C string: quotes, backslashes and what is no printable ASCII as octal numbers."""
    pieces = []
    for byte in text.encode():
        if 0x20 <= byte < 0x7F and byte not in b'"\\?':
            pieces.append(chr(byte))
        else:
            pieces.append(f"\\{byte:03o}")
    return f'"{"".join(pieces)}"'
