"""What the apps stage needs of the parts it is given: narrow Protocols, implemented elsewhere."""

from __future__ import annotations

from typing import Protocol

from microclaw.apps.terms import TrialTerms
from microclaw.apps.trial import Trial
from microclaw.boards.profile import BoardProfile
from microclaw.devices.device import Device
from microclaw.wasm.image import Image


class Devices(Protocol):
    """devices.Registry."""

    def get(self, reference: str) -> Device: ...

    def list(self) -> tuple[Device, ...]: ...


class Compile(Protocol):
    """wasm.compile_module with its cache already bound."""

    async def __call__(self, source: str, board: BoardProfile, *, name: str, optimization: str) -> Image: ...


class ReadModule(Protocol):
    """wasm.read_module: the checks alone, for bytes that are there already."""

    def __call__(self, wasm: bytes, board: BoardProfile, *, name: str, source: str | None) -> Image: ...


class Try(Protocol):
    """apps.try_image with its standby already bound."""

    async def __call__(self, image: Image, board: BoardProfile, terms: TrialTerms) -> Trial: ...
