"""The one loader of settings: joins what the sources say into frozen settings. It opens no socket and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Final

from microclaw.addresses import is_loopback
from microclaw.config.checks import is_database, is_link, is_url
from microclaw.config.document import Path, dotted
from microclaw.config.host_settings import DEFAULT_HTTP_PORT, HostSettings
from microclaw.config.places import cache_folder, control_socket, home_folder, make_private, text_of
from microclaw.config.settings import (
    DEFAULT_LINK_PORT,
    BackupSettings,
    LinkSettings,
    McpServerSettings,
    ModelChoice,
    ModelRow,
    ModelSection,
    ModelSettings,
    Provider,
    SearchSettings,
    Settings,
    TelegramSettings,
)
from microclaw.config.sources import Sources, read_sources
from microclaw.config.values import Mistake
from microclaw.errors import ConfigError

VARIABLES: Final[Mapping[Provider, tuple[str, str]]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
}
"""The variables of each provider's key and address."""


def load_settings(
    environ: Mapping[str, str],
    *,
    home: FilePath | None = None,
    http_port: int | None = DEFAULT_HTTP_PORT,
    link: LinkSettings | None = None,
) -> Settings:
    """Read the settings; makes home (0700) when it is missing. Raises ConfigError for what the operator must correct.

    `http_port` and `link` are for this run; `Settings.host` has what the file wants for `up`.
    """
    folder = private_home(environ, home)
    if http_port is not None and not 0 <= http_port <= 65535:
        raise ConfigError(f"port {http_port} is not between 0 and 65535", next_step="give --port 8080, or 0 for any")
    sources = read_sources(folder, environ)
    assembly = Assembly(sources, environ)
    if fatal := [mistake for mistake in (*sources.mistakes, *assembly.mistakes) if mistake.fatal]:
        more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
        raise ConfigError(f"{fatal[0]}{more}", next_step="microclaw config check" if more else fatal[0].next_step)
    file = sources.file
    gateway_off = file.gateway is not None and not file.gateway.enabled
    return Settings(
        home=folder,
        cache=cache_folder(environ),
        control_socket=control_socket(folder, environ),
        http_host=file.host.http_host,
        http_port=http_port,
        link=link,
        model=assembly.model,
        limits=file.limits,
        agent=file.agent,
        budget=file.budget,
        schedules=file.schedules,
        telegram=assembly.telegram,
        gateway=None if gateway_off else file.gateway,
        gateway_off=gateway_off,
        search=assembly.search,
        voice=file.voice,
        mcp_servers=assembly.mcp_servers,
        proxy=file.proxy.url,
        host=file.host,
        catalog=file.catalog,
        mqtt=file.mqtt,
        cluster=file.cluster,
        tasks=file.tasks,
        backup=assembly.backup,
        sandbox=file.sandbox,
        problems=(*(m.message for m in sources.environment.mistakes if not m.fatal), *assembly.problems),
    )


def find_mistakes(environ: Mapping[str, str], home: FilePath, texts: Mapping[str, str] | None = None) -> list[Mistake]:
    """Everything that is wrong in the files and variables, what does not stop the host too; `texts` as read_sources."""
    sources = read_sources(home, environ, texts)
    found = [*sources.mistakes, *Assembly(sources, environ).mistakes]
    files = list(dict.fromkeys(mistake.place for mistake in found))
    return sorted(found, key=lambda mistake: (files.index(mistake.place), mistake.line or 0))


def find_problems(environ: Mapping[str, str], home: FilePath) -> list[str]:
    """What is off for want of a credential, where nothing is wrong otherwise."""
    return Assembly(read_sources(home, environ), environ).problems


def private_home(environ: Mapping[str, str], home: FilePath | None) -> FilePath:
    """The host's folder, made when it is missing."""
    folder = (home or home_folder(environ)).expanduser().absolute()
    make_private(folder)
    return folder


def read_link(text: str | None, *, http_port: int, plain: bool = False) -> LinkSettings | None:
    """What `--link` says: HOST:PORT, "off", or nothing: loopback, on any free port where the API has one too."""
    if text == "off":
        return None
    if text is None:
        link = LinkSettings(port=DEFAULT_LINK_PORT if http_port else 0, plain=plain)
    else:
        host, _, port = text.rpartition(":")
        if is_link(text) is not None:
            raise ConfigError(f"--link {text!r} is not HOST:PORT", next_step="--link 127.0.0.1:8443, or --link off")
        link = LinkSettings(host.removeprefix("[").removesuffix("]"), int(port), plain)
    if plain and not link.host.startswith("127.") and link.host != "::1":
        raise ConfigError(
            f"ws without TLS is for loopback alone, not for {link.host}", next_step="leave --link-plain out"
        )
    return link


def read_database(text: str) -> str:
    """What `--database` says."""
    wrong = is_database(text)
    if wrong is not None:
        raise ConfigError(f"--database {wrong}", next_step="microclaw up --database postgresql://USER@HOST/NAME")
    return text


class Assembly:
    """The parts that several settings or variables make together. `problems` say which part is off, and why."""

    def __init__(self, sources: Sources, environ: Mapping[str, str]) -> None:
        self._sources = sources
        self._environ = environ
        self._mistakes: list[Mistake] = []
        self.problems: list[str] = []
        self._own: dict[Provider, _Credential] = {provider: self._variables_of(provider) for provider in VARIABLES}
        self.variables: dict[str, tuple[str, str]] = {}  # the provider's own: the setting, its variable and value
        self.model = self._model(sources.file.model)
        self.telegram = self._telegram(sources.file.telegram)
        self.search = self._search(sources.file.search)
        self.backup = self._backup(sources.file.backup)
        self._bind(sources.file.host)
        servers = sources.file.mcp.servers.items()
        self.mcp_servers = tuple(replace(server, name=name) for name, server in servers if self._complete(name, server))

    @property
    def mistakes(self) -> list[Mistake]:
        """The mistakes, without those that only follow from another one."""
        known = [mistake.key for mistake in self._sources.mistakes]
        return [m for m in self._mistakes if not any(key.startswith(m.key) for key in known)]

    def _telegram(self, telegram: TelegramSettings | None) -> TelegramSettings | None:
        if telegram is None or not telegram.enabled:
            return None
        if not telegram.token:
            self.problems.append(f"telegram is off: {self._missing('telegram', 'token')}")
        return telegram if telegram.token else None

    def _search(self, search: SearchSettings | None) -> SearchSettings | None:
        if search is None:
            return None
        needed = "api_key" if search.engine == "brave" else "base_url"
        if ("search", needed) not in self._sources.values:
            self.problems.append(f"web search is off: {self._missing('search', needed)}")
            return None
        return search

    def _backup(self, backup: BackupSettings) -> BackupSettings | None:
        if backup.folder is None:
            return None
        locks = [name for name in ("recipient", "password_file") if getattr(backup, name) is not None]
        if len(locks) == 2:
            text = "backup.recipient and backup.password_file are both set: a backup has one of them"
            self._wrong(("backup", "password_file"), text, "microclaw config unset backup.password_file")
        elif not locks:
            self.problems.append(f"backup is off: {self._missing('backup', 'recipient')}")
        return backup if locks else None

    def _bind(self, host: HostSettings) -> None:
        if host.http_tls == "off" and not is_loopback(host.http_host):
            text = f"host.http_host: {host.http_host} is not this machine, and without HTTPS it is for loopback alone"
            self._wrong(("host", "http_host"), text, "microclaw config set host.http_tls own")
        for name in ("http_cert", "http_key"):
            if host.http_tls == "files" and getattr(host, name) is None:
                step = f"microclaw config set host.{name} FILE"
                self._wrong(("host", "http_tls"), f"host.http_tls is files, and there is no host.{name}", step)

    def _complete(self, name: str, server: McpServerSettings) -> bool:
        path: Path = ("mcp", "servers", name)
        unset = self._sources.unset((*path, "env")) or self._sources.unset((*path, "headers"))
        if bool(server.command) == bool(server.url):
            form = "a command or a url, not both" if server.url else "a command or a url"
            step = f"microclaw config set {dotted(path)}.command ..."
            self._wrong(path, f"{dotted(path)} needs {form}", step)
        elif unset is not None:
            self.problems.append(f"MCP server {name} is off: the environment has no {unset}")
        else:
            return True
        return False

    def _model(self, section: ModelSection) -> ModelSettings:
        found: dict[Provider, _Credential] = {}
        strong = self._sources.environment.values
        for provider, own in self._own.items():
            if section.provider not in (None, provider):
                continue
            found[provider] = own
            if section.provider is not None:
                both = own.over(section.api_key, section.base_url)
                key, url = strong.get(("model", "api_key"), both.key), strong.get(("model", "base_url"), both.url)
                found[provider] = _Credential(key, url)
            if own.key and found[provider].key == own.key:
                self.variables.setdefault("model.api_key", (VARIABLES[provider][0], own.key))
            if own.url and found[provider].url == own.url:
                self.variables.setdefault("model.base_url", (VARIABLES[provider][1], own.url))
        if section.provider is None:
            for name in ("api_key", "base_url"):
                if getattr(section, name) is not None:
                    step = "microclaw config set model.provider anthropic (or openai)"
                    self._wrong(("model", name), f"model.{name} needs model.provider", step)
        elif not found[section.provider].usable(section.provider):
            self.problems.append(f"model {section.provider} is off: {self._missing('model', 'api_key')}")
        anthropic, openai = found.get("anthropic", _Credential()), found.get("openai", _Credential())
        rows = [self._choice(("model", "fallback", n), row) for n, row in enumerate(section.fallback)]
        tasks = {task: self._choice(("model", "tasks", task), row) for task, row in section.tasks.items()}
        return ModelSettings(
            anthropic_api_key=anthropic.key,
            openai_api_key=openai.key,
            openai_base_url=openai.url,
            anthropic_base_url=anthropic.url,
            model=section.name,
            fallbacks=tuple(choice for choice in rows if choice is not None),
            tasks={task: choice for task, choice in tasks.items() if choice is not None},
            offline_first=section.offline_first,
        )

    def _choice(self, path: Path, row: ModelRow) -> ModelChoice | None:
        """A further model; what it leaves out is the main model's where the provider is the same."""
        main = self._sources.file.model
        provider = row.provider or main.provider
        if provider is None:
            self._wrong(path, f"{dotted(path)} needs a provider", f"add provider to {dotted(path)}")
            return None
        base = main if provider == main.provider else ModelRow()
        if row.base_url is not None:
            credential = _Credential(row.api_key, row.base_url)
        else:
            credential = self._own[provider].over(row.api_key or base.api_key, base.base_url)
        if not credential.usable(provider):
            self.problems.append(f"{dotted(path)} is off: {self._missing(*path, 'api_key')}")
            return None
        return ModelChoice(provider, row.name, credential.key, credential.url)

    def _variables_of(self, provider: Provider) -> _Credential:
        key, url = VARIABLES[provider]
        address = text_of(self._environ, url)
        if address is not None and is_url(address) is not None:
            text = f"{url} is not an http:// or https:// address"
            self._mistakes.append(Mistake(url, None, url, text, f"correct or unset {url}"))
        return _Credential(text_of(self._environ, key), address)

    def _missing(self, *path: str | int) -> str:
        if variable := self._sources.unset(path):
            return f"the environment has no {variable}"
        return f"no {dotted(path)} (next: microclaw config set {dotted(path)} VALUE)"

    def _wrong(self, path: Path, text: str, next_step: str) -> None:
        place = self._sources.place_of(path) or ("settings", None)
        self._mistakes.append(Mistake(*place, dotted(path), text, next_step))


@dataclass(frozen=True, slots=True)
class _Credential:
    """A provider's key and address."""

    key: str | None = None
    url: str | None = None

    def over(self, key: str | None, url: str | None) -> _Credential:
        """These, of the provider's variables, and the files' where they are missing.

        A key of the environment goes to the provider itself or to the environment's address, never to an address of
        the file: that may be somebody else's.
        """
        own = self.key if self.url or not url else None
        return _Credential(own or key, self.url or url)

    def usable(self, provider: Provider) -> bool:
        """A server of OpenAI's kind may need no key."""
        return bool(self.key or (provider == "openai" and self.url))
