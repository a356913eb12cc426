"""The host's configuration: settings.py declares it, load.py loads it."""

from microclaw.config.load import load_settings, private_home, read_link
from microclaw.config.places import MAX_SOCKET_PATH_BYTES, cache_folder, control_socket, home_folder
from microclaw.config.settings import (
    DEFAULT_HTTP_PORT,
    AgentSettings,
    BudgetSettings,
    GatewaySettings,
    HostSettings,
    Limits,
    LinkSettings,
    McpServerSettings,
    ModelChoice,
    ModelSettings,
    ModelTask,
    ScheduleSettings,
    SearchSettings,
    Settings,
    TelegramSettings,
)

__all__ = [
    "DEFAULT_HTTP_PORT",
    "MAX_SOCKET_PATH_BYTES",
    "AgentSettings",
    "BudgetSettings",
    "GatewaySettings",
    "HostSettings",
    "Limits",
    "LinkSettings",
    "McpServerSettings",
    "ModelChoice",
    "ModelSettings",
    "ModelTask",
    "ScheduleSettings",
    "SearchSettings",
    "Settings",
    "TelegramSettings",
    "cache_folder",
    "control_socket",
    "home_folder",
    "load_settings",
    "private_home",
    "read_link",
]
