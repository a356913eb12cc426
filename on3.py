from microclaw import on, pin, every, sensor
b = pin(14, "in", pull="up")
l = pin(12)
def press():
    l.toggle()
on(b, "falling", press)
@every(1000)
def r():
    print(sensor("temperature", 0x77))
