from machine import Pin


class Menu:
    def __init__(self):
        self._count = 0

    def _on_up(self):
        self._count += 1

    def _on_down(self):
        self._count -= 1

    def handle(self, key):
        getattr(self, "_on_" + key)()
        return self._count


menu = Menu()
led = Pin(13, Pin.OUT)
for key in ("up", "up", "down"):
    print(menu.handle(key))
for name in ("on", "off"):
    getattr(led, name)()
print(getattr(menu, "nothing", "none"), getattr(Pin, "".join(["O", "UT"])) == Pin.OUT)
