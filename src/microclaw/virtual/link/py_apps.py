"""apps.* of kind "py": what the link asks, handed to the firmware's runner. Keeps nothing: the runner's flash does."""

from __future__ import annotations

from base64 import b64encode
from typing import Final, cast

from microclaw.virtual.link.calls import data_of, whole
from microclaw.virtual.py.programs import Programs
from microclaw.wire.link.values import Value, ValueMap

MAX_WRITE_BYTES: Final = 4_096
_TIMES: Final = ("every_ms", "stop_after_ms")
_BEGIN: Final = ("name", "kind", "size", "heap", "autostart", *_TIMES)


class PyApps:
    """Answers have the form of link/apps.py's."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    def begin(self, params: ValueMap, sha256: str) -> Value:
        asked: ValueMap = {key: value for key, value in params.items() if key in _BEGIN}
        asked["sha256"] = sha256
        times: ValueMap = {key: whole(params, key, 0, 2**32, 0) for key in _TIMES if key in params}
        return {"offset": self._call("begin", asked), **times}

    def write(self, params: ValueMap) -> Value:
        data = data_of(params, "data", MAX_WRITE_BYTES)
        offset = whole(params, "offset", 0, 2**31)
        return {"offset": self._call("write", {"offset": offset, "data": b64encode(data).decode()})}

    def commit(self) -> Value:
        return {"name": self._call("commit", {})}

    def change(self, method: str, name: str | None) -> ValueMap:
        """start, stop, remove or undo."""
        self._call(method, {} if name is None else {"name": name})
        return {"name": name}

    def rows(self) -> list[Value]:
        return cast("list[Value]", self._programs.rows())

    def has(self, name: str) -> bool:
        return any(row["name"] == name for row in self._programs.rows())

    def _call(self, method: str, params: ValueMap) -> Value:
        return cast("Value", self._programs.call(method, params))
