"""Reads YAML files that people write: each mistake has its line, and all are reported together. It knows no meaning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import yaml

from microclaw.conversion import convert
from microclaw.errors import ConfigError, Diagnostic
from microclaw.host.config.schema import did_you_mean


class FileMistakes(ConfigError):
    """The mistakes in such a file; `diagnostics` has all of them, with lines."""

    def __init__(self, diagnostics: Sequence[Diagnostic], page: str) -> None:
        first = diagnostics[0]
        if len(diagnostics) > 1:
            text = f"{first.file}: {len(diagnostics)} mistakes"
        else:
            text = first.render().splitlines()[0]
        super().__init__(text, next_step=f"correct {first.file}; {page} has its form")
        self.diagnostics = tuple(diagnostics)


class YamlFile:
    """Reads nodes and collects `mistakes`; a subclass knows the fields. `page` of the docs shows the file's form."""

    page: ClassVar[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mistakes: list[Diagnostic] = []

    def check(self) -> None:
        """Raise FileMistakes where something is wrong."""
        if self.mistakes:
            raise FileMistakes(sorted(self.mistakes, key=lambda one: (one.line or 0, one.column or 0)), self.page)

    def root(self, content: bytes, empty: str) -> yaml.Node | None:
        """Return the node of the file, or None after a mistake. `empty` is the next step for an empty file."""
        try:
            root = yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
        except UnicodeDecodeError as exc:
            self.wrong(content.count(b"\n", 0, exc.start) + 1, "this line is not UTF-8", "save it as UTF-8")
        except (yaml.YAMLError, RecursionError, ValueError) as exc:
            mark = getattr(exc, "problem_mark", None)
            text = getattr(exc, "problem", None) or f"{exc!s:.200}"
            step = f'{self.page} shows the form; a text with ": ", #, * or & in it goes into quotes'
            line = mark.line + 1 if mark else 1
            self.wrong(line, f"this is not YAML: {text}", step)
        else:
            if root is None:
                self.wrong(1, "the file is empty", empty)
            return root
        return None

    def fields(self, node: yaml.Node, known: Sequence[str], what: str) -> dict[str, yaml.Node]:
        """Return the values of a mapping by their names, which must be `known`."""
        found: dict[str, yaml.Node] = {}
        if not isinstance(node, yaml.MappingNode) or not node.value:
            self.at(node, f"{what} has to be fields", f"write {known[0]}: ...")
            return found
        for key_node, value_node in node.value:
            # The key may also be a list or a mapping, which is not the name of a field.
            key = str(key_node.value)
            if key not in known:
                near = did_you_mean(key, known)
                self.at(key_node, f"{what} has no field {key:.60}{near}", f"fields: {', '.join(known)}")
            elif key in found:
                first = found[key].start_mark.line + 1
                self.at(key_node, f"{key} is there twice; the first is in line {first}", "leave one of them out")
            else:
                found[key] = value_node
        return found

    def value(self, node: yaml.Node, key: str, kind: Any) -> Any:
        """Convert the value to this type. Return None after a mistake, as for an empty value."""
        try:
            found = yaml.safe_load(yaml.serialize(node))
            if found is not None:
                return convert(found, kind)
            wrong = "it is empty"
        except (msgspec.ValidationError, yaml.YAMLError, ValueError, RecursionError) as exc:
            wrong = f"{exc}".partition("\n")[0].replace("`", "")
        self.at(node, f"{key}: {wrong}", f"{self.page} lists the allowed values")
        return None

    def at(self, node: yaml.Node, message: str, hint: str) -> None:
        """Add a mistake at this place."""
        self.wrong(node.start_mark.line + 1, message, hint, node.start_mark.column + 1)

    def wrong(self, line: int, message: str, hint: str, column: int | None = None) -> None:
        """Add a mistake in this line."""
        self.mistakes.append(Diagnostic("error", message, str(self.path), line, column, hint=hint))
