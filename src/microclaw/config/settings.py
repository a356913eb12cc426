"""Every setting of the host, declared once: type, default, bounds and meaning. It reads no file.

The reader, `microclaw config`, the names of variables and docs/configuration.md all come from `ConfigFile`: schema.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from microclaw.config.checks import (
    is_backup_key,
    is_chat,
    is_cron,
    is_duration,
    is_folder,
    is_listen,
    is_place,
    is_proxy,
    is_timezone,
    is_url,
)
from microclaw.config.cluster_settings import ClusterSettings
from microclaw.config.declaration import about
from microclaw.config.host_settings import DEFAULT_HTTP_PORT, HostSettings
from microclaw.config.mqtt_settings import MqttSettings
from microclaw.config.voice_choices import DETECTORS, RECOGNIZERS, SYNTHESIZERS, is_whisper_model

DEFAULT_LINK_PORT = 8443
DAY_S = 86_400
DAY_TOKENS = 10_000_000_000

ModelTask: TypeAlias = Literal["chat", "summary", "subagent", "heartbeat"]
Provider: TypeAlias = Literal["anthropic", "openai"]


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model as the file names it: what it leaves out may come from the main model or from variables."""

    provider: Annotated[Provider, about("anthropic, or openai and what is compatible with it")] | None = None
    name: Annotated[str, about("the model's name")] | None = None
    api_key: Annotated[str, about("the provider's key", secret=True)] | None = field(default=None, repr=False)
    base_url: Annotated[str, about("another address of the API", check=is_url)] | None = None


@dataclass(frozen=True, slots=True)
class ModelSection(ModelRow):
    """[model]; load.py makes ModelSettings of it."""

    offline_first: Annotated[bool, about("sentences the offline intents are sure of ask no model")] = True
    fallback: tuple[ModelRow, ...] = ()
    tasks: Mapping[ModelTask, ModelRow] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How turns go."""

    second_message: Annotated[Literal["queue", "steer"], about("a message during a turn waits or steers")] = "queue"
    queue: Annotated[int, about("messages of one chat that may wait", 1, 1_000)] = 8
    parallel_turns: Annotated[int, about("turns at the same time", 1, 10_000)] = 128
    turn_s: Annotated[float, about("how long a turn may take", 1, DAY_S)] = 120.0
    iterations: Annotated[int, about("model requests a turn", 1, 100)] = 10
    context_tokens: Annotated[int, about("tokens of context a request", 1_000, 2_000_000)] = 24_000
    approvals: Annotated[
        Literal["foreign", "always"], about("always: every act asks first; foreign: those after words from outside")
    ] = "foreign"
    approval_s: Annotated[float, about("an approval's time-out", 1, DAY_S)] = 300.0
    subagents: Annotated[int, about("subagents at the same time; 0 is none", 0, 64)] = 4
    timezone: Annotated[str, about("an IANA name; the machine's when left out", check=is_timezone)] | None = None


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """What models may cost a day; None is no limit."""

    day_usd: Annotated[float, about("what models may cost a day", 0, 1_000_000)] | None = None
    person_day_usd: Annotated[float, about("the same for one person", 0, 1_000_000)] | None = None
    day_tokens: Annotated[int, about("tokens a day", 0, DAY_TOKENS)] | None = None
    person_day_tokens: Annotated[int, about("tokens a day for one person", 0, DAY_TOKENS)] | None = None


@dataclass(frozen=True, slots=True)
class TelegramSettings:
    """The Telegram bot; without a token the channel is off."""

    token: Annotated[str, about("the bot's token, from @BotFather", secret=True)] = field(default="", repr=False)
    base_url: Annotated[str, about("another address of the Bot API", check=is_url)] = "https://api.telegram.org"
    enabled: Annotated[bool, about("false switches the channel off")] = True


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The chat gateway (docs/protocols/chat-gateway.md). Without `open` every client shows a token."""

    host: Annotated[str, about("where it listens; off loopback only people's tokens open it")] = "127.0.0.1"
    port: Annotated[int, about("its port; 0 takes any free one", 0, 65_535)] = 18_789
    clients: Annotated[int, about("clients at the same time", 1, 10_000)] = 4
    enabled: Annotated[bool, about("false switches the chat gateway off")] = True
    open: Annotated[bool, about("true: every program of this machine is the owner, without a token")] = False


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """The engine behind web-search; without one the tool is not offered. `searxng` needs a base URL and no key."""

    engine: Annotated[Literal["brave", "searxng"], about("which engine web-search asks")] = "brave"
    api_key: Annotated[str, about("Brave's key", secret=True)] | None = field(default=None, repr=False)
    base_url: Annotated[str, about("the engine's address; searxng needs one", check=is_url)] = (
        "https://api.search.brave.com"
    )


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """The heartbeat, and how often schedules ask a model."""

    heartbeat_minutes: Annotated[int, about("how often HEARTBEAT.md is read; 0 is never", 0, 10_080)] = 30
    wakes_an_hour: Annotated[int, about("how often schedules may ask a model", 0, 3_600)] = 12
    consolidate_at: Annotated[str, about("when notes are put together (cron)", check=is_cron)] = "0 4 * * *"
    heartbeat_chat: Annotated[str, about("CHANNEL:CHAT, where the heartbeat writes", check=is_chat)] = (
        "terminal:terminal"
    )


@dataclass(frozen=True, slots=True)
class VoiceSettings:
    """Speech with devices (docs/voice.md). Engines in order: the next one is asked when one fails."""

    enabled: Annotated[bool, about("false switches voice off")] = True
    asr: Annotated[tuple[str, ...], about("speech to text, in order", choices=RECOGNIZERS)] = ("pocketsphinx",)
    tts: Annotated[tuple[str, ...], about("text to speech, in order", choices=SYNTHESIZERS)] = ("flite", "espeak")
    vad: Annotated[str, about("what tells speech from noise; auto: silero where it is there", choices=DETECTORS)] = (
        "auto"
    )
    person: Annotated[str, about("the id of the person who may do what is said to a device")] = "owner"
    silence_ms: Annotated[int, about("the silence that ends what is said", 200, 3_000)] = 600
    flite_voice: Annotated[str, about("flite's voice: slt, kal, awb, rms, ...")] = "slt"
    espeak_voice: Annotated[str, about("espeak-ng's voice or language")] = "en"
    piper_command: Annotated[tuple[str, ...], about("the program piper and its own arguments")] = ("piper",)
    piper_voice: Annotated[str, about("piper's voice, an .onnx file with its .onnx.json beside it")] | None = None
    whisper_model: Annotated[
        str,
        about(
            "Whisper's model: tiny.en, base.en or small.en (microclaw voice fetch-model), or a folder",
            check=is_whisper_model,
        ),
    ] = "tiny.en"
    whisper_threads: Annotated[int, about("its threads; the cores, at most four, when left out", 1, 64)] | None = None
    wyoming_asr: Annotated[str, about("HOST:PORT of a Wyoming server for speech to text", check=is_place)] | None = None
    wyoming_tts: Annotated[str, about("HOST:PORT of a Wyoming server for text to speech", check=is_place)] | None = None
    wyoming_voice: Annotated[str, about("a voice of that server; its first when left out")] | None = None
    openai_base_url: Annotated[str, about("OpenAI's speech, or what is compatible with it", check=is_url)] = (
        "https://api.openai.com/v1"
    )
    openai_key: Annotated[str, about("its key", secret=True)] | None = field(default=None, repr=False)
    openai_asr_model: Annotated[str, about("its model for speech to text")] = "whisper-1"
    openai_tts_model: Annotated[str, about("its model for text to speech")] = "tts-1"
    openai_voice: Annotated[str, about("its voice")] = "alloy"
    wyoming_port: Annotated[int, about("our Wyoming services' port; 0 takes any free one", 0, 65_535)] | None = None
    wyoming_host: Annotated[
        str, about("where they listen; Wyoming has no authentication: who reaches another address is the person")
    ] = "127.0.0.1"
    xiaozhi: (
        Annotated[str, about("HOST:PORT for devices of xiaozhi's firmware, in clear text on the LAN", check=is_listen)]
        | None
    ) = None


@dataclass(frozen=True, slots=True)
class McpServerSettings:
    """A server whose tools the agent may use: a command (stdio) or a URL (Streamable HTTP)."""

    name: str = ""  # the name of its table
    command: Annotated[tuple[str, ...], about("the program and its arguments")] = ()
    url: Annotated[str, about("or a Streamable HTTP address", check=is_url)] | None = None
    env: Annotated[Mapping[str, str], about("the program's environment", secret=True)] = field(
        default_factory=dict, repr=False
    )
    headers: Annotated[Mapping[str, str], about("headers of every request", secret=True)] = field(
        default_factory=dict, repr=False
    )
    trusted_reads: Annotated[bool, about("its read-only tools need no approval")] = False


@dataclass(frozen=True, slots=True)
class McpSection:
    servers: Mapping[str, McpServerSettings] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProxySection:
    url: Annotated[str, about("http://HOST:PORT, for everything that goes out", check=is_proxy)] | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a person or a program may send to the host."""

    body_bytes: Annotated[int, about("a request's body from a person's program", 1_024, 1 << 30)] = 1 << 20
    # an image as base64
    control_body_bytes: Annotated[int, about("a request's body on the control socket", 1_024, 1 << 30)] = 8 << 20
    body_s: Annotated[float, about("how long a body may take", 0.1, 3_600)] = 30.0
    source_chars: Annotated[int, about("a program's source", 1_024, 1 << 26)] = 256 << 10
    message_bytes: Annotated[int, about("one message to the agent", 256, 1 << 24)] = 16 << 10
    parallel_jobs: Annotated[int, about("jobs at the same time", 1, 1_000)] = 16
    stream_events: Annotated[int, about("events that a slow listener may be behind", 16, 1 << 20)] = 1024
    keepalive_s: Annotated[float, about("silence on a stream before a sign of life", 0.1, 3_600)] = 5.0
    drain_s: Annotated[float, about("how long started work may go on at the end", 0, 60)] = 1.5


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """Where `microclaw catalog` looks beside the programs that are shipped (docs/catalog.md)."""

    folders: Annotated[
        tuple[str, ...], about("catalogues: folders or git checkouts; publish writes to the first", check=is_folder)
    ] = ()


@dataclass(frozen=True, slots=True)
class BackupSettings:
    """Backups that the host makes by itself (docs/backup.md): off without a folder, and without a key or a password."""

    folder: Annotated[str, about("where the host puts its backups; it has to exist", check=is_folder)] | None = None
    every: Annotated[str, about("how often: 30m, 6h, 1d", check=is_duration)] = "6h"
    keep: Annotated[int, about("how many are kept", 1, 1_000)] = 28
    recipient: (
        Annotated[str, about("age1..., whose key opens them (microclaw backup --new-key)", check=is_backup_key)] | None
    ) = None
    password_file: (
        Annotated[str, about("or a file with a password, which only this account can read", check=is_folder)] | None
    ) = None


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """Code that runs in the sandbox (docs/tasks.md). The limits are the most that one task may ask for."""

    parallel: Annotated[int, about("tasks at the same time", 1, 64)] = 2
    queue: Annotated[int, about("tasks that may wait", 1, 1_000)] = 32
    wall_s: Annotated[float, about("seconds of one task", 1, 86_400)] = 60.0
    memory_mb: Annotated[int, about("memory of one task", 16, 65_536)] = 512
    disk_mb: Annotated[int, about("files of one task, what it is given and what it writes", 1, 16_384)] = 64
    output_kb: Annotated[int, about("what one task may print", 1, 65_536)] = 1_024
    processes: Annotated[int, about("processes and threads of one task", 1, 1_024)] = 64
    keep_days: Annotated[int, about("how long results are kept", 1, 365)] = 7
    keep_count: Annotated[int, about("of how many tasks", 1, 10_000)] = 200
    keep_mb: Annotated[int, about("how much their files may take together", 1, 65_536)] = 512
    from_devices: Annotated[
        tuple[str, ...], about('labels of the devices that may send code; "all" for every device, nothing for none')
    ] = ()


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Where code that the agent or a device asks for runs (docs/sandbox.md). `auto`: the first of them that works."""

    backend: Annotated[
        Literal["auto", "bubblewrap", "container", "off"],
        about("what shuts the code off; container: Podman or Docker; off: no code is run"),
    ] = "auto"
    image: Annotated[str, about("the image that Podman or Docker starts")] = "python:3.13-slim"


@dataclass(frozen=True, slots=True)
class SecretsSection:
    """What tasks may use by name through the proxy (docs/egress.md): `microclaw secret set`."""

    values: Annotated[Mapping[str, str], about("secrets by their names", secret=True)] = field(
        default_factory=dict, repr=False
    )


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """config.toml and secrets.toml together: the sections, in the order of docs/configuration.md."""

    host: HostSettings = HostSettings()
    model: ModelSection = ModelSection()
    agent: AgentSettings = AgentSettings()
    budget: BudgetSettings = BudgetSettings()
    telegram: TelegramSettings | None = None
    gateway: GatewaySettings | None = None
    search: SearchSettings | None = None
    schedules: ScheduleSettings = ScheduleSettings()
    voice: VoiceSettings = VoiceSettings()
    mcp: McpSection = McpSection()
    catalog: CatalogSettings = CatalogSettings()
    mqtt: MqttSettings = MqttSettings()
    cluster: ClusterSettings = ClusterSettings()
    tasks: TaskSettings = TaskSettings()
    backup: BackupSettings = BackupSettings()
    sandbox: SandboxSettings = SandboxSettings()
    proxy: ProxySection = ProxySection()
    secrets: SecretsSection = field(default_factory=SecretsSection)
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One model of one provider; without a name OpenAI-compatible servers answer with their first one."""

    provider: Provider
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
    offline_first: bool = True

    @property
    def configured(self) -> bool:
        return bool(self.anthropic_api_key or self.openai_api_key or self.openai_base_url)


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where devices connect. `plain`: ws without TLS, for tests on loopback alone."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_LINK_PORT
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """The host's whole configuration. `problems`: why a part is off because a credential is missing, a line each."""

    home: Path
    cache: Path
    control_socket: Path
    http_host: str = "127.0.0.1"
    http_port: int | None = DEFAULT_HTTP_PORT  # None: no API on loopback
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
    voice: VoiceSettings = VoiceSettings()
    mcp_servers: tuple[McpServerSettings, ...] = ()
    proxy: str | None = None  # an http:// proxy for everything that goes out (HTTP CONNECT)
    host: HostSettings = HostSettings()
    catalog: CatalogSettings = CatalogSettings()
    mqtt: MqttSettings = MqttSettings()
    cluster: ClusterSettings = ClusterSettings()
    tasks: TaskSettings = TaskSettings()
    backup: BackupSettings | None = None  # None: the host makes none by itself
    sandbox: SandboxSettings = SandboxSettings()
    problems: tuple[str, ...] = ()

    @property
    def identity(self) -> Path:
        return self.home / "identity"

    @property
    def database(self) -> Path:
        return self.home / "microclaw.db"

    @property
    def cluster_index(self) -> Path:
        """A host of a cluster keeps the index of its own files here; it may be removed while the host is off."""
        return self.home / "index.db"

    @property
    def gateway_token(self) -> Path:
        """The file with the token of local gateway clients."""
        return self.home / "gateway.token"

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
    def tasks_folder(self) -> Path:
        """A folder for each task: while it runs, and for the files that it left."""
        return self.home / "tasks"

    @property
    def sessions(self) -> Path:
        return self.home / "sessions"

    @property
    def log(self) -> Path:
        return self.home / "microclaw.log"

    @property
    def chat_history(self) -> Path:
        return self.home / "chat_history"
