"""Finds the files of a C or C++ program or a sketch on the disk, in the folders of Arduino, PlatformIO and Wokwi.

Each file has a name in the program: its path from the program's folder, or `libraries/NAME/...` for a library, wherever
its folder is. Joins nothing (wasm/source_files.py).
"""

from __future__ import annotations

import itertools
import os
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Final

from msgspec import Struct

from microclaw.durable import read_given_text
from microclaw.programs.source_marks import MAX_FILES, name_for_mark

MAX_FILE_BYTES: Final = 4 << 20
PLATFORMIO_FILE: Final = "platformio.ini"
SKETCH_SUFFIXES: Final = (".ino", ".pde")
SOURCE_SUFFIXES: Final = (".c", ".cpp", ".cc", ".cxx")
LIBRARY_FILE: Final = "library.properties"  # of the Arduino IDE, in the folder of a library
_ALL_SUFFIXES: Final = (*SKETCH_SUFFIXES, *SOURCE_SUFFIXES)
# A library may have thousands of examples; what is looked at of a folder stays small.
_MAX_LISTED: Final = 2000
_MAX_WALKED: Final = 20_000
# No program is longer.
_MAX_SEARCHED_BYTES: Final = 256 << 10
# A method of a class is indented.
_STARTS: Final = re.compile(r"^(?:void|int|extern\s+\"C\"\s+void)\s+(?:setup|main|on_init)\s*\(", re.MULTILINE)


class SourceFiles(Struct, frozen=True):
    """A program's main file by its name in the program, and the paths and texts of its other files by theirs."""

    main: str
    paths: dict[str, Path]
    texts: dict[str, str]


def find_source_files(file: Path, text: str) -> SourceFiles:
    """Return the files that belong to a program whose main file has this text.

    They are those that it includes or embeds, the sources of its headers, all sources of its sketch folder or
    PlatformIO project, and the libraries whose headers it includes. Other files, and links that lead out, stay out.
    Raises ConfigError for a file that cannot be read.
    """
    search = _Search(file)
    search.add_needed(search.main, text)
    search.pending += search.project_sources()
    search.read_pending()
    return SourceFiles(search.main, search.paths, search.texts)


def starts_a_program(text: str) -> bool:
    """Return True if a source defines a function with which a program begins."""
    # Most sources have no such line, not even in a comment.
    if _STARTS.search(text) is None:
        return False
    # Imported here, because most programs are one file.
    from microclaw.programs.wasm.source_files import without_comments

    return _STARTS.search(without_comments(text)) is not None


def read_leniently(path: Path) -> str:
    """Return the text of a file that is only searched for functions, or nothing if it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_SEARCHED_BYTES)
    except OSError:
        return ""


def list_sources(folder: Path, suffixes: tuple[str, ...] = _ALL_SUFFIXES, *, recursive: bool = False) -> list[Path]:
    """Return the files with such suffixes in a folder, sorted: no hidden ones, and none behind a link to a folder."""
    paths: list[Path] = []
    if recursive and folder.is_symlink():
        return paths
    walked_count = 0
    for place, subfolders, names in os.walk(folder):
        for name in names:
            if name.endswith(suffixes) and not name.startswith("."):
                paths.append(Path(place, name))
        walked_count += len(names)
        if not recursive or walked_count > _MAX_WALKED:
            break
        subfolders.sort()
    return sorted(paths)[:_MAX_LISTED]


def project_folder(file: Path) -> Path:
    """Return the folder of the project that a source in `src` belongs to, else the source's own."""
    folder = file.parent
    for parent in file.parents:
        if parent.name == "src" and (parent.parent / PLATFORMIO_FILE).is_file():
            folder = parent.parent
    return folder


def library_folders(file: Path) -> list[Path]:
    """Return the folders of the libraries that lie beside a program, the first of two equal names first.

    They are in `libraries` beside the sketch or its folder (a sketchbook), and in `lib` of a PlatformIO project. For
    an example of a library it is that library.
    """
    folder = project_folder(file.resolve())
    places = [folder / "libraries", folder.parent / "libraries"]
    if (folder / PLATFORMIO_FILE).is_file():
        places = [folder / "lib"]
    folders = []
    for parent in folder.parents:
        if parent.name == "examples" and (parent.parent / LIBRARY_FILE).is_file():
            folders.append(parent.parent)
    for place in places:
        folders += _subfolders(place)
    return folders


class _Search:
    """The search for one program's files."""

    def __init__(self, file: Path) -> None:
        # Imported here, because most programs are one file.
        from microclaw.programs.wasm.source_files import IncludePaths

        self._file = file.resolve()
        self._folder = project_folder(self._file)
        self._is_platformio = (self._folder / PLATFORMIO_FILE).is_file()
        self.main = file.name
        if self._file.parent != self._folder:
            self.main = self._file.relative_to(self._folder).as_posix()
        self._libraries: dict[str, Path] = {}
        for folder in library_folders(file):
            self._libraries.setdefault(name_for_mark(f"libraries/{folder.name}"), folder)
        roots = []
        for name in self._libraries:
            roots += [f"{name}/src", f"{name}/include", name]
        self._includes = IncludePaths(tuple(roots), self._exists)
        self.paths: dict[str, Path] = {}
        self.texts: dict[str, str] = {}
        self.pending: list[str] = []
        self._used_libraries: set[str] = set()
        self._renamed: dict[str, Path] = {}

    def add_needed(self, within: str, text: str) -> None:
        """Put the files that a text includes or embeds into the list of those to be read."""
        from microclaw.programs.wasm.source_files import included_names

        self._add_embedded(within, text)
        for include in included_names(text):
            name = self._includes.find(include, within)
            if name is not None:
                self.pending.append(name)

    def read_pending(self) -> None:
        """Read the listed files and those that they need, up to one more than a program may have."""
        while self.pending and len(self.texts) <= MAX_FILES:
            name = self.pending.pop()
            path = self._path(name)
            if name in self.texts or path is None or path.resolve() == self._file:
                continue
            self.paths[name] = path
            self.texts[name] = read_given_text(path, MAX_FILE_BYTES)
            self.add_needed(name, self.texts[name])
            self._add_sources_of(name)

    def project_sources(self) -> list[str]:
        """Return the sources that belong to the program without being included: tabs, and a project's src folder."""
        sources = self._folder / "src"
        if self._is_platformio and self._file.is_relative_to(sources):
            return self._project_names(sources)
        if self._file.suffix not in SKETCH_SUFFIXES or not self._is_sketch_folder():
            return []
        beside = self._names_below(self._folder, recursive=False)
        return beside + self._names_below(sources, recursive=True)

    def _project_names(self, sources: Path) -> list[str]:
        """Return the sources of a project but those that begin another program: its environments choose among them."""
        paths = list_sources(sources, recursive=True)
        if len(paths) <= MAX_FILES:
            paths = [path for path in paths if not starts_a_program(read_leniently(path))]
        return [self._name_of(path, self._folder, "") for path in paths]

    def _is_sketch_folder(self) -> bool:
        """Return True if all in the folder is one sketch: by its name, or because nothing else there is a program."""
        if self._folder.name == self._file.stem:
            return True
        others = [path for path in list_sources(self._folder) if path != self._file]
        if len(others) > MAX_FILES:
            return False
        return not any(starts_a_program(read_leniently(path)) for path in others)

    def _add_embedded(self, within: str, text: str) -> None:
        """List the files whose symbols (_binary_..._start) a text names: beside it, or in the program's folder."""
        from microclaw.programs.wasm.embedded_files import embedded_symbols, find_embedded

        if "_binary_" not in text:
            return
        names: list[str] = []
        for folder in dict.fromkeys((posixpath.dirname(within), "")):
            _root, path = self._place(folder)
            for file in list_sources(path, ("",)):
                names.append(posixpath.join(folder, file.name))
        for symbol in embedded_symbols(text):
            name = find_embedded(symbol, names)
            if name is not None:
                self.pending.append(name)

    def _add_sources_of(self, name: str) -> None:
        """List the sources of a header: its own, or all of the library that it belongs to."""
        library = self._library_of(name)
        if library is not None:
            if library not in self._used_libraries:
                self._used_libraries.add(library)
                self.pending += self._library_sources(library)
            return
        path = PurePosixPath(name)
        if path.suffix.startswith(".h"):
            self.pending += [str(path.with_suffix(suffix)) for suffix in SOURCE_SUFFIXES]

    def _library_of(self, name: str) -> str | None:
        library = "/".join(name.split("/")[:2])
        if library in self._libraries:
            return library
        return None

    def _library_sources(self, library: str) -> list[str]:
        """Return a library's sources: all below src, else those beside its header and in utility."""
        folder = self._libraries[library]
        if (folder / "src").is_dir():
            paths = list_sources(folder / "src", recursive=True)
        else:
            paths = [*list_sources(folder), *list_sources(folder / "utility")]
        return [self._name_of(path, folder, f"{library}/") for path in paths]

    def _names_below(self, folder: Path, *, recursive: bool) -> list[str]:
        paths = list_sources(folder, recursive=recursive)
        return [self._name_of(path, self._folder, "") for path in paths]

    def _name_of(self, path: Path, folder: Path, prefix: str) -> str:
        """Return the name in the program of a file below a folder; "my tab.ino" has another one there."""
        file = prefix + path.relative_to(folder).as_posix()
        name = name_for_mark(file)
        if name != file:
            self._renamed.setdefault(name, path)
        return name

    def _exists(self, name: str) -> bool:
        return self._path(name) is not None

    def _path(self, name: str) -> Path | None:
        """Return the path of a file by its name in the program; None if there is none, or a link leads out."""
        if posixpath.normpath(name) != name or name.startswith(("/", "..")):
            return None
        root, path = self._place(name)
        if is_file(path) and path.resolve().is_relative_to(root.resolve()):
            return path
        return None

    def _place(self, name: str) -> tuple[Path, Path]:
        """Return where a file or folder of the program is by its name: the folder that it must be in, and its path."""
        root = self._folder
        path = root / name
        library = self._library_of(name)
        if library is not None:
            root = self._libraries[library]
            path = root / name.removeprefix(library).lstrip("/")
        return root, self._renamed.get(name, path)


def is_file(path: Path) -> bool:
    """Return True for a file; False also for a name that is too long for the disk, and in a folder that is locked."""
    try:
        return path.is_file()
    except OSError:
        return False


def _subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    entries = itertools.islice(folder.iterdir(), _MAX_LISTED)
    return sorted(path for path in entries if path.is_dir())
