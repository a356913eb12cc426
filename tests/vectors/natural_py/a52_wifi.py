import network
import time

WIFI_PASSWORD = "hunter2hunter2"
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("home", WIFI_PASSWORD)
while not wlan.isconnected():
    time.sleep(1)
