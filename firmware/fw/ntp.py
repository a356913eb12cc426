"""The time by an NTP server, or by a date of HTTP. Loaded while the clock is not set, and given back."""

import asyncio
import calendar
import socket
import struct
from calendar import NO_EARLIER_S

from binding import once
from micropython import const

_NTP_S = 2208988800  # from 1900 to 1970 (RFC 5905)
TRIES = 3
_WRONG_S = const(60)


async def set_clock(settings, board):
    """Set the clock by the NTP server of the settings; return whether it was wrong by more than a minute."""
    server = settings.get("ntp", "pool.ntp.org")
    if server:
        now_s = await ask_ntp(server, settings.get("ntp_port", 123))
    else:
        now_s = None
    if now_s is None:
        return False
    is_wrong = abs(calendar.now_ms() // 1000 - now_s) > _WRONG_S
    board.set_time(now_s * 1000)
    return is_wrong


async def ask_ntp(server, port=123):
    """Return the seconds since 1970 by that server (SNTP, RFC 4330), or None if it does not answer."""
    asking = None
    try:
        address = socket.getaddrinfo(await once("dial").address_of(server), port, 0, socket.SOCK_DGRAM)[0][-1]
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.setblocking(False)
        for _ in range(TRIES):
            asking.sendto(b"\x1b" + bytes(47), address)
            for _ in range(20):
                await asyncio.sleep_ms(50)
                try:
                    answer = asking.recv(64)
                except OSError:
                    # No answer yet.
                    continue
                if len(answer) >= 48 and answer[0] & 7 == 4:
                    seconds = struct.unpack(">I", answer[40:44])[0] - _NTP_S
                    # The count begins again in 2036.
                    seconds += (seconds < 0) << 32
                    return seconds if seconds >= NO_EARLIER_S else None
    except OSError:
        # The server cannot be reached.
        pass
    finally:
        if asking is not None:
            asking.close()


def seconds_of(date):
    """Return the seconds since 1970 of an HTTP date (RFC 9110, 5.6.7)."""
    _, day, month, year, clock = date.split(" ")[:5]
    hour, minute, second = clock.split(":")
    at = "MarAprMayJunJulAugSepOctNovDecJanFeb".find(month) // 3
    year = int(year) - (at > 9)
    days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * at + 2) // 5 + int(day) - 719469
    return days * 86400 + int(hour) * 3600 + int(minute) * 60 + int(second)
