# opens port 80
import network
import socket
import time
from machine import Pin

led = Pin(2, Pin.OUT)
station = network.WLAN(network.STA_IF)
station.active(True)
station.connect("home", "secret")
while not station.isconnected():
    time.sleep(1)
print("my address:", station.ifconfig()[0])

def web_page():
    if led.value() == 1:
        state = "ON"
    else:
        state = "OFF"
    return "<html><body><h1>LED is " + state + "</h1><a href='/?led=on'>on</a></body></html>"

s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.bind(('', 80))
s.listen(5)

while True:
    conn, addr = s.accept()
    request = str(conn.recv(1024))
    if request.find('/?led=on') == 6:
        led.value(1)
    if request.find('/?led=off') == 6:
        led.value(0)
    response = web_page()
    conn.send('HTTP/1.1 200 OK\n')
    conn.send('Content-Type: text/html\n')
    conn.send('Connection: close\n\n')
    conn.sendall(response)
    conn.close()
