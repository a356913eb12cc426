"""Which addresses no program reaches, whatever its hosts are: the board itself, its host's ports, everybody at once.

An address of a private network needs a name of one, or must be written out among the hosts: a name of the internet
that leads into the house is an attack (DNS rebinding). The host's computer is reached only by its address with a port:
the host knows its own ports, and takes no program that has one of them among its hosts.

The virtual board reads this file, too (virtual/network/reach.py).
"""

from errors import CallError

# The ends of names that routers give to devices in the house.
_HOME = (".local", ".lan", ".home", ".internal", ".home.arpa", ".fritz.box")
_NAME_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789-_."
# Of one program; its record must stay small.
_MOST = 16


def check_use(hosts, ports):
    """Return what a program's record has after its times: its hosts and ports. CallError if one is no such thing."""
    is_right = isinstance(hosts, (list, tuple)) and isinstance(ports, (list, tuple))
    is_right = is_right and len(hosts) <= _MOST and len(ports) <= _MOST
    if not is_right or not all([_is_host(host) for host in hosts]) or not all([is_port(port) for port in ports]):
        raise CallError("bad_params", "hosts are up to %d texts HOST or HOST:PORT, ports numbers" % _MOST)
    return [list(hosts), list(ports)]


def is_port(value):
    return type(value) is int and 0 < value < 65_536


def _is_host(value):
    if not isinstance(value, str) or value != value.lower() or " " in value:
        return False
    name, _, port = value.partition(":")
    return 0 < len(name) < 254 and (port or "1").isdigit()


def numbers(text):
    """Return the four numbers of an IPv4 address, or None for anything else."""
    parts = text.split(".")
    if len(parts) != 4:
        return None
    for part in parts:
        if len(part) > 3 or not part.isdigit():
            return None
        # With a zero before it a number is octal for some, and another address.
        if str(int(part)) != part or int(part) > 255:
            return None
    return [int(part) for part in parts]


def is_name(text):
    """Return False for the board itself, for what some read as an address (127.1, 0x7f000001), and for other signs."""
    if not all([char in _NAME_CHARS for char in text.lower()]):
        return False
    end = text.lower().split(".")[-1]
    return end not in ("", "localhost") and not end.isdigit() and not end.startswith("0x")


def refusal(address, name, port, board, is_written_out):
    """Return why a program must not talk to `address`, which `name` led to; None if it may.

    `is_written_out` is true if the program's hosts have the name with this port.
    """
    parts = numbers(address)
    if parts is None:
        return "not an IPv4 address"
    if parts[0] in (0, 127):
        return "the board itself"
    if parts[0] >= 224:
        return "broadcast and multicast are not for programs"
    if _is_private(parts) and address != name and not _is_of_house(name):
        return "a name of the internet must not lead to a private address"
    why = _local(address, parts, board)
    if why is None and board.settings is not None and _is_host_computer(address, name, board.settings):
        is_own_port = port == board.settings.get("port", 8443)
        if is_own_port or address != name or not is_written_out:
            why = "the host's computer: ADDRESS:PORT must be among the hosts, with a port of another server"
    return why


def _is_private(parts):
    first, second = parts[:2]
    if first == 10 or (first, second) in ((192, 168), (169, 254)):
        return True
    return (first == 172 and 16 <= second < 32) or (first == 100 and 64 <= second < 128)


def _is_of_house(name):
    if "." not in name:
        return True
    for end in _HOME:
        if name.lower().endswith(end):
            return True
    return False


def _local(address, parts, board):
    """Return why not, for the board's own addresses and the broadcast of its network."""
    network = board.network
    if not network:
        return None
    access_point = network.WLAN(network.AP_IF)
    if access_point.active() and address == access_point.ifconfig()[0]:
        # Its page is for a person, who chooses the network there.
        return "the board itself"
    wlan = board.wlan()
    if not wlan.isconnected():
        return None
    own, mask = wlan.ifconfig()[:2]
    if address == own:
        return "the board itself"
    is_everybody = True
    for part, own_part, mask_part in zip(parts, numbers(own), numbers(mask)):
        if part != own_part | (255 - mask_part):
            is_everybody = False
    if is_everybody:
        return "broadcast and multicast are not for programs"
    return None


def _is_host_computer(address, name, settings):
    places = (settings.address, settings.get("host"), settings.get("host_name"))
    return address in places or name.lower() in places
