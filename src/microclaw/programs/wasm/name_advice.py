"""The names that headers declare, and the advice on a name that none declares. Reads our own headers only."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from microclaw.programs.wasm.part_libraries import library_headers
from microclaw.programs.wasm.part_readings import reading_names
from microclaw.programs.wasm.part_screens import screen_functions
from microclaw.programs.wasm.refusals import Advice, refused_name
from microclaw.programs.wasm.source_scanner import own_header_names
from microclaw.programs.wasm.tables import words_of
from microclaw.programs.wasm.toolchain import HEADERS

NEAR: Final = 0.78  # of difflib, above which a name counts as meant
_METHOD: Final = re.compile(r"\b([a-z]\w+)\(")
_CLASS: Final = re.compile(r"^class (\w+)", re.MULTILINE)
_PRIVATE: Final = re.compile(r"private:.*?^\s*};", re.DOTALL | re.MULTILINE)
_MACROS: Final = re.compile(r" (?:__attribute__|PIN_MARKS_|MARK_|HANDLE_)")
_DECLARATION: Final = re.compile(
    r"^#define (\w+)|^typedef [^{;]*?(\w+);|^\} (\w+);"
    r"|^(?:static inline |__attribute__\S+ )?[a-z][\w ]*?[ *](\w+)\(",
    re.M,
)


def advice_on(name: str, *, with_arduino: bool = True) -> Advice:
    """Return the advice on an unknown name: its replacement, the header that has it, or the nearest that exists."""
    library = _library_classes().get(name)
    if library is not None:
        return Advice(f"add #include <{library}>")
    refusal = refused_name(name)
    names = declared_names()
    if refusal is not None and not (refusal.by_pattern and name in names):
        return refusal
    if name in names:
        return Advice(f"add #include <{names[name]}>")
    others = [other for other, header in names.items() if with_arduino or header != "Arduino.h"]
    # Two letters may be swapped.
    near = [other for other in others if len(other) == len(name) and sorted(other) == sorted(name)]
    near += difflib.get_close_matches(name, others, n=1, cutoff=NEAR)
    if near:
        return Advice(f"did you mean {near[0]} (of {names[near[0]]})?")
    return Advice(f"define {name} before it is used, or leave it out", "the program does not define it, nor any header")


def declared_names() -> Mapping[str, str]:
    """Return every name that a header offers, with the header; microclaw.h first, and the libraries of parts last."""
    readings = dict.fromkeys((*reading_names(), *screen_functions()), "microclaw.h")
    return {**_library_classes(), **_own_names(), **readings}


def _library_classes() -> Mapping[str, str]:
    """Return the classes of the libraries of parts, each with its header."""
    headers: dict[str, str] = {}
    for header, root in library_headers().items():
        for name in _classes(root / header):
            headers.setdefault(name, header)
    return headers


@functools.cache
def _classes(header: Path) -> tuple[str, ...]:
    """Return the classes of a library's header."""
    return tuple(_CLASS.findall(header.read_text(encoding="utf-8")))


@functools.cache
def _own_names() -> Mapping[str, str]:
    names: dict[str, str] = {}
    for path in sorted(HEADERS.rglob("*.h"), key=lambda path: (path.name != "microclaw.h", path.name)):
        header = path.relative_to(HEADERS).as_posix()
        if header not in own_header_names():
            continue
        for groups in _DECLARATION.findall(path.read_text(encoding="utf-8")):
            names.setdefault(next(filter(None, groups)), header)
    return names


@functools.cache
def library_methods(libraries: tuple[Path, ...]) -> frozenset[str]:
    """Return the functions of the classes in our C++ headers and in those of these libraries."""
    files = [HEADERS / name for name in words_of("cplusplus_headers") if name.endswith(".h")]
    for root in (HEADERS / "arduino", *libraries):
        files += root.glob("*.h")
    methods: set[str] = set()
    for file in files:
        methods.update(_METHOD.findall(_PRIVATE.sub("", file.read_text(encoding="utf-8"))))
    return frozenset(methods)


def find_declaration(header: str, name: str) -> str:
    """Return the line of a header that declares a name."""
    folder = library_headers().get(header, HEADERS)
    for line in (folder / header).read_text(encoding="utf-8").splitlines():
        if re.search(rf"^[^#/].*\b{name}\(", line):
            return _MACROS.split(line)[0].strip()
    return name
