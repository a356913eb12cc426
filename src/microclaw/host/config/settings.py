"""Every setting of the host, declared once: type, default, bounds and meaning. It reads no file.

The reader, `microclaw config`, the names of variables and docs/configuration.md all come from `ConfigFile`: schema.py.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from microclaw.host.config import forms
from microclaw.host.config.forms import Line, Url, WholePath, setting

DEFAULT_HTTP_PORT = 8080
DEFAULT_LINK_PORT = 8443
DAY_S = 86_400
DAY_TOKENS = 10_000_000_000

ModelTask: TypeAlias = Literal["chat", "summary", "subagent", "heartbeat"]
Provider: TypeAlias = Literal["anthropic", "openai", "google"]
RecognizerName: TypeAlias = Literal["whisper", "wyoming", "openai"]
SynthesizerName: TypeAlias = Literal["flite", "espeak", "wyoming", "openai"]
SandboxBackend: TypeAlias = Literal["auto", "bubblewrap", "container", "off"]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """The addresses at which people, programs and devices reach the host, when options of `up` do not say otherwise."""

    http_host: forms.Bind = setting("127.0.0.1", "where the API and its pages listen; off loopback with http_tls")
    http_port: int = setting(DEFAULT_HTTP_PORT, "the API's port; 0 takes any free one", 0, 65_535)
    http_tls: Literal["off", "own", "files"] = setting("off", "HTTPS there: of the host's own authority, or from files")
    http_cert: WholePath | None = setting(None, "certificate and chain (PEM), for http_tls files")
    http_key: WholePath | None = setting(None, "its private key (PEM), not readable by everybody")
    http_names: tuple[forms.CalledName, ...] = setting(
        (), "more names and addresses of the host, for the own certificate"
    )
    ingress: forms.Link = setting("off", "HOST:PORT without TLS, only for Home Assistant's Supervisor (172.30.32.2)")
    link: forms.Link | None = setting(None, 'where devices connect: HOST:PORT or "off"')


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as the file names it: what it leaves out may come from the main model or from variables."""

    provider: Provider | None = setting(None, "anthropic, google, or openai and compatible servers")
    name: Line | None = setting(None, "the model's name")
    api_key: Line | None = setting(None, "the provider's key", secret=True)
    base_url: Url | None = setting(None, "another address of the API")
    silence_s: float | None = setting(
        None, "seconds without a byte before it is given up; 90, at a local address 600, when left out", 1, DAY_S
    )


@dataclass(frozen=True, slots=True)
class ModelSection(ModelRow):
    """[model]; load.py makes ModelSettings of it."""

    offline_first: bool = setting(default=True, about="sentences the offline intents are sure of ask no model")
    fallback: Mapping[str, ModelRow] = field(default_factory=dict)
    tasks: Mapping[ModelTask, ModelRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The limits of turns."""

    queue: int = setting(8, "messages of one chat that may wait", 1, 1_000)
    parallel_turns: int = setting(128, "turns at the same time", 1, 10_000)
    turn_s: float | None = setting(
        None, "seconds of a turn; 120, or twice a longer model.silence_s, when left out", 1, DAY_S
    )
    iterations: int = setting(10, "model requests a turn", 1, 100)
    context_tokens: int = setting(24_000, "tokens of context a request", 1_000, 2_000_000)
    answer_tokens: int | None = setting(None, "tokens an answer may have; else the model's own limit", 256, 1_000_000)
    approvals: Literal["foreign", "always"] = setting("foreign", "which acts ask: those after foreign words, or every")
    approval_s: float = setting(300.0, "an approval's time-out", 1, DAY_S)
    subagents: int = setting(4, "subagents at the same time; 0: no subagents", 0, 64)
    timezone: forms.TimeZone | None = setting(None, "an IANA name; the machine's when left out")
    place: forms.MapPlace | None = setting(None, "LATITUDE,LONGITUDE in degrees, for schedules at sunrise and sunset")


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """The cost of models a day; None means no limit."""

    day_usd: float | None = setting(None, "what models may cost a day", 0, 1_000_000)
    person_day_usd: float | None = setting(None, "the same for one person", 0, 1_000_000)
    day_tokens: int | None = setting(None, "tokens a day", 0, DAY_TOKENS)
    person_day_tokens: int | None = setting(None, "tokens a day for one person", 0, DAY_TOKENS)


@dataclass(frozen=True, slots=True)
class TelegramSettings:
    """The Telegram bot; without a token the channel is off."""

    token: Line = setting("", "the bot's token, from @BotFather", secret=True)
    base_url: Url = setting("https://api.telegram.org", "another address of the Bot API")
    enabled: bool = setting(default=True, about="false switches the channel off")


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The chat gateway (docs/protocols/chat-gateway.md). Without `open` every client shows a token."""

    host: Line = setting("127.0.0.1", "the address on which it listens; from other machines only with a person's token")
    port: int = setting(18_789, "its port; 0 takes any free one", 0, 65_535)
    clients: int = setting(4, "clients at the same time", 1, 10_000)
    enabled: bool = setting(default=True, about="false switches the chat gateway off")
    open: bool = setting(default=False, about="true: every program of this machine is the owner, without a token")


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """The engine behind web-search, Brave's; without a key the tool is not offered."""

    api_key: Line | None = setting(None, "Brave's key", secret=True)
    base_url: Url = setting("https://api.search.brave.com", "the engine's address")


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """The heartbeat, and how often schedules ask a model."""

    heartbeat_minutes: int = setting(30, "how often HEARTBEAT.md is read; 0 is never", 0, 10_080)
    wakes_an_hour: int = setting(12, "how often schedules may ask a model", 0, 3_600)
    consolidate_at: forms.Cron = setting("0 4 * * *", "when notes are put together (cron)")
    heartbeat_chat: forms.Chat = setting("terminal:terminal", "CHANNEL:CHAT, where the heartbeat writes")


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """Speech with devices (docs/voice.md). Engines in order: the next one is asked when one fails."""

    enabled: bool = setting(default=True, about="false switches voice off")
    asr: tuple[RecognizerName, ...] = setting(("whisper",), "speech to text, in order")
    tts: tuple[SynthesizerName, ...] = setting(("flite", "espeak"), "text to speech, in order")
    person: Line = setting("owner", "the id of the person as whom a device's speech is carried out")
    silence_ms: int = setting(600, "the silence that ends a spoken request", 200, 3_000)
    flite_voice: Line = setting("slt", "flite's voice: slt, kal, awb, rms, ...")
    espeak_voice: Line = setting("en", "espeak-ng's voice or language")
    whisper_model: forms.WhisperModel = setting("tiny.en", "tiny.en, base.en, small.en (voice fetch) or a folder")
    whisper_threads: int | None = setting(None, "its threads; the cores, at most four, when left out", 1, 64)
    wyoming_asr: forms.Place | None = setting(None, "HOST:PORT of a Wyoming server for speech to text")
    wyoming_tts: forms.Place | None = setting(None, "HOST:PORT of a Wyoming server for text to speech")
    wyoming_voice: Line | None = setting(None, "a voice of that server; its first when left out")
    openai_base_url: Url = setting("https://api.openai.com/v1", "OpenAI's speech service, or a compatible one")
    openai_key: Line | None = setting(None, "its key", secret=True)
    openai_asr_model: Line = setting("whisper-1", "its model for speech to text")
    openai_tts_model: Line = setting("tts-1", "its model for text to speech")
    openai_voice: Line = setting("alloy", "its voice")
    wyoming_port: int | None = setting(None, "our Wyoming services' port; 0 takes any free one", 0, 65_535)
    wyoming_host: Line = setting(
        "127.0.0.1",
        "the address on which they listen; without authentication: every client that reaches it acts as the person",
    )
    xiaozhi: forms.Listen | None = setting(
        None, "HOST:PORT for devices of xiaozhi's firmware, in clear text on the LAN"
    )


@dataclass(frozen=True, slots=True)
class McpServerSettings:
    """A server whose tools the agent may use: a command (stdio) or a URL (Streamable HTTP)."""

    # The name of its table.
    name: str = ""
    command: tuple[Line, ...] = setting((), "the program and its arguments")
    url: Url | None = setting(None, "or a Streamable HTTP address")
    env: Mapping[str, str] = setting({}, "the program's environment", secret=True)
    headers: Mapping[str, str] = setting({}, "headers of every request", secret=True)
    trusted_reads: bool = setting(default=False, about="its read-only tools need no approval")
    start_s: float = setting(300.0, "seconds that its start may take; a first one may download a lot", 1, DAY_S)


@dataclass(frozen=True, slots=True)
class McpSection:
    servers: Mapping[str, McpServerSettings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProxySection:
    url: forms.Proxy | None = setting(None, "http://HOST:PORT, for everything that goes out")


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a person or a program may send to the host."""

    body_bytes: int = setting(1 << 20, "a request's body from a person's program", 1_024, 1 << 30)
    control_body_bytes: int = setting(8 << 20, "the same on the control socket (an image as base64)", 1_024, 1 << 30)
    body_s: float = setting(30.0, "how long a body may take", 0.1, 3_600)
    message_bytes: int = setting(16 << 10, "one message to the agent", 256, 1 << 24)
    parallel_jobs: int = setting(16, "jobs at the same time", 1, 1_000)
    stream_events: int = setting(1024, "events that a slow listener may be behind", 16, 1 << 20)
    keepalive_s: float = setting(5.0, "silence on a stream before a sign of life", 0.1, 3_600)
    drain_s: float = setting(1.5, "how long started work may go on at the end", 0, 60)


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """The catalogs that `microclaw app search` reads beside the programs that are shipped (docs/catalog.md)."""

    folders: tuple[WholePath, ...] = setting((), "catalogues: folders or git checkouts; publish writes to the first")


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The MQTT broker that states, telemetry and events go to (docs/mqtt.md); without `url` nothing is sent."""

    url: forms.Broker | None = setting(None, "the broker: mqtt://HOST:PORT, or mqtts:// for TLS")
    user: Line | None = setting(None, "the name that the broker knows this host by")
    password_file: WholePath | None = setting(
        None, "a file that contains only the password and that no other user can read"
    )
    ca_file: WholePath | None = setting(None, "the authority of the broker's certificate (PEM); else the system's")
    topic: forms.Topic = setting("microclaw", "what every topic begins with")
    commands: bool = setting(
        default=False, about="true: who may write to the broker may set pins, switch programs and undo"
    )
    home_assistant: bool = setting(default=False, about="true: Home Assistant finds the boards by itself")
    discovery_prefix: forms.Topic = setting("homeassistant", "Home Assistant's own discovery prefix")


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Backups that the host makes by itself (docs/backup.md): off without a folder, and without a key."""

    folder: WholePath | None = setting(None, "where the host puts its backups; it has to exist")
    every: forms.Duration = setting("6h", "how often: 30m, 6h, 1d")
    keep: int = setting(28, "how many are kept", 1, 1_000)
    recipient: forms.BackupKey | None = setting(None, "age1..., whose key opens them (microclaw backup make --new-key)")


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """The database that this host shares with other hosts, with its devices and people (docs/cluster.md).

    Without it the host is on its own.
    """

    database: forms.Database | None = setting(None, "postgresql://USER@HOST/NAME, which several hosts share")
    host: forms.ClusterName | None = setting(None, "this host's name among the others; the machine's when left out")
    address: forms.Place | None = setting(
        None, "where other hosts call this one; by default on its way to the database"
    )

    @property
    def host_name(self) -> str:
        """This host's name among the others."""
        name = self.host or re.sub(r"[^a-z0-9-]+", "-", platform.node().lower()).strip("-")
        return name[:24] or "host"


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """Code that runs in the sandbox (docs/tasks.md). The limits are the most that one task may ask for."""

    parallel: int = setting(2, "tasks at the same time", 1, 64)
    queue: int = setting(32, "tasks that may wait", 1, 1_000)
    wall_s: float = setting(60.0, "seconds of one task", 1, 86_400)
    memory_mb: int = setting(512, "memory of one task", 16, 65_536)
    disk_mb: int = setting(64, "files of one task: its input and the files that it writes", 1, 16_384)
    output_kb: int = setting(1_024, "what one task may print", 1, 65_536)
    processes: int = setting(64, "processes and threads of one task", 1, 1_024)
    keep_days: int = setting(7, "how long results are kept", 1, 365)
    keep_count: int = setting(200, "of how many tasks", 1, 10_000)
    keep_mb: int = setting(512, "how much their files may take together", 1, 65_536)
    from_devices: tuple[Line, ...] = setting((), 'labels of the devices that may send code; "all": every device')


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The place where code of the agent or a device runs (docs/sandbox.md). `auto`: the first of them that works."""

    backend: SandboxBackend = setting("auto", "what shuts the code off; container: Podman or Docker; off: no code")
    image: Line = setting("python:3.13-slim", "the image that Podman or Docker starts")


@dataclass(frozen=True, slots=True)
class SecretsSection:
    """The values that tasks may use by name through the proxy (docs/egress.md): `microclaw task secrets`."""

    values: Mapping[str, str] = setting({}, "secrets by their names", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """The sections that are the host's settings as they stand in the files."""

    host: HostSettings = HostSettings()
    agent: AgentSettings = AgentSettings()
    budget: BudgetSettings = BudgetSettings()
    telegram: TelegramSettings | None = None
    gateway: GatewaySettings | None = None
    search: SearchSettings | None = None
    schedules: ScheduleSettings = ScheduleSettings()
    voice: VoiceSettings = VoiceSettings()
    catalog: CatalogSettings = CatalogSettings()
    mqtt: MqttSettings = MqttSettings()
    cluster: ClusterSettings = ClusterSettings()
    tasks: TaskSettings = TaskSettings()
    sandbox: SandboxSettings = SandboxSettings()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigFile(Sections):
    """config.toml and secrets.toml together; load.py makes Settings of it."""

    model: ModelSection = ModelSection()
    mcp: McpSection = McpSection()
    backup: BackupSettings = BackupSettings()
    proxy: ProxySection = ProxySection()
    secrets: SecretsSection = SecretsSection()


@dataclass(frozen=True, slots=True)
class ModelChoice(ModelRow):
    """One model of one provider; without a name OpenAI-compatible servers answer with their first one."""

    provider: Provider


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The language model that answers; without `main` the offline one does.

    `fallbacks` are asked in order when the first one fails; `tasks` name another model for a kind of work.
    """

    main: ModelChoice | None = None
    fallbacks: tuple[ModelChoice, ...] = ()
    tasks: Mapping[ModelTask, ModelChoice] = field(default_factory=dict)
    offline_first: bool = True


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """The address that devices connect to."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_LINK_PORT


class HomePath:
    """A path in the home folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, settings: Settings, owner: object) -> Path:
        return settings.home / self._name


@dataclass(frozen=True, slots=True)
class Settings(Sections):
    """The host's whole configuration. `problems`: why a part is off because a credential is missing, a line each."""

    home: Path
    cache: Path
    control_socket: Path
    # None: no API on loopback.
    http_port: int | None = DEFAULT_HTTP_PORT
    # None: no link for boards.
    link: LinkSettings | None = None
    model: ModelSettings = ModelSettings()
    mcp_servers: tuple[McpServerSettings, ...] = ()
    # An http:// proxy for all outgoing connections (HTTP CONNECT).
    proxy: str | None = None
    # None: the host makes no backups by itself.
    backup: BackupSettings | None = None
    problems: tuple[str, ...] = ()
    # All secret texts, to mask them in the logs.
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    identity = HomePath("identity")
    database = HomePath("microclaw.db")
    # The index of a cluster's host over its own files; it can be built again.
    cluster_index = HomePath("index.db")
    # For local gateway clients.
    gateway_token = HomePath("gateway.token")
    skills = HomePath("skills")
    # Files that the agent's tools may read and write.
    workspace = HomePath("workspace")
    # A folder for each task, while it runs and for its result files.
    tasks_folder = HomePath("tasks")
    sessions = HomePath("sessions")
    log = HomePath("microclaw.log")
    chat_history = HomePath("chat_history")

    @property
    def own_ports(self) -> frozenset[int]:
        """The ports of this host, which no program may talk to."""
        ports = {self.http_port, self.host.http_port, self.voice.wyoming_port}
        if self.link is not None:
            ports.add(self.link.port)
        if self.gateway is not None:
            ports.add(self.gateway.port)
        # 0 takes any free port.
        return frozenset(port for port in ports if port)
