"""The one loader of settings: joins what the sources say into frozen settings. It opens no socket and asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path as FilePath
from typing import Final, NamedTuple

from microclaw.addresses import is_loopback
from microclaw.config import settings
from microclaw.config.forms import Database, Link, Url, form_of
from microclaw.config.places import cache_folder, control_socket, home_folder, make_private, text_of
from microclaw.config.schema import Path, dotted
from microclaw.config.settings import LinkSettings, ModelChoice, Provider, Settings
from microclaw.config.sources import CONFIG, SECRETS, Mistake, Sources
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
    http_port: int | None = settings.DEFAULT_HTTP_PORT,
    link: LinkSettings | None = None,
) -> Settings:
    """Read the settings; makes home (0700) when it is missing. Raises ConfigError for what the operator must correct.

    `http_port` and `link` are for this run; `Settings.host` has what the file wants for `up`.
    """
    folder = private_home(environ, home)
    if http_port is not None and not 0 <= http_port <= 65535:
        raise ConfigError(f"port {http_port} is not between 0 and 65535", next_step="give --port 8080, or 0 for any")
    assembly = Assembly(folder, environ)
    if fatal := [mistake for mistake in assembly.mistakes if mistake.fatal]:
        more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
        raise ConfigError(f"{fatal[0]}{more}", next_step="microclaw config check" if more else fatal[0].next_step)
    file = assembly.file
    sections = {field.name: getattr(file, field.name) for field in fields(settings.Sections)}
    off = file.gateway is not None and not file.gateway.enabled
    return Settings(
        home=folder,
        cache=cache_folder(environ),
        control_socket=control_socket(folder, environ),
        http_port=http_port,
        link=link,
        model=assembly.model,
        gateway_off=off,
        mcp_servers=assembly.mcp_servers,
        proxy=file.proxy.url,
        backup=assembly.backup,
        problems=(*(m.message for m in assembly.mistakes if m.key == "proxy.url"), *assembly.problems),
        **sections | {"telegram": assembly.telegram, "search": assembly.search} | ({"gateway": None} if off else {}),
    )


def find_mistakes(environ: Mapping[str, str], home: FilePath, texts: Mapping[str, str] | None = None) -> list[Mistake]:
    """Everything that is wrong in the files and variables, what does not stop the host too; `texts` as Sources."""
    return Assembly(home, environ, texts).mistakes


def private_home(environ: Mapping[str, str], home: FilePath | None) -> FilePath:
    """The host's folder, made when it is missing."""
    folder = (home or home_folder(environ)).expanduser().absolute()
    make_private(folder)
    return folder


def read_link(text: str | None, *, http_port: int, plain: bool = False) -> LinkSettings | None:
    """What `--link` says: HOST:PORT, "off", or nothing: loopback, on any free port where the API has one too."""
    if text == "off":
        return None
    if text is not None and not form_of(Link).has(text):
        raise ConfigError(f"--link {text!r} is not HOST:PORT", next_step="--link 127.0.0.1:8443, or --link off")
    host, _, port = (text or f"127.0.0.1:{settings.DEFAULT_LINK_PORT if http_port else 0}").rpartition(":")
    link = LinkSettings(host.removeprefix("[").removesuffix("]"), int(port), plain)
    if plain and not is_loopback(link.host):
        step = "leave --link-plain out"
        raise ConfigError(f"ws without TLS is for loopback alone, not for {link.host}", next_step=step)
    return link


def read_database(text: str) -> str:
    """What `--database` says."""
    if not form_of(Database).has(text):
        step = "microclaw up --database postgresql://USER@HOST/NAME"
        raise ConfigError(f"--database is not {form_of(Database).words}", next_step=step)
    return text


class _Credential(NamedTuple):
    """A provider's key and address."""

    key: str | None = None
    url: str | None = None

    def over(self, key: str | None, url: str | None) -> _Credential:
        """These, of the provider's variables, and the files' where they are missing.

        A key of the environment goes to the provider itself or to the environment's address, never to an address of
        the file: that may be somebody else's.
        """
        return _Credential((self.key if self.url or not url else None) or key, self.url or url)

    def usable(self, provider: Provider) -> bool:
        """A server of OpenAI's kind may need no key."""
        return bool(self.key or (provider == "openai" and self.url))


class Assembly:
    """The parts that several settings or variables make together. `problems` say which part is off, and why."""

    def __init__(self, home: FilePath, environ: Mapping[str, str], texts: Mapping[str, str] | None = None) -> None:
        self.sources = Sources(home, environ, texts)
        self.file = file = self.sources.file
        self.problems: list[str] = []
        self._mistakes: list[Mistake] = []
        self._own = {name: self._variables_of(name, environ) for name in VARIABLES}
        self.variables: dict[str, tuple[str, str]] = {}  # the provider's own: the setting, its variable and value
        self.model = self._model(file.model)
        telegram, search, backup = file.telegram, file.search, file.backup
        wants_bot = telegram is not None and telegram.enabled
        self.telegram = telegram if wants_bot and self._has("telegram", "telegram", "token") else None
        needed = "api_key" if search is None or search.engine == "brave" else "base_url"
        self.search = search if search is not None and self._has("web search", "search", needed) else None
        locks = [name for name in ("recipient", "password_file") if getattr(backup, name) is not None]
        is_locked = backup.folder is not None and (locks or self._has("backup", "backup", "recipient"))
        self.backup = backup if is_locked else None
        if len(locks) == 2 and self.backup:
            text = "backup.recipient and backup.password_file are both set: a backup has one of them"
            self._wrong(("backup", "password_file"), text, "microclaw config unset backup.password_file")
        self._bind(file.host)
        servers = file.mcp.servers.items()
        self.mcp_servers = tuple(replace(server, name=name) for name, server in servers if self._complete(name, server))

    @property
    def mistakes(self) -> list[Mistake]:
        """All of them in the order of their lines, without those that only follow from another one."""
        known = self.sources.mistakes
        found = [*known, *(m for m in self._mistakes if not any(one.key.startswith(m.key) for one in known))]
        files = list(dict.fromkeys(mistake.place for mistake in found))
        return sorted(found, key=lambda mistake: (files.index(mistake.place), mistake.line or 0))

    def _bind(self, host: settings.HostSettings) -> None:
        if host.http_tls == "off" and not is_loopback(host.http_host):
            text = f"host.http_host: {host.http_host} is not this machine, and without HTTPS it is for loopback alone"
            self._wrong(("host", "http_host"), text, "microclaw config set host.http_tls own")
        for name in ("http_cert", "http_key"):
            if host.http_tls == "files" and getattr(host, name) is None:
                step = f"microclaw config set host.{name} FILE"
                self._wrong(("host", "http_tls"), f"host.http_tls is files, and there is no host.{name}", step)

    def _complete(self, name: str, server: settings.McpServerSettings) -> bool:
        path: Path = ("mcp", "servers", name)
        unset = self.sources.unset((*path, "env")) or self.sources.unset((*path, "headers"))
        if bool(server.command) == bool(server.url):
            form = "a command or a url, not both" if server.url else "a command or a url"
            self._wrong(path, f"{dotted(path)} needs {form}", f"microclaw config set {dotted(path)}.command ...")
        elif unset is not None:
            self.problems.append(f"MCP server {name} is off: the environment has no {unset}")
        return bool(server.command) != bool(server.url) and unset is None

    def _model(self, section: settings.ModelSection) -> settings.ModelSettings:
        keys = ("api_key", "base_url")
        found = dict(self._own) if section.provider is None else dict.fromkeys(VARIABLES, _Credential())
        if section.provider is not None:
            both = self._own[section.provider].over(section.api_key, section.base_url)
            strong = [self._from_variable(("model", key)) for key in keys]
            found[section.provider] = both = _Credential(strong[0] or both.key, strong[1] or both.url)
            if not both.usable(section.provider):
                self._has(f"model {section.provider}", "model", "api_key")
        for provider, names in VARIABLES.items():
            for n, own in enumerate(self._own[provider]):
                if own and found[provider][n] == own:
                    self.variables.setdefault(f"model.{keys[n]}", (names[n], own))
        for key in keys:
            if section.provider is None and getattr(section, key) is not None:
                step = "microclaw config set model.provider anthropic (or openai)"
                self._wrong(("model", key), f"model.{key} needs model.provider", step)
        rows = [self._choice(("model", "fallback", n), row) for n, row in enumerate(section.fallback)]
        tasks = {task: self._choice(("model", "tasks", task), row) for task, row in section.tasks.items()}
        return settings.ModelSettings(
            anthropic_api_key=found["anthropic"].key,
            openai_api_key=found["openai"].key,
            openai_base_url=found["openai"].url,
            anthropic_base_url=found["anthropic"].url,
            model=section.name,
            fallbacks=tuple(choice for choice in rows if choice is not None),
            tasks={task: choice for task, choice in tasks.items() if choice is not None},
            offline_first=section.offline_first,
        )

    def _choice(self, path: Path, row: settings.ModelRow) -> ModelChoice | None:
        """A further model; what it leaves out is the main model's where the provider is the same."""
        main = self.file.model
        provider = row.provider or main.provider
        if provider is None:
            self._wrong(path, f"{dotted(path)} needs a provider", f"add provider to {dotted(path)}")
            return None
        base = main if provider == main.provider else settings.ModelRow()
        credential = self._own[provider].over(row.api_key or base.api_key, base.base_url)
        if row.base_url is not None:
            credential = _Credential(row.api_key, row.base_url)
        if not credential.usable(provider):
            self._has(dotted(path), *path, "api_key")
            return None
        return ModelChoice(provider, row.name, *credential)

    def _variables_of(self, provider: Provider, environ: Mapping[str, str]) -> _Credential:
        key, url = VARIABLES[provider]
        address, form = text_of(environ, url), form_of(Url)
        if address is not None and not form.has(address):
            self._mistakes.append(Mistake(url, None, url, f"{url} is not {form.words}", f"correct or unset {url}"))
        return _Credential(text_of(environ, key), address)

    def _from_variable(self, path: Path) -> str | None:
        """The value, where a variable of ours has it."""
        place, _ = self.sources.places.get(path, (CONFIG, None))
        return None if place in (CONFIG, SECRETS) else self.sources.values[path]

    def _has(self, part: str, *path: str | int) -> bool:
        """The setting is there; else the part is off, which is a problem."""
        if path in self.sources.values:
            return True
        variable, key = self.sources.unset(path), dotted(path)
        why = f"the environment has no {variable}" if variable else f"no {key} (next: microclaw config set {key} VALUE)"
        self.problems.append(f"{part} is off: {why}")
        return False

    def _wrong(self, path: Path, text: str, next_step: str) -> None:
        place = self.sources.places.get(path, ("settings", None))
        self._mistakes.append(Mistake(*place, dotted(path), text, next_step))
