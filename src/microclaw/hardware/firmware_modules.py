"""Loads modules of the firmware into this interpreter: the same code on boards, virtual boards and the host.

A module may import the modules that were loaded before it, by their names on a board.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from microclaw.errors import ConfigError
from microclaw.hardware.firmware_folder import firmware_folder


def load(name: str) -> ModuleType:
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(name, firmware_folder() / "fw" / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ConfigError(f"the file {name}.py for boards is not installed", next_step="install microclaw again")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


ota_check = load("ota_check")
# Before the modules that import it.
ota_bad = load("ota_bad")
ota_payload = load("ota_payload")
ota_plan = load("ota_plan")
