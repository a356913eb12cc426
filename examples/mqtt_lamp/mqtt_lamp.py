import time

from machine import Pin
from microclaw import sensor
from umqtt.simple import MQTTClient

BROKER = "broker.example.org"
EVERY_MS = 5000

lamp = Pin(2, Pin.OUT)
client = MQTTClient("kitchen", BROKER, keepalive=60)


def on_message(topic, message):
    lamp.value(message == b"on")
    client.publish("home/kitchen/lamp", message, retain=True)


def connect():
    while True:
        try:
            client.connect()
            client.subscribe("home/kitchen/lamp/set")
            client.publish("home/kitchen/state", "online", retain=True)
            return
        except OSError as error:
            print("the broker is away:", error)
            time.sleep(5)


def publish_temperature():
    temperature = sensor("temperature", 0x76)
    if temperature is None:
        client.ping()
    else:
        client.publish("home/kitchen/temperature", "%.1f" % temperature)


client.set_callback(on_message)
client.set_last_will("home/kitchen/state", "offline", retain=True)
connect()
last_ms = time.ticks_ms()
while True:
    try:
        client.check_msg()
        if time.ticks_diff(time.ticks_ms(), last_ms) >= EVERY_MS:
            last_ms = time.ticks_add(last_ms, EVERY_MS)
            publish_temperature()
    except OSError as error:
        print("the broker is gone:", error)
        connect()
    time.sleep_ms(50)
