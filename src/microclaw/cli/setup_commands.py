"""`microclaw setup`: asks the few questions, tests each key, writes the settings. Each question is in setup_plan.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from click.exceptions import Exit

from microclaw.cli.options import FAILED, GIVE_YES, GlobalOptions, NobodyToAsk
from microclaw.cli.secret_value import SECRET_METAVAR, secret_value
from microclaw.cli.service_commands import install_service, report, service_manager, service_of
from microclaw.cli.setup_plan import LAN, PROVIDERS, CurrentSettings, Plan, ask_all, take_given
from microclaw.config.edit import write_changes
from microclaw.config.load import VARIABLES, private_home
from microclaw.config.places import text_of
from microclaw.config.schema import dotted
from microclaw.config.show import read_views
from microclaw.config.sources import Sources


@click.command()
@click.option("--provider", help="anthropic or openai.")
@click.option("--model", help="The model's name.")
@click.option("--model-key", metavar=SECRET_METAVAR, help="Its key, in a file or on stdin.")
@click.option("--model-url", help="The address of a compatible server.")
@click.option("--telegram-token", metavar=SECRET_METAVAR, help="The bot's token.")
@click.option("--search-key", metavar=SECRET_METAVAR, help="Brave Search's key.")
@click.option("--lan/--no-lan", default=None, help="Let boards on the network connect.")
@click.option("--service", is_flag=True, help="Start the host at each login.")
@click.pass_obj
def setup(
    options: GlobalOptions,
    provider: str | None,
    model: str | None,
    model_key: str | None,
    model_url: str | None,
    telegram_token: str | None,
    search_key: str | None,
    lan: bool | None,
    service: bool,
) -> None:
    """Set up models, Telegram and search. Each key is tested. With --yes it asks nothing and takes options and
    environment (ANTHROPIC_API_KEY, OPENAI_API_KEY, OPENAI_BASE_URL, TELEGRAM_BOT_TOKEN, BRAVE_API_KEY). A key comes
    from a file (--model-key @FILE) or stdin (-): every account of a machine sees its command lines."""
    home = private_home(os.environ, options.home)
    if provider is not None and provider not in PROVIDERS[:2]:
        raise click.BadParameter(f"--provider is {' or '.join(PROVIDERS[:2])}")
    options.settings()  # refuses files that are wrong already, before any question
    current = read_current(home)
    secrets = {"--model-key": model_key, "--telegram-token": telegram_token, "--search-key": search_key}
    if sum(value == "-" for value in secrets.values()) > 1:
        raise click.BadParameter("stdin can give one of the keys; the others come from files: @FILE")
    key_of = {name: None if value is None else secret_value(name, value) for name, value in secrets.items()}
    options_given = {
        "model.provider": provider or ("openai" if model_url else None),
        "model.name": model,
        "model.api_key": key_of["--model-key"],
        "model.base_url": model_url,
        "telegram.token": key_of["--telegram-token"],
        "search.api_key": key_of["--search-key"],
        "host.link": None if lan is None else LAN if lan else "127.0.0.1:8443",
    }
    given = {key: value for key, value in options_given.items() if value}
    asked = TerminalQuestions(options)
    if options.yes:
        plan = take_given({**_from_environment(os.environ, given), **given}, current, asked)
        plan.service = service
    elif given or service or not sys.stdin.isatty():
        raise NobodyToAsk("setup asks its questions in a terminal, or takes all of its answers as options", GIVE_YES)
    else:
        plan = ask_all(asked, current)
    _finish(options, home, plan)


class TerminalQuestions:
    """Questions at the terminal; keys are not shown."""

    def __init__(self, options: GlobalOptions) -> None:
        self._options = options

    def say(self, text: str) -> None:
        self._options.say(text)

    def choose(self, text: str, choices: tuple[str, ...], default: str) -> str:
        while True:
            answer = self.ask(f"{text} [{'/'.join(choices)}]", default)
            found = [choice for choice in choices if choice.startswith(answer.lower())]
            if len(found) == 1:
                return found[0]
            self.say(f"one of {', '.join(choices)}")

    def ask(self, text: str, default: str) -> str:
        return str(click.prompt(text, default=default, show_default=bool(default))).strip()

    def secret(self, text: str) -> str:
        return str(click.prompt(text, default="", hide_input=True, show_default=False))

    def confirm(self, text: str, *, default: bool) -> bool:
        return click.confirm(text, default=default)


def read_current(home: Path) -> CurrentSettings:
    """What is set now, for the questions and for the tests of keys."""
    shown = {item.key: (item.value, item.origin) for item in read_views(home, os.environ)}
    values = Sources(home, os.environ).values
    plain = {dotted(path): value for path, value in values.items() if isinstance(value, str)}
    for provider, (_, address) in VARIABLES.items():
        if os.environ.get(address):
            plain[f"address.{provider}"] = os.environ[address].strip()
    return CurrentSettings(shown, plain, plain.get("proxy.url"))


def _from_environment(environ: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Keys of the present shell, which a service would not have; a model's only where the options name none."""
    pairs = [
        ("telegram.token", "TELEGRAM_BOT_TOKEN"),
        ("search.api_key", "BRAVE_API_KEY"),
        ("model.name", "MICROCLAW_MODEL"),
    ]
    found = {key: value for key, name in pairs if (value := text_of(environ, name))}
    if not any(key in given for key in ("model.api_key", "model.base_url")):
        for provider, (key_name, url_name) in VARIABLES.items():
            key, url = text_of(environ, key_name), text_of(environ, url_name)
            if given.get("model.provider", provider) == provider and (key or (url and provider == "openai")):
                found["model.provider"] = provider
                found |= {"model.api_key": key} if key else {}
                found |= {"model.base_url": url} if url else {}
                break
    return found


def _finish(options: GlobalOptions, home: Path, plan: Plan) -> None:
    written = write_changes(home, os.environ, plan.changes)
    if options.json:
        document = {"files": list(written.files), "refused": plan.refused, "off": list(options.settings().problems)}
        options.document("setup", document)
    elif written.files:
        options.say(f"written: {', '.join(str(home / name) for name in written.files)}")
    else:
        options.say("nothing changed")
    if plan.service:
        system = service_manager()
        text = system.text(service_of(options))
        options.say(f"# {system.path}\n{text}")
        lines = install_service(options, system, text)
        if not options.json:
            report(options, lines)
    elif not options.json:
        options.say("next: microclaw up --virtual 1, then microclaw chat")
    if plan.refused:
        sys.stderr.write(f"not written, as the service refused the key: {', '.join(plan.refused)}\n")
        raise Exit(FAILED)
