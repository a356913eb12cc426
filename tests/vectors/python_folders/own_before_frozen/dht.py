class DHT22:
    def __init__(self, pin):
        self.pin = pin

    def measure(self):
        return 'own', self.pin
