"""Computes when the sun rises and sets at a place. It asks nobody: the sunrise equation needs only the date.

The times are right to about two minutes below 60 degrees of latitude (the equation as NOAA and Meeus publish it; its
constants are degrees, and days since noon of 2000-01-01).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from math import acos, asin, cos, degrees, radians, sin
from typing import Final

_NOON_2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
_AXIAL_TILT: Final = 23.4397
_PERIHELION: Final = 102.9372
# The height of the sun's center in degrees. Its upper edge, lifted by the air, is on the horizon at -0.833.
_HEIGHTS: Final = {"sunrise": -0.833, "sunset": -0.833, "dawn": -6.0, "dusk": -6.0}
_BEFORE_NOON: Final = ("sunrise", "dawn")


def sun_time(event: str, day: date, latitude: float, longitude: float) -> datetime | None:
    """Return the time of "sunrise", "sunset", "dawn" or "dusk" on a day, or None if the sun has none there that day.

    Degrees north and east are positive. Dawn and dusk are those of civil twilight.
    """
    days = (day - _NOON_2000.date()).days - longitude / 360
    anomaly = radians((357.5291 + 0.98560028 * days) % 360)
    center = 1.9148 * sin(anomaly) + 0.02 * sin(2 * anomaly) + 0.0003 * sin(3 * anomaly)
    ecliptic_longitude = radians((degrees(anomaly) + center + 180 + _PERIHELION) % 360)
    noon = days + 0.0053 * sin(anomaly) - 0.0069 * sin(2 * ecliptic_longitude)
    declination = asin(sin(ecliptic_longitude) * sin(radians(_AXIAL_TILT)))
    north = radians(latitude)
    height = sin(radians(_HEIGHTS[event])) - sin(north) * sin(declination)
    cosine = height / (cos(north) * cos(declination))
    if not -1 <= cosine <= 1:
        return None
    half_day = degrees(acos(cosine)) / 360
    if event in _BEFORE_NOON:
        half_day = -half_day
    return _NOON_2000 + timedelta(days=noon + half_day)
