"""What the board was told, and its credential: two files that are replaced, never changed in place."""

import json
import os

# board {name and what board.py says}, wifi [{ssid, password}], host, port, ca_sha256, secret, ap_key; where wanted
# name, ntp, ap_after_s; wifi_trial is networks.py's
SETTINGS = "settings.json"
CREDENTIAL = "credential.json"  # token
ADDRESS = "address.json"  # ip: where the host was last
AUTHORITY = "ca.der"
AGENT = "agent_data/settings.json"  # what the agent of boards with PSRAM was told: its keys


class Settings:
    """`told` is /settings.json; nothing in it is needed to start."""

    def __init__(self, folder=""):
        self._folder = folder
        self.told = self._read(SETTINGS)
        self.token = self._read(CREDENTIAL).get("token")
        self.address = self._read(ADDRESS).get("ip")

    def get(self, name, default=None):
        return self.told.get(name, default)

    def board_name(self):
        return self.told.get("board", {}).get("name", "esp32")

    def change(self, **news):
        """Keep these in /settings.json; None takes one out."""
        told = dict(self.told)
        told.update(news)
        told = {name: told[name] for name in told if told[name] is not None}
        self._keep(SETTINGS, json.dumps(told))
        self.told = told  # once it is kept: else what is done and what a start finds would differ

    def keep_token(self, token):
        self._keep(CREDENTIAL, json.dumps({"token": token}))
        self.token = token

    def keep_address(self, ip):
        if ip != self.address:
            self._keep(ADDRESS, json.dumps({"ip": ip}))
            self.address = ip

    def authority(self):
        """The host's authority in DER form, or None before it was fetched."""
        try:
            with open(self._folder + AUTHORITY, "rb") as file:
                return file.read()
        except OSError:
            return None

    def keep_authority(self, der):
        self._keep(AUTHORITY, der)

    def forget(self):
        """Everything but the board's own description, and the key of its access point, which may stand on a label."""
        self.told = {name: self.told[name] for name in ("board", "ap_key") if name in self.told}
        self._keep(SETTINGS, json.dumps(self.told))
        for name in (CREDENTIAL, ADDRESS, AUTHORITY, AGENT):
            try:
                os.remove(self._folder + name)
            except OSError:
                pass  # there was none
        self.token = self.address = None

    def path(self, name):
        return self._folder + name

    def _read(self, name):
        try:
            with open(self._folder + name) as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _keep(self, name, data):
        path = self._folder + name
        with open(path + ".new", "wb") as file:
            file.write(data)
        os.rename(path + ".new", path)
