"""The host's frozen settings and their one loader: reads the environment, makes private folders, opens nothing."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from microclaw.errors import ConfigError

# sockaddr_un.sun_path holds 108 bytes on Linux and 104 on macOS and BSD, the final NUL included.
MAX_SOCKET_PATH_BYTES = 103

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
class Settings:
    """Everything the host is told from outside."""

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
    search: SearchSettings | None = None
    mcp_servers: tuple[McpServerSettings, ...] = ()
    proxy: str | None = None  # an http:// proxy for everything that goes out (HTTP CONNECT)

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


def load_settings(
    environ: Mapping[str, str],
    *,
    home: Path | None = None,
    http_port: int | None = DEFAULT_HTTP_PORT,
    link: LinkSettings | None = None,
) -> Settings:
    """Read the settings; makes home (0700) when it is missing. Raises ConfigError for what an operator must mend."""
    folder = (home or home_folder(environ)).expanduser().absolute()
    make_private(folder)
    if http_port is not None and not 0 <= http_port <= 65535:
        raise ConfigError(f"port {http_port} is not between 0 and 65535", next_step="give --port 8080, or 0 for any")
    return Settings(
        home=folder,
        cache=cache_folder(environ),
        control_socket=_control_socket(folder, environ),
        http_port=http_port,
        link=link,
        model=ModelSettings(
            anthropic_api_key=_text(environ, "ANTHROPIC_API_KEY"),
            openai_api_key=_text(environ, "OPENAI_API_KEY"),
            openai_base_url=_url(environ, "OPENAI_BASE_URL"),
            anthropic_base_url=_url(environ, "ANTHROPIC_BASE_URL"),
            model=_text(environ, "MICROCLAW_MODEL"),
        ),
    )


def read_link(text: str | None, *, http_port: int, plain: bool = False) -> LinkSettings | None:
    """What `--link` says: HOST:PORT, "off", or nothing: loopback, on any free port where the API has one too."""
    if text == "off":
        return None
    if text is None:
        link = LinkSettings(port=DEFAULT_LINK_PORT if http_port else 0, plain=plain)
    else:
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ConfigError(f"--link {text!r} is not HOST:PORT", next_step="--link 127.0.0.1:8443, or --link off")
        link = LinkSettings(host.removeprefix("[").removesuffix("]"), int(port), plain)
    if plain and not link.host.startswith("127.") and link.host != "::1":
        raise ConfigError(
            f"ws without TLS is for loopback alone, not for {link.host}", next_step="leave --link-plain out"
        )
    return link


def home_folder(environ: Mapping[str, str]) -> Path:
    """Where the host keeps its data: MICROCLAW_HOME or the platform's user data folder."""
    if named := _text(environ, "MICROCLAW_HOME"):
        return Path(named)
    from platformdirs import user_data_path

    return user_data_path("microclaw")


def cache_folder(environ: Mapping[str, str]) -> Path:
    """Where what can be made again is kept (compiled programs): MICROCLAW_CACHE or the platform's cache folder."""
    if named := _text(environ, "MICROCLAW_CACHE"):
        return Path(named).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("microclaw")


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may enter, or check that it is one; an empty one is closed to others."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.getuid():
            raise ConfigError(
                f"{folder} belongs to another user (uid {found.st_uid})", next_step="give --home a folder of your own"
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            if any(folder.iterdir()):  # never close somebody's shared folder (--home /tmp) behind their back
                raise ConfigError(
                    f"{folder} is open to other users", next_step=f"chmod 700 {folder}, or another --home"
                )
            folder.chmod(0o700)
    except OSError as exc:
        reason = exc.strerror or exc
        raise ConfigError(
            f"cannot use {folder}: {reason}", next_step="give --home or MICROCLAW_HOME a folder you may write to"
        ) from exc


def _control_socket(home: Path, environ: Mapping[str, str]) -> Path:
    """`home`/control.sock, or a short private path of its own where the kernel could not bind that one."""
    wanted = home / "control.sock"
    if len(os.fsencode(wanted)) <= MAX_SOCKET_PATH_BYTES:
        return wanted
    name = Path(f"microclaw-{os.getuid()}", f"{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}.sock")
    places = (_text(environ, "XDG_RUNTIME_DIR"), "/tmp")  # noqa: S108  short is the point; mode and owner are checked
    short = next(p for base in places if base and len(os.fsencode(p := Path(base) / name)) <= MAX_SOCKET_PATH_BYTES)
    if short.parent.is_symlink():  # in /tmp anybody may have put it there, to point at a folder of this user
        raise ConfigError(f"{short.parent} is a symbolic link", next_step="remove it, or give a shorter --home")
    make_private(short.parent)
    return short


def _text(environ: Mapping[str, str], name: str) -> str | None:
    return environ.get(name, "").strip() or None


def _url(environ: Mapping[str, str], name: str) -> str | None:
    value = _text(environ, name)
    if value is not None and not value.startswith(("http://", "https://")):
        raise ConfigError(f"{name} is not an http:// or https:// address", next_step=f"correct or unset {name}")
    return value
