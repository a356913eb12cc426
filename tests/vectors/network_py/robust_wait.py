# talks to 192.168.1.20:1884
import time
from machine import Pin
from umqtt.robust import MQTTClient

CONFIG = {"server": "192.168.1.20", "port": 1884}
lamp = Pin(2, Pin.OUT)

class Lamp:
    def __init__(self, client):
        self.client = client
        client.set_callback(self.heard)
        client.set_last_will(b"lamp/state", b"gone", retain=True)

    def heard(self, topic, message):
        for _ in range(int(message)):
            lamp.on()
            time.sleep_ms(100)
            lamp.off()
            time.sleep_ms(100)
        self.client.publish(b"lamp/state", b"blinked " + message, qos=1)

    def start(self):
        self.client.connect()
        self.client.subscribe(b"lamp/blink", qos=1)
        while True:
            self.client.wait_msg()

Lamp(MQTTClient("lamp", "192.168.1.20", 1884, keepalive=30)).start()
