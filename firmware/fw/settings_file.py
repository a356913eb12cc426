"""Keeps what the board was told: each file is replaced, never changed in place. Functions of Settings."""

import json
import os


def change(settings, **news):
    """Keep these in /settings.json; None takes one out."""
    values = dict(settings.told)
    values.update(news)
    values = {name: values[name] for name in values if values[name] is not None}
    keep(settings, settings.SETTINGS, json.dumps(values))
    # Only after it is written: otherwise the memory and the next start would differ.
    settings.told = values


def keep_token(settings, token):
    keep(settings, settings.CREDENTIAL, json.dumps({"token": token}))
    settings.token = token


def keep_address(settings, ip):
    if ip != settings.address:
        keep(settings, settings.ADDRESS, json.dumps({"ip": ip}))
        settings.address = ip


def keep_authority(settings, der):
    keep(settings, settings.AUTHORITY, der)


def forget(settings):
    """Forget all but the board's description and revision, and its access point's key, which may be on a label."""
    settings.told = {name: settings.told[name] for name in ("board", "revision", "ap_key") if name in settings.told}
    keep(settings, settings.SETTINGS, json.dumps(settings.told))
    for name in (settings.CREDENTIAL, settings.ADDRESS, settings.AUTHORITY):
        try:
            os.remove(settings._folder + name)
        except OSError:
            # There was no such file.
            pass
    settings.token = settings.address = None


def keep(settings, name, data):
    path = settings._folder + name
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.rename(path + ".new", path)
