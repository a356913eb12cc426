from microclaw import on, pin, every
b = pin(14, "in", pull="up")
l = pin(12)
def press():
    l.toggle()
on(b, "falling", press)
every(1000, lambda: print("x"))
