"""Finds the Arduino libraries of parts: folders with headers and sources, each an archive of its own. Compiles nothing.

They are `arduino` in the folder of a part, and each folder of hardware/parts/libraries, which several parts' libraries
or readings include.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from microclaw.hardware.parts import reader

SHARED_LIBRARIES: Final = Path(reader.__file__).parent / "libraries"
SOURCES: Final = (".c", ".cpp")

_TEXTS: Final = (".h", *SOURCES)
_INCLUDE: Final = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.MULTILINE)


class Library(Struct, frozen=True):
    """A folder of sources that becomes one archive. `uses` are the folders of other libraries that it includes."""

    root: Path
    uses: tuple[Path, ...] = ()
    defines: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its archive, such as PART-arduino."""
        return f"{self.root.parent.name}-{self.root.name}"

    def digest(self) -> str:
        """Return a hash over all that its archive is made of, but for microclaw's own headers."""
        digest = hashlib.sha256(repr((self.name, self.defines)).encode())
        for root in (self.root, *self.uses):
            digest.update(folder_digest(root))
        return digest.hexdigest()


def library_roots() -> tuple[Path, ...]:
    """Return the folders of all Arduino libraries."""
    return _library_roots(reader.part_folders())


def library_headers() -> Mapping[str, Path]:
    """Return the folder of each header that a program may include."""
    return _library_headers(library_roots())


def part_headers(part: reader.Part) -> tuple[str, ...]:
    """Return the headers by which sketches include a part's libraries: its own, and a shared one with a class of it."""
    names = [name.rstrip("*") for name in part.serves.classes]
    headers = [*part.serves.arduino]
    for header, root in library_headers().items():
        is_own = root.parent.name == part.name
        if not is_own and root.parent == SHARED_LIBRARIES:
            text = _read_text(root / header)
            is_own = any(name in text for name in names)
        if is_own:
            headers.append(header)
    return tuple(dict.fromkeys(headers))


@functools.cache
def _read_text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def libraries_for(headers: Iterable[str]) -> tuple[Library, ...]:
    """Return the libraries that these headers belong to, and those that they include in turn."""
    folders = library_headers()
    begins = {folders[header] for header in headers if header in folders}
    return tuple(map(library_at, _with_included(sorted(begins))))


def library_at(root: Path) -> Library:
    """Return the library in a folder, with those that its files include."""
    _, *uses = _with_included([root])
    return Library(root, tuple(uses))


@functools.cache
def folder_digest(root: Path) -> bytes:
    """Return a hash over the headers and sources in a folder."""
    digest = hashlib.sha256()
    for file in _files(root):
        add_file(digest, file, root)
    return digest.digest()


def add_file(digest: hashlib._Hash, file: Path, root: Path) -> None:
    """Add a file's name below `root` and its bytes to a hash."""
    digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")


def _with_included(begins: Iterable[Path]) -> tuple[Path, ...]:
    """Return these folders and all whose headers they include, directly or not."""
    folders = library_headers()
    reached: dict[Path, None] = {}
    waiting = list(begins)
    while waiting:
        root = waiting.pop(0)
        if root in reached:
            continue
        reached[root] = None
        waiting.extend(folders[header] for header in _included(root) if header in folders)
    return tuple(reached)


@functools.cache
def _library_roots(part_folders: tuple[Path, ...]) -> tuple[Path, ...]:
    roots = [folder / "arduino" for folder in part_folders]
    if SHARED_LIBRARIES.is_dir():
        roots += sorted(SHARED_LIBRARIES.iterdir())
    return tuple(filter(Path.is_dir, roots))


@functools.cache
def _library_headers(roots: tuple[Path, ...]) -> Mapping[str, Path]:
    folders: dict[str, Path] = {}
    for root in roots:
        for header in sorted(root.rglob("*.h")):
            folders.setdefault(header.relative_to(root).as_posix(), root)
    return folders


@functools.cache
def _included(root: Path) -> tuple[str, ...]:
    """Return the headers that the files of a library include, sorted."""
    headers: set[str] = set()
    for file in _files(root):
        headers.update(_INCLUDE.findall(file.read_text(encoding="utf-8")))
    return tuple(sorted(headers))


def _files(root: Path) -> Iterator[Path]:
    for file in sorted(root.rglob("*")):
        if file.suffix in _TEXTS:
            yield file
