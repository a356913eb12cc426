"""`status --open`, `person password` and `person ca`: a browser's way in, and the authority that it has to trust."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import click
from msgspec import to_builtins

from microclaw.api.operations import read_status
from microclaw.auth import operations as people
from microclaw.cli.audit_command import audit
from microclaw.cli.operation_commands import perform
from microclaw.cli.options import GlobalOptions, command_group
from microclaw.cli.secret_value import secret_value
from microclaw.errors import ConfigError, NoHost

person_group = command_group()
person_group.add_command(audit, "log")
_CERTIFICATE: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def open_page(options: GlobalOptions, person: str) -> None:
    """Print a link that signs a browser in, once."""
    options.only_here("microclaw status --open")
    host = options.host()
    found = host.call(read_status)
    if found.http is None:
        raise NoHost("this host has no address for browsers", next_step="microclaw up --port 8080")
    made, ca_sha256 = host.call(people.link, person=person), found.https.ca_sha256
    links = [url + made.path for url in found.https.urls]
    if not options.wrote_json("open", {**to_builtins(made), "url": links[0], "urls": links, "ca_sha256": ca_sha256}):
        options.line(links[0])
        for other in links[1:]:
            options.say(f"or  {other}")
        options.say(f"signs {made.person} ({made.role}) in once, within {made.expires_s / 60:.0f} minutes")
        if ca_sha256 is not None:
            options.say(f"the host's own authority, SHA-256 {ca_sha256}: microclaw person ca FILE")


@person_group.command("password")
@click.argument("name")
@click.option("--remove", is_flag=True, help="No password any more.")
@click.pass_obj
def password(options: GlobalOptions, name: str, remove: bool) -> None:
    """Set a password, typed twice or on stdin; every session of the person ends."""
    question = f"A password for {name}, at least 12 characters"
    text = None if remove else secret_value(question, "-", is_new=True, strictly=True)
    perform(options, people.set_password, {"name": name, "password": text})


@person_group.command("ca")
@click.argument("file", required=False, help="Write the certificate (PEM) there; - prints it.")
@click.pass_obj
def authority(options: GlobalOptions, file: str | None) -> None:
    """The host's own certificate authority, for browsers and `--host`: its fingerprint, never its key."""
    from microclaw.auth.authority import AUTHORITY_FILE
    from microclaw.authority_pem import pem_fingerprint
    from microclaw.durable import read_private

    options.only_here("its authority")
    path = options.settings().identity / AUTHORITY_FILE
    found = _CERTIFICATE.search(read_private(path) or b"")  # without the key, which lies in the same file
    if found is None:
        step = "microclaw config set host.http_tls own, then microclaw up"
        raise ConfigError("this host has no authority of its own yet", next_step=step)
    if file == "-":
        sys.stdout.write(found[0].decode("ascii"))
    elif file is None:
        sha256 = pem_fingerprint(found[0])
        text = f"SHA-256 {sha256}\nits certificate in a file: microclaw person ca FILE"
        options.report("ca", {"sha256": sha256, "file": str(path)}, text)
    else:
        try:
            Path(file).write_bytes(found[0])
        except OSError as exc:
            raise ConfigError(f"cannot write {file}: {exc.strerror or exc}", next_step="give another place") from exc
        options.report("ca", {"file": file}, f"{file}: import it where the host's pages are opened")
