from microclaw import on, pin
b = pin(14, "in", pull="up")
l = pin(12)
@on(b, "falling")
def press():
    l.toggle()
