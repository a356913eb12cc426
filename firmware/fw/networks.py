"""The board's list of Wi-Fi networks: the host's calls for it, and the trial of a new network. Loaded when needed.

/settings.json has `wifi`, the network to try first in front, and `wifi_trial` {ssid, state, why}. While `state` is
"trying" it also has `former`: the list that counts again if the host cannot be reached over the new network. This
holds over a power cut too, as both are written at once.
"""

import asyncio
import sys
import time

from errors import CallError
from micropython import const
from shown import shown

MAX_NETWORKS = const(8)
TRIAL_S = const(60)
_MAX_SSID_BYTES = const(32)


def entry_of(ssid, password):
    """Return the network as settings.json has it; CallError if it is not valid (IEEE 802.11: WPA passphrases)."""
    if not isinstance(ssid, str) or not 0 < len(ssid.encode()) <= _MAX_SSID_BYTES or shown(ssid) != ssid:
        raise CallError("bad_params", "a Wi-Fi name has 1 to 32 bytes, without control characters")
    if password is None or password == "":
        return {"ssid": ssid}
    if not isinstance(password, str) or not 8 <= len(password.encode()) <= 63 or shown(password) != password:
        raise CallError("bad_params", "a Wi-Fi password has 8 to 63 characters; leave it out for an open network")
    return {"ssid": ssid, "password": password}


def others_of(settings, ssid):
    """Return the networks that the board knows except this one."""
    return [network for network in settings.get("wifi", []) if network["ssid"] != ssid]


def put_first(settings, wifi, entry):
    """Put a network first, without a trial, and try it at once: a person at the board chose it.

    A ninth network replaces the last.
    """
    networks = [entry] + others_of(settings, entry["ssid"])[: MAX_NETWORKS - 1]
    settings.change(wifi=networks, wifi_trial=None)
    know(wifi, networks)


def know(wifi, networks, stays=False):
    """Set the known networks. Unless it `stays`, leave the present one and try the first of them at once."""
    wifi.networks = list(networks)
    if stays or wifi.wlan is None:
        return
    wifi.up.clear()
    wifi.failures = 0
    wifi.lost_ms = time.ticks_ms()
    rest(wifi)


def rest(wifi):
    """Stop the radio until the next round; return why it did not join, as a network.STAT_... if it says so."""
    wifi.ssid = None
    try:
        wifi.wlan.disconnect()
    except OSError:
        # The radio was not connecting.
        pass
    return wifi.wlan.status()


def scan(wifi):
    """Return (name, dBm) of the networks around whose name is text; every program waits 2.5 s meanwhile."""
    networks = []
    rows = [] if wifi.wlan is None else wifi.wlan.scan()
    for row in rows:
        try:
            if row[0]:
                networks.append((str(row[0], "utf-8"), row[3]))
        except ValueError:
            # The name is not UTF-8.
            pass
    return networks


def wifi_list(calls, _):
    settings = calls.settings
    wifi = calls.wifi
    value = {"networks": [network["ssid"] for network in settings.get("wifi", [])]}
    if wifi.ssid is not None and wifi.address() is not None:
        value["ssid"] = wifi.ssid
    trial = settings.get("wifi_trial")
    if trial:
        value["trial"] = {name: trial[name] for name in ("ssid", "state", "why") if name in trial}
    return value


def wifi_set(calls, params):
    settings = calls.settings
    entry = entry_of(params.get("ssid"), params.get("password"))
    later = params.get("later", False)
    if not isinstance(later, bool):
        raise CallError("bad_params", "later must be true or false")
    _refuse_while_trying(settings)
    former = settings.get("wifi", [])
    others = others_of(settings, entry["ssid"])
    if len(others) >= MAX_NETWORKS:
        raise CallError("failed", "the board knows %d networks: have it forget one first" % len(others))
    if later:
        settings.change(wifi=others + [entry])
        know(calls.wifi, settings.get("wifi"), True)
        return {"ssid": entry["ssid"], "state": "kept"}
    trial = {"ssid": entry["ssid"], "state": "trying", "former": former}
    settings.change(wifi=[entry] + others, wifi_trial=trial)
    calls.then = ("another Wi-Fi", lambda link: begin_trial(settings, calls.wifi, link))
    return {"ssid": entry["ssid"], "state": "trying", "seconds": TRIAL_S}


def wifi_forget(calls, params):
    settings = calls.settings
    ssid = params.get("ssid")
    _refuse_while_trying(settings)
    others = others_of(settings, ssid)
    if len(others) == len(settings.get("wifi", [])):
        raise CallError("bad_params", "the board knows no such network")
    if not others or ssid == calls.wifi.ssid:
        raise CallError("failed", "the board is connected by it, or knows no other: give it another network first")
    settings.change(wifi=others)
    know(calls.wifi, others, True)


def begin_trial(settings, wifi, link):
    """Begin the trial of the network that `wifi_trial` names; also after a power cut in the middle of a trial."""
    asyncio.create_task(_try(settings, wifi, link, settings.get("wifi_trial")))


async def _try(settings, wifi, link, trial):
    try:
        know(wifi, [settings.get("wifi")[0]])
        until = time.ticks_add(time.ticks_ms(), settings.get("wifi_trial_s", TRIAL_S) * 1000)
        is_up = False
        while not is_up and time.ticks_diff(until, time.ticks_ms()) > 0:
            await asyncio.sleep_ms(250)
            if settings.get("wifi_trial") is not trial:
                # A person gave another network meanwhile.
                return
            is_up = wifi.ssid == trial["ssid"] and wifi.up.is_set() and link.phase == "ready"
        if is_up:
            settings.change(wifi_trial={"ssid": trial["ssid"], "state": "kept"})
            know(wifi, settings.get("wifi"), True)
            return
        if wifi.ssid == trial["ssid"]:
            why = "the host was not reached over it"
        else:
            why = why_not(rest(wifi))
        settings.change(wifi=trial["former"], wifi_trial={"ssid": trial["ssid"], "state": "failed", "why": why})
        link.failures = 0
        know(wifi, trial["former"])
    except OSError as exc:
        # settings.json cannot be written: the next start tries again.
        sys.print_exception(exc)
        know(wifi, trial["former"])


def why_not(status):
    """Return in words why a network was not joined; `status` is a network.STAT_... or a reason of IEEE 802.11."""
    # Wrong password, 4-way handshake, handshake time-out.
    if status in (202, 15, 204):
        return "the password is wrong"
    # No such network, or none with this security or signal.
    if status in (201, 210, 211, 212):
        return "the board does not hear it; it hears 2.4 GHz alone, never 5 GHz"
    return "the board did not get into it"


def _refuse_while_trying(settings):
    trial = settings.get("wifi_trial")
    if trial and trial["state"] == "trying":
        raise CallError("failed", "another network is being tried: wait a minute")
