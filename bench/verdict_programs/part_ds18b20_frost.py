import machine, onewire, ds18x20, time

bus = ds18x20.DS18X20(onewire.OneWire(machine.Pin(4)))
roms = bus.scan()
print("found", len(roms))
frost = machine.Pin(5, machine.Pin.OUT)

while True:
    bus.convert_temp()
    time.sleep_ms(750)
    for rom in roms:
        t = bus.read_temp(rom)
        print("temp %.2f" % t)
        frost.value(t < 3)
    time.sleep(1)
