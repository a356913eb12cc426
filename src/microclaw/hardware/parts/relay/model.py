"""A relay module: it is on while its pin has the active level."""

from __future__ import annotations

from microclaw.hardware.parts.models import PinDevice


class Model(PinDevice):
    """Shows whether COM is connected to NO."""

    def reset(self) -> None:
        self._show()

    def edge(self, _role: str, _level: int) -> None:
        self._show()

    def _show(self) -> None:
        self.bench.show("on", self.active_share("pin"))
