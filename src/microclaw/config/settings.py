"""The host's frozen settings. Nothing is read here: load.py builds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

DEFAULT_HTTP_PORT = 8080
DEFAULT_LINK_PORT = 8443

ModelTask: TypeAlias = Literal["chat", "summary", "subagent", "heartbeat"]


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One model of one provider; without a name OpenAI-compatible servers answer with their first one."""

    provider: Literal["anthropic", "openai"]
    name: str | None = None
    api_key: str | None = field(default=None, repr=False)
    base_url: str | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which language model answers; with neither key nor base URL the offline one does. `model` may name it.

    `fallbacks` are asked in order when the first one fails; `tasks` name another model for a kind of work.
    """

    anthropic_api_key: str | None = field(default=None, repr=False)
    openai_api_key: str | None = field(default=None, repr=False)
    openai_base_url: str | None = None
    anthropic_base_url: str | None = None
    model: str | None = None
    fallbacks: tuple[ModelChoice, ...] = ()
    tasks: Mapping[ModelTask, ModelChoice] = field(default_factory=dict)
    offline_first: bool = True  # sentences that the offline intents are sure of cost no model

    @property
    def configured(self) -> bool:
        return bool(self.anthropic_api_key or self.openai_api_key or self.openai_base_url)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How turns go. `second_message`: one that comes during a turn waits its turn, or steers the running one."""

    second_message: Literal["queue", "steer"] = "queue"
    queue: int = 8  # messages of one chat that may wait
    parallel_turns: int = 128
    turn_s: float = 120.0
    iterations: int = 10
    context_tokens: int = 24_000
    approvals: Literal["foreign", "always"] = "foreign"  # always: every act asks; foreign: those after strangers' words
    approval_s: float = 300.0
    subagents: int = 4
    timezone: str | None = None  # an IANA name; None is the machine's


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """What models may cost a day; None is no limit."""

    day_usd: float | None = None
    person_day_usd: float | None = None
    day_tokens: int | None = None
    person_day_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TelegramSettings:
    token: str = field(repr=False)
    base_url: str = "https://api.telegram.org"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The chat gateway (docs/protocols/chat-gateway.md); off loopback a token is required."""

    host: str = "127.0.0.1"
    port: int = 18_789
    clients: int = 4


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """The engine behind web_search; without one the tool is not offered. `searxng` needs a base URL and no key."""

    engine: Literal["brave", "searxng"] = "brave"
    api_key: str | None = field(default=None, repr=False)
    base_url: str = "https://api.search.brave.com"


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """`heartbeat_minutes` 0 switches the heartbeat off; `wakes_an_hour` bounds how often schedules ask a model."""

    heartbeat_minutes: int = 30
    wakes_an_hour: int = 12
    consolidate_at: str = "0 4 * * *"
    heartbeat_chat: str = "terminal:terminal"  # CHANNEL:CHAT, where the heartbeat tells what it has to tell


@dataclass(frozen=True, slots=True)
class McpServerSettings:
    """A server whose tools the agent may use: a command (stdio) or a URL (Streamable HTTP)."""

    name: str
    command: tuple[str, ...] = ()
    url: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    trusted_reads: bool = False  # its read-only annotations are believed: those tools need no approval


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a person or a program may send to the host's doors."""

    body_bytes: int = 1 << 20
    control_body_bytes: int = 8 << 20  # an image as base64
    body_s: float = 30.0
    source_chars: int = 256 << 10
    message_bytes: int = 16 << 10
    parallel_jobs: int = 16
    stream_events: int = 1024
    keepalive_s: float = 5.0
    drain_s: float = 1.5  # what had started may end before the host goes


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where devices connect. `plain`: ws without TLS, for tests on loopback alone."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_LINK_PORT
    plain: bool = False


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The doors that `up` opens when its own options do not say otherwise; `link` is HOST:PORT or "off"."""

    http_host: str = "127.0.0.1"
    http_port: int = DEFAULT_HTTP_PORT
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the host is told from outside. `problems`: why a part is off for want of a credential, a line each."""

    home: Path
    cache: Path
    control_socket: Path
    http_host: str = "127.0.0.1"
    http_port: int | None = DEFAULT_HTTP_PORT  # None: no people plane
    link: LinkSettings | None = None  # None: no device plane
    model: ModelSettings = ModelSettings()
    limits: Limits = Limits()
    agent: AgentSettings = AgentSettings()
    budget: BudgetSettings = BudgetSettings()
    schedules: ScheduleSettings = ScheduleSettings()
    telegram: TelegramSettings | None = None
    gateway: GatewaySettings | None = None  # None: no chat gateway
    gateway_off: bool = False  # somebody switched it off: `up` would bring it otherwise
    search: SearchSettings | None = None
    mcp_servers: tuple[McpServerSettings, ...] = ()
    proxy: str | None = None  # an http:// proxy for everything that goes out (HTTP CONNECT)
    host: HostSettings = HostSettings()
    problems: tuple[str, ...] = ()

    @property
    def identity(self) -> Path:
        return self.home / "identity"

    @property
    def database(self) -> Path:
        return self.home / "microclaw.db"

    @property
    def config_file(self) -> Path:
        return self.home / "config.toml"

    @property
    def secrets_file(self) -> Path:
        return self.home / "secrets.toml"

    @property
    def persona(self) -> Path:
        """SOUL.md, USER.md, HEARTBEAT.md."""
        return self.home / "config"

    @property
    def memory(self) -> Path:
        return self.home / "memory"

    @property
    def skills(self) -> Path:
        return self.home / "skills"

    @property
    def workspace(self) -> Path:
        """Files that the agent's tools may read and write."""
        return self.home / "workspace"

    @property
    def sessions(self) -> Path:
        return self.home / "sessions"

    @property
    def log(self) -> Path:
        return self.home / "microclaw.log"

    @property
    def chat_history(self) -> Path:
        return self.home / "chat_history"
