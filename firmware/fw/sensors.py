"""Values of the sensors at the board's I2C pins, for `sensor(...)` of programs and `i2c.read`.

Loaded with the first reading. `part_table` and `part_NAME` are made of the parts' folders when the files for a board
are put together (src/microclaw/hardware/firmware_folder.py); the module of a part is loaded when the part is read.
"""

from part_table import ROWS


def names():
    """Return the names of the parts that can be read here, sorted."""
    return [row.split(" ")[0] for row in ROWS]


def find(sensor):
    """Return a part, and where it may answer, its usual address first; no address if it cannot be read here.

    The name of a sensor is its part's, or has its address too: bme280@0x77.
    """
    part, _, wanted = sensor.partition("@")
    found = []
    for row in ROWS:
        name, places, _ = row.split(" ")
        if name == part:
            found = [int(place) for place in places.split(",")]
    if wanted:
        found = [address for address in found if "0x%02x" % address == wanted]
    return part, found


def quantity(i2c, name, address, load):
    """Return one value, or None if no sensor answers; ValueError if no part measures the quantity.

    `load` imports the module of a part.
    """
    measured = []
    for row in ROWS:
        part, places, fields = row.split(" ")
        for field in fields.split(","):
            value_name, _, key = field.partition("=")
            measured.append(value_name)
            if value_name == name and str(address) in places.split(","):
                readings = values(i2c, part, address, load)
                if readings is not None:
                    return readings[key]
    if name not in measured:
        raise ValueError("no quantity %s: %s" % (name, ", ".join(sorted(set(measured)))))
    return None


def values(i2c, part, address, load):
    """Return every value of a part by name and unit, or None if it does not answer at this address."""
    try:
        return load("part_" + part).read(i2c, address)
    except OSError:
        return None
