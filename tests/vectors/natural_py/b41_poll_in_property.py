from machine import Pin


class Button:
    def __init__(self, n):
        self.pin = Pin(n, Pin.IN)

    @property
    def pressed(self):
        print("wait")
        # until it is released
        while self.pin.value():
            pass
        return True


print(Button(14).pressed)
