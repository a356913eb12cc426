"""The firmware's own modules in this interpreter: one code for boards, virtual boards and the host.

Each needs nothing but those that were loaded before it, by the names that they have on a board.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from microclaw.errors import ConfigError
from microclaw.firmware_folder import firmware_folder


def load(name: str) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location(name, firmware_folder() / "fw" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ConfigError(f"the file {name}.py for boards is not installed", next_step="install microclaw again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


ota_check = load("ota_check")
ota_bad = load("ota_bad")  # before those that import it
ota_payload = load("ota_payload")
ota_plan = load("ota_plan")
