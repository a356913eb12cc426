"""`microclaw open`, `person password` and `person ca`: a browser's way in, and the authority that it has to trust."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec import to_builtins

from microclaw.auth import operations as people
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import GlobalOptions, command_group, global_options
from microclaw.errors import ConfigError, NoHost

MAX_PASSWORD_LINE: Final = 1024
person_group = command_group()
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def open_page(
    ctx: typer.Context,
    person: Annotated[str, typer.Option("--person", help="Who signs in with it.")] = "owner",
    browser: Annotated[bool, typer.Option("--browser", help="Open it in this machine's browser.")] = False,
) -> None:
    """Print a link that signs a browser in, once."""
    options = global_options(ctx)
    host = options.host()
    found = host.status()
    if found["http"] is None:
        raise NoHost("this host has no address for browsers", next_step="microclaw up --port 8080")
    made = host.call(people.link, person=person)
    links, ca_sha256 = [url + made.path for url in found["https"]["urls"]], found["https"]["ca_sha256"]
    document = {**to_builtins(made), "url": links[0], "urls": links, "ca_sha256": ca_sha256}
    if not options.wrote_json("open", document):
        options.line(links[0])
        for other in links[1:]:
            options.say(f"or  {other}")
        options.say(f"signs {made.person} ({made.role}) in once, within {made.expires_s / 60:.0f} minutes")
        if ca_sha256 is not None:
            options.say(f"the host's own authority, SHA-256 {ca_sha256}: microclaw person ca FILE")
    if browser:
        import webbrowser

        if not webbrowser.open(links[0]):
            raise ConfigError("no browser could be opened here", next_step="open the printed link yourself")


@person_group.command("password")
def password(
    ctx: typer.Context,
    name: str,
    remove: Annotated[bool, typer.Option("--remove", help="No password any more.")] = False,
) -> None:
    """Set a password, typed twice or on stdin; every session of the person ends."""
    options, text = global_options(ctx), None
    if not remove and sys.stdin.isatty():
        text = typer.prompt(f"A password for {name}, at least 12 characters", hide_input=True, confirmation_prompt=True)
    elif not remove:
        text = sys.stdin.readline(MAX_PASSWORD_LINE).rstrip("\r\n")
    perform(options, people.set_password, {"name": name, "password": text})


@person_group.command("ca")
def authority(
    ctx: typer.Context,
    file: Annotated[str | None, typer.Argument(help="Write the certificate (PEM) there; - prints it.")] = None,
) -> None:
    """The host's own certificate authority, for browsers and `--host`: its fingerprint, never its key."""
    options = global_options(ctx)
    options.only_here("its authority")
    pem, path = _authority(options)
    if file == "-":
        sys.stdout.write(pem.decode("ascii"))
    elif file is not None:
        try:
            Path(file).write_bytes(pem)
        except OSError as exc:
            raise ConfigError(f"cannot write {file}: {exc.strerror or exc}", next_step="give another place") from exc
        options.report("ca", {"file": file}, f"{file}: import it where the host's pages are opened")
    else:
        from microclaw.authority_pem import pem_fingerprint

        found = {"sha256": pem_fingerprint(pem), "file": str(path)}
        options.report("ca", found, f"SHA-256 {found['sha256']}\nits certificate in a file: microclaw person ca FILE")


def _authority(options: GlobalOptions) -> tuple[bytes, Path]:
    """The certificate of this home's authority, without the key that lies in the same file."""
    from microclaw.auth.authority import AUTHORITY_FILE
    from microclaw.durable import read_private

    path = options.settings().identity / AUTHORITY_FILE
    found = _CERTIFICATE.search(read_private(path) or b"")
    if found is None:
        step = "microclaw config set host.http_tls own, then microclaw up"
        raise ConfigError("this host has no authority of its own yet", next_step=step)
    return found[0], path
