# talks to broker.example.org:1883
import machine
import time
import ubinascii
from umqttsimple import MQTTClient

mqtt_server = 'broker.example.org'
client_id = ubinascii.hexlify(machine.unique_id())
topic_sub = b'notification'
topic_pub = b'hello'
last_message = 0
message_interval = 2
counter = 0

def sub_cb(topic, msg):
    print((topic, msg))
    if topic == b'notification' and msg == b'received':
        print('the other side has it')

def connect_and_subscribe():
    global client_id, mqtt_server, topic_sub
    client = MQTTClient(client_id, mqtt_server)
    client.set_callback(sub_cb)
    client.connect()
    client.subscribe(topic_sub)
    return client

def restart_and_reconnect():
    print('Failed to connect. Reconnecting...')
    time.sleep(10)
    machine.reset()

try:
    client = connect_and_subscribe()
except OSError as e:
    restart_and_reconnect()

while True:
    try:
        client.check_msg()
        if (time.time() - last_message) > message_interval:
            client.publish(topic_pub, b'Hello #%d' % counter)
            last_message = time.time()
            counter += 1
    except OSError as e:
        restart_and_reconnect()
