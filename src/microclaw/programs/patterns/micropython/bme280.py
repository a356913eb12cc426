# BME280: temperature, humidity and air pressure each EVERY_MS.
from microclaw import every, sensor

ADDRESS = 0x76
EVERY_MS = 10000


def look():
    air = [sensor(quantity, ADDRESS) for quantity in ("temperature", "humidity", "pressure")]
    if None in air:
        print("no BME280 answers at address", ADDRESS)
    else:
        print("temperature %.2f C, humidity %.1f %%, pressure %.1f hPa" % tuple(air))


look()
every(EVERY_MS, look)
