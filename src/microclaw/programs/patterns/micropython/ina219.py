# INA219: voltage, current and power each EVERY_MS, and the
# energy since the start of the program.
from microclaw import every, sensor

ADDRESS = 0x40
EVERY_MS = 1000
energy_mwh = 0


def look():
    global energy_mwh
    load = [sensor(quantity, ADDRESS) for quantity in ("voltage", "current", "power")]
    if None in load:
        print("no INA219 answers at address", ADDRESS)
    else:
        energy_mwh += load[2] * EVERY_MS / 3600000
        load.append(energy_mwh)
        print("voltage %.2f V, current %.1f mA, power %.0f mW, energy %.2f mWh" % tuple(load))


every(EVERY_MS, look)
