"""The parameters of acts on programs: their types, bounds and help."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from microclaw.apps.results import AppOrigin
from microclaw.text import MAX_PROGRAM_CHARS

MAX_EXPECT_CHARS: Final = 16 * 1024

DeviceName: TypeAlias = Annotated[str, Meta(description="The device's name.")]
AppName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=126, description="The program's name.")]
Source: TypeAlias = Annotated[
    str | None, Meta(min_length=1, max_length=MAX_PROGRAM_CHARS, description="The program; or `wasm`.")
]
Language: TypeAlias = Annotated[
    Literal["c", "c++", "sketch", "python"] | None, Meta(description="Without it the source says it.")
]
Wasm: TypeAlias = Annotated[bytes | None, Meta(description="A module's bytes as base64; or `source`.")]
Optimization: TypeAlias = Annotated[str, Meta(pattern=r"^O[0-3sz]$", description="O0, O1, O2, O3, Os or Oz.")]
Heap: TypeAlias = Annotated[int, Meta(ge=256, le=16 << 20, description="Of its own.")]
Timers: TypeAlias = Annotated[int, Meta(ge=1, le=255, description="At most so many.")]
Watchdog: TypeAlias = Annotated[
    int, Meta(ge=1000, le=86_400_000, description="How long one of its callbacks may take.")
]
Expect: TypeAlias = Annotated[
    str | None, Meta(max_length=MAX_EXPECT_CHARS, description="What it must do, one expectation a line.")
]
Origin: TypeAlias = Annotated[AppOrigin | None, Meta(description="The entry of a catalogue that it is.")]
OfDevice: TypeAlias = Annotated[str | None, Meta(description="Of this device alone.")]
WhenBack: TypeAlias = Annotated[
    bool, Meta(description="Where the device does not answer: done when it is back, and told then.")
]
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=1000, description="At most so many.")]
