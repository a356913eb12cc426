"""The only loader of settings: joins the values of all sources into frozen settings. It opens no socket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path as FilePath
from typing import Any, Final

from microclaw.addresses import is_loopback
from microclaw.errors import ConfigError
from microclaw.host.config import settings
from microclaw.host.config.forms import Database, Link, Url, form_of
from microclaw.host.config.places import cache_folder, control_socket, home_folder, make_private, text_of
from microclaw.host.config.schema import Path, dotted
from microclaw.host.config.settings import LinkSettings, ModelChoice, Provider, Settings
from microclaw.host.config.sources import CONFIG, SECRETS, Mistake, Sources

VARIABLES: Final[Mapping[Provider, tuple[str, str]]] = {
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "google": ("GEMINI_API_KEY", "GEMINI_BASE_URL"),
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
    assembly = Assembly(folder, environ)
    fatal = [mistake for mistake in assembly.mistakes if mistake.fatal]
    if fatal:
        if len(fatal) == 1:
            raise ConfigError(str(fatal[0]), next_step=fatal[0].next_step)
        text = f"{fatal[0]} (and {len(fatal) - 1} more)"
        raise ConfigError(text, next_step="microclaw config check")
    sections = {field.name: getattr(assembly.file, field.name) for field in fields(settings.Sections)}
    return Settings(
        home=folder,
        cache=cache_folder(environ),
        control_socket=control_socket(folder, environ),
        http_port=http_port,
        link=link,
        problems=tuple(assembly.problems),
        **sections | assembly.parts,
    )


def find_mistakes(environ: Mapping[str, str], home: FilePath, texts: Mapping[str, str] | None = None) -> list[Mistake]:
    """Everything that is wrong in the files and variables, what does not stop the host too; `texts` as Sources."""
    return Assembly(home, environ, texts).mistakes


def private_home(environ: Mapping[str, str], home: FilePath | None) -> FilePath:
    """Return the host's folder, and create it if it is missing."""
    folder = (home or home_folder(environ)).expanduser().absolute()
    make_private(folder)
    return folder


def read_link(text: str | None, *, http_port: int) -> LinkSettings | None:
    """Read `--link`: HOST:PORT, "off", or nothing: loopback, on any free port where the API has one too."""
    if text == "off":
        return None
    if text is not None and not form_of(Link).has(text):
        raise ConfigError(f"--link {text!r} is not HOST:PORT", next_step="--link 127.0.0.1:8443, or --link off")
    default_port = settings.DEFAULT_LINK_PORT if http_port else 0
    host, _, port = (text or f"127.0.0.1:{default_port}").rpartition(":")
    return LinkSettings(host.removeprefix("[").removesuffix("]"), int(port))


def read_database(text: str) -> str:
    """Read `--database`."""
    if not form_of(Database).has(text):
        step = "microclaw up --database postgresql://USER@HOST/NAME"
        raise ConfigError(f"--database is not {form_of(Database).words}", next_step=step)
    return text


class Assembly:
    """The `parts` of Settings that several settings or variables make together. `problems` say which is off, and why.

    What a provider's own variables give a model is in `sources` from then on.
    """

    def __init__(self, home: FilePath, environ: Mapping[str, str], texts: Mapping[str, str] | None = None) -> None:
        self.sources = Sources(home, environ, texts)
        self.file = file = self.sources.file
        self.problems: list[str] = []
        self._mistakes: list[Mistake] = []
        self._own = {provider: self._variables_of(names, environ) for provider, names in VARIABLES.items()}
        self.sources.secrets.update(key for key, _ in self._own.values() if key)
        telegram = file.telegram
        search = file.search
        backup = file.backup
        model = self._model(file.model)
        wants_bot = telegram is not None and telegram.enabled
        has_bot = wants_bot and self._has("telegram", "telegram", "token")
        has_search = search is not None and self._has("web search", "search", "api_key")
        has_backup = backup.folder is not None and self._has("backup", "backup", "recipient")
        self._bind(file.host)
        servers = []
        for name, server in file.mcp.servers.items():
            if self._complete(name, server):
                servers.append(replace(server, name=name))
        self.parts: dict[str, Any] = {
            "model": model,
            "telegram": None,
            "search": None,
            "mcp_servers": tuple(servers),
            "proxy": file.proxy.url,
            "backup": None,
            "secrets": frozenset(self.sources.secrets),
        }
        if has_bot:
            self.parts["telegram"] = telegram
        if has_search:
            self.parts["search"] = search
        if has_backup:
            self.parts["backup"] = backup

    @property
    def mistakes(self) -> list[Mistake]:
        """All mistakes in the order of their lines, without mistakes that only follow from others."""
        mistakes = list(self.sources.mistakes)
        for mistake in self._mistakes:
            if not any(cause.key.startswith(mistake.key) for cause in self.sources.mistakes):
                mistakes.append(mistake)
        files = list(dict.fromkeys(mistake.place for mistake in mistakes))
        return sorted(mistakes, key=lambda mistake: (files.index(mistake.place), mistake.line or 0))

    def _bind(self, host: settings.HostSettings) -> None:
        if host.http_tls == "off" and not is_loopback(host.http_host):
            text = f"host.http_host: {host.http_host} is not this machine, and without HTTPS only loopback is allowed"
            self._wrong(("host", "http_host"), text, "microclaw config set host.http_tls own")
        for name in ("http_cert", "http_key"):
            if host.http_tls == "files" and getattr(host, name) is None:
                step = f"microclaw config set host.{name} FILE"
                self._wrong(("host", "http_tls"), f"host.http_tls is files, and there is no host.{name}", step)

    def _complete(self, name: str, server: settings.McpServerSettings) -> bool:
        path: Path = ("mcp", "servers", name)
        unset = self.sources.unset((*path, "env")) or self.sources.unset((*path, "headers"))
        if bool(server.command) == bool(server.url):
            form = "a command or a url"
            if server.url:
                form += ", not both"
            self._wrong(path, f"{dotted(path)} needs {form}", f"microclaw config set {dotted(path)}.command ...")
        elif unset is not None:
            self.problems.append(f"MCP server {name} is off: the environment has no {unset}")
        return bool(server.command) != bool(server.url) and unset is None

    def _model(self, section: settings.ModelSection) -> settings.ModelSettings:
        """Without a provider the one counts whose variables are there, in the order of VARIABLES."""
        provider = section.provider or self._usable_provider()
        for key in ("api_key", "base_url"):
            if section.provider is None and getattr(section, key) is not None:
                step = "microclaw config set model.provider anthropic (or openai, google)"
                self._wrong(("model", key), f"model.{key} needs model.provider", step)
        if provider is None:
            main = None
        else:
            main = self._choice(("model",), section, provider)
        fallbacks = []
        for name, row in section.fallback.items():
            choice = self._row(("model", "fallback", name), row)
            if choice is not None:
                fallbacks.append(choice)
        tasks = {}
        for task, row in section.tasks.items():
            choice = self._row(("model", "tasks", task), row)
            if choice is not None:
                tasks[task] = choice
        return settings.ModelSettings(
            main=main,
            fallbacks=tuple(fallbacks),
            tasks=tasks,
            offline_first=section.offline_first,
        )

    def _usable_provider(self) -> Provider | None:
        """Return the first provider that the variables of the environment make usable."""
        for provider, (api_key, base_url) in self._own.items():
            if _is_usable(provider, api_key, base_url):
                return provider
        return None

    def _row(self, path: Path, row: settings.ModelRow) -> ModelChoice | None:
        provider = row.provider or self.file.model.provider
        if provider:
            return self._choice(path, row, provider)
        self._wrong(path, f"{dotted(path)} needs a provider", f"add provider to {dotted(path)}")
        return None

    def _choice(self, path: Path, row: settings.ModelRow, provider: Provider) -> ModelChoice | None:
        """Return a model. Missing values are the main model's if the provider is the same, else the environment's.

        A key of the environment goes to the provider itself or to the environment's address, never to an address of
        the file, which may belong to another service. A row's own address gets only the row's own key.
        """
        main = self.file.model
        base: settings.ModelRow = main
        if main.provider and main.provider != provider:
            base = settings.ModelRow()
        found = {"api_key": row.api_key or base.api_key, "base_url": row.base_url or base.base_url}
        own = dict(zip(found, self._own[provider], strict=True))
        if row is not main and row.base_url:
            found["api_key"] = row.api_key
        elif own["base_url"] or not found["base_url"]:
            for key, variable in zip(found, VARIABLES[provider], strict=True):
                place = (*path, key)
                text = own[key]
                if text and self.sources.places.get(place, (CONFIG, None))[0] in (CONFIG, SECRETS):
                    found[key] = text
                    self.sources.take(place, text, variable)
        if _is_usable(provider, **found):
            return ModelChoice(provider, row.name, silence_s=row.silence_s, **found)
        part = f"model {provider}" if row is main else dotted(path)
        self._has(part, *path, "api_key")
        return None

    def _variables_of(self, names: tuple[str, str], environ: Mapping[str, str]) -> tuple[str | None, str | None]:
        key, url = names
        address = text_of(environ, url)
        form = form_of(Url)
        if address is not None and not form.has(address):
            self._mistakes.append(Mistake(url, None, url, f"{url} is not {form.words}", f"correct or unset {url}"))
        return text_of(environ, key), address

    def _has(self, part: str, *path: str) -> bool:
        """Return True if the setting is there; otherwise report that the part is off."""
        if path in self.sources.values:
            return True
        variable = self.sources.unset(path)
        key = dotted(path)
        if variable:
            why = f"the environment has no {variable}"
        else:
            why = f"no {key} (next: microclaw config set {key} VALUE)"
        self.problems.append(f"{part} is off: {why}")
        return False

    def _wrong(self, path: Path, text: str, next_step: str) -> None:
        place = self.sources.places.get(path, ("settings", None))
        self._mistakes.append(Mistake(*place, dotted(path), text, next_step))


def _is_usable(provider: Provider, api_key: str | None, base_url: str | None) -> bool:
    """Return True for a provider without a key: a server of OpenAI's kind may need none."""
    return bool(api_key or (provider == "openai" and base_url))
