from microclaw import on, pin, every, sensor
b = pin(14, "in", pull="up")
l = pin(12)
def press():
    l.toggle()
on(b, "falling", press)
@every(1000)
def r():
    sensor("temperature", 0x76)
    sensor("humidity", 0x76)
