"""Programs on devices: what is there, checks and trials, installations, and what was changed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from microclaw.client.calls import Group, Rows, Watch, given, rows
from microclaw.client.devices import DeviceChoice
from microclaw.client.request import segment
from microclaw.wire.host_api import JsonObject

if TYPE_CHECKING:
    from microclaw.api import answers, host_answers

Where: TypeAlias = str | DeviceChoice
"""A device's name, or several devices: then the result has `results`, one for each."""


class Programs(Group):
    """`client.programs`. Of acts that take a while `watch` gets the events; `within_s` is how long they may take."""

    def list(self, device: str | None = None) -> Rows[answers.AppFacts]:
        """What runs where."""
        return rows(self._host.get("/v1/apps", {"device": device}), "apps")

    def get(self, device: str, name: str) -> answers.AppWithSource:
        """One program, with its source and proof where they are known."""
        return cast("answers.AppWithSource", self._host.get(f"/v1/devices/{segment(device)}/apps/{segment(name)}"))

    def source(self, device: str, name: str) -> str | None:
        """Its source; None of one that this host did not build."""
        return self.get(device, name)["source"]

    def check(
        self,
        source: str,
        *,
        name: str | None = None,
        language: str | None = None,
        device: str | None = None,
        board: str | None = None,
        optimization: str | None = None,
        heap_bytes: int | None = None,
    ) -> answers.CheckedProgram:
        """Build it and check it for the board of `device`, or for `board`: `ok`, and `findings` with line and column.

        C, C++, a sketch or Python; without `language` the source says which.
        """
        body = given(name=name, language=language, device=device, board=board)
        body |= given(optimization=optimization, heap_bytes=heap_bytes)
        return cast("answers.CheckedProgram", self._host.post("/v1/programs/check", body | {"source": source}))

    def compile(
        self,
        source: str,
        *,
        name: str = "main.c",
        files: Mapping[str, str] | None = None,
        board: str = "virtual",
        optimization: str | None = None,
        compiler: str | None = None,
    ) -> host_answers.CompiledModule:
        """The module that C or C++ makes, for a board: `wasm` in base64, `size`, `imports`, `pins`, `warnings`.

        A fault is a HostError `build_error` with its places in `error.failure.diagnostics`. `files` are the program's
        other files by name.
        """
        body = given(optimizationLevel=optimization, compiler=compiler)
        body |= {"source": source, "name": name, "files": dict(files or {}), "board": board}
        return cast("host_answers.CompiledModule", self._host.post("/api/compile-wasm", body))

    def compilers(self) -> JsonObject:
        """Which compilers the host has, and how to get the others."""
        return self._host.get("/api/compile-wasm")

    def try_out(
        self,
        source: str,
        *,
        language: str | None = None,
        device: str | None = None,
        for_s: float = 10.0,
        inputs: Sequence[tuple[int, int, float]] = (),
        expect: str | None = None,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """Run it on a throw-away virtual board: `ok`, `edges`, `log`, `evidence`, and `error` with `next`.

        For the board of `device`; `for_s` is board time, `inputs` are (pin, level, second), `expect` as in
        docs/proof.md. A program that does not build is a HostError `build_error`.
        """
        levels = [{"pin": pin, "level": level, "at_ms": round(at_s * 1000)} for pin, level, at_s in inputs]
        body = given(language=language, device=device, for_ms=round(for_s * 1000), inputs=levels or None, expect=expect)
        return self._act("/v1/programs/try", body | {"source": source}, watch=watch, within_s=within_s)

    def install(
        self,
        where: Where,
        name: str,
        program: str | bytes,
        *,
        language: str | None = None,
        expect: str | None = None,
        replace: bool = False,
        force: bool = False,
        heap_bytes: int | None = None,
        timers: int | None = None,
        watchdog_ms: int | None = None,
        optimization: str | None = None,
        every_ms: int | None = None,
        stop_after_ms: int | None = None,
        origin: Mapping[str, Any] | None = None,
        when_back: bool = False,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """Build, check, try, install and verify a program: source text, or the bytes of a wasm module.

        `replace`: also a program of that name that this host did not install. `force`: also when its trial fails.
        `when_back`: where the device is away, do it when it is back.
        """
        body = given(
            name=name,
            language=language,
            expect=expect,
            replace=replace or None,
            force=force or None,
            heap_bytes=heap_bytes,
            timers=timers,
            watchdog_ms=watchdog_ms,
            optimization=optimization,
            every_ms=every_ms,
            stop_after_ms=stop_after_ms,
            origin=origin and dict(origin),
        )
        path, chosen = _at(where)
        return self._act(
            path, body | _program(program) | chosen, query=_when(when_back), watch=watch, within_s=within_s
        )

    def upgrade(
        self,
        where: Where,
        name: str,
        program: str | bytes,
        *,
        language: str | None = None,
        expect: str | None = None,
        optimization: str | None = None,
        origin: Mapping[str, Any] | None = None,
        when_back: bool = False,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """A new version; heap, timers, watchdog and times stay."""
        body = given(language=language, expect=expect, optimization=optimization, origin=origin and dict(origin))
        path, chosen = _at(where, name, "upgrade")
        return self._act(
            path, body | _program(program) | chosen, query=_when(when_back), watch=watch, within_s=within_s
        )

    def remove(
        self,
        where: Where,
        name: str,
        *,
        when_back: bool = False,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """Take a program off."""
        if isinstance(where, str):
            path, method, chosen = _at(where, name)[0], "DELETE", None
        else:
            (path, chosen), method = _at(where, name, "remove"), "POST"
        return self._act(path, chosen, method=method, query=_when(when_back), watch=watch, within_s=within_s)

    def stop(
        self,
        where: Where,
        name: str,
        *,
        when_back: bool = False,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        return self._switch("stop", where, name, when_back, watch, within_s)

    def start(
        self,
        where: Where,
        name: str,
        *,
        when_back: bool = False,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        return self._switch("start", where, name, when_back, watch, within_s)

    def restart(
        self, where: Where, name: str, *, watch: Watch | None = None, within_s: float | None = None
    ) -> JsonObject:
        return self._switch("restart", where, name, False, watch, within_s)

    def set_times(
        self,
        where: Where,
        name: str,
        *,
        every_ms: int | Literal["keep"] | None = "keep",
        stop_after_ms: int | Literal["keep"] | None = "keep",
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """When it runs: begun anew each `every_ms`, each run at most `stop_after_ms`; None drops a time."""
        times = {"every_ms": every_ms, "stop_after_ms": stop_after_ms}
        path, chosen = _at(where, name, "times")
        said = {key: value for key, value in times.items() if value != "keep"}
        return self._act(path, said | chosen, watch=watch, within_s=within_s)

    def cancel_deferred(self, device: str, name: str) -> JsonObject:
        """Drop what waits for the device to be back."""
        return self._host.post(f"{_at(device, name)[0]}/cancel", {})

    def changes(self, *, device: str | None = None, limit: int = 50) -> Rows[answers.ChangeFacts]:
        """What was changed, newest first."""
        return rows(self._host.get("/v1/changes", {"device": device, "limit": limit}), "changes")

    def undo(
        self,
        change_id: int | None = None,
        *,
        device: str | None = None,
        anyone: bool = False,
        watch: Watch | None = None,
        within_s: float | None = None,
    ) -> JsonObject:
        """Take back a change, or all of the newest request: your own, or `anyone`'s."""
        body = given(change_id=change_id, device=device, anyone=anyone or None)
        return self._act("/v1/undo", body, watch=watch, within_s=within_s)

    def tries(self, *, limit: int = 50) -> Rows[JsonObject]:
        """Programs that models wrote, and what was wrong with them, newest first."""
        return rows(self._host.get("/v1/tries", {"limit": limit}), "tries")

    def _switch(
        self,
        switch: Literal["stop", "start", "restart"],
        where: Where,
        name: str,
        when_back: bool,
        watch: Watch | None,
        within_s: float | None,
    ) -> JsonObject:
        path, chosen = _at(where, name, switch)
        return self._act(path, chosen, query=_when(when_back), watch=watch, within_s=within_s)


def _at(where: Where, *names: str) -> tuple[str, JsonObject]:
    """The path of an act on one device or on several, and what the body says of these."""
    place, chosen = ("", where.body()) if isinstance(where, DeviceChoice) else (f"/devices/{segment(where)}", {})
    return "/".join((f"/v1{place}/apps", *map(segment, names))), chosen


def _when(when_back: bool) -> Mapping[str, bool]:
    return {"when_back": True} if when_back else {}


def _program(program: str | bytes) -> JsonObject:
    if isinstance(program, str):
        return {"source": program}
    return {"wasm": base64.b64encode(program).decode()}
