"""The files of this machine that a speech engine needs: its program's installation, and Python's modules."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import microclaw
from microclaw.builds.confinement import holds_others_files
from microclaw.sandbox.bubblewrap import SYSTEM

_STORES: Final = (Path("/nix/store"), Path("/gnu/store"), Path("/home/linuxbrew/.linuxbrew"))
"""Programs there have their libraries in other folders of the same store."""
_BESIDES: Final = ("lib", "lib64", "pyvenv.cfg")
_MODULES: Final = ("site-packages", "dist-packages")
_PACKAGE: Final = Path(microclaw.__file__).parent


def installation(program: Path) -> Iterator[Path]:
    """Yield the folders of a program and its libraries, outside of the system's folders; of each link to it, too."""
    for place in _links(program):
        store = next((one for one in _STORES if place.is_relative_to(one)), None)
        folder = place.parent
        if store is not None:
            yield store
        elif any(place.is_relative_to(one) for one in SYSTEM):
            continue
        elif folder.name == "bin":
            yield folder
            yield from (there for name in _BESIDES if (there := folder.parent / name).exists())
            if (folder.parent / "pyvenv.cfg").exists() and not place.name.startswith("python"):
                yield from installation(folder / "python3")  # a script of a virtual environment
        else:
            yield place if holds_others_files(folder) else folder


def _links(program: Path) -> Iterator[Path]:
    """The path and, of links, each that it leads to."""
    for _ in range(40):  # as many as the kernel follows
        yield program
        if not program.is_symlink():
            break
        program = program.parent / program.readlink()
    yield program.resolve()


def python_files() -> list[Path]:
    """The files that a worker in Python reads: this interpreter, its installed packages, and our own."""
    interpreter = [*installation(Path(sys.executable)), *installation(Path(sys.base_prefix, "bin", "python3"))]
    ours = _PACKAGE if holds_others_files(_PACKAGE.parent) else _PACKAGE.parent  # Python lists the folder above
    return list(dict.fromkeys([*interpreter, *_installed_packages(), ours]))


def python_path() -> Sequence[str]:
    """The path on which a worker finds our package and the installed ones. Not the host's own: a home may be on it."""
    return [str(_PACKAGE.parent), *(str(path) for path in _installed_packages())]


def _installed_packages() -> list[Path]:
    return [path for entry in sys.path if (path := Path(entry)).name in _MODULES and path.is_dir()]


def named_folders(environment: Mapping[str, str], names: Sequence[str]) -> list[Path]:
    """The folders that these variables name and a program reads, but none that holds others' files."""
    found = [Path(word) for name in names for word in environment.get(name, "").split(":") if word]
    return [path for path in found if path.is_absolute() and path.is_dir() and not holds_others_files(path)]
