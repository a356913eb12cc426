"""`umqtt.simple` that connects again by itself, with the names of MicroPython's `umqtt.robust`.

A broker that started again may have forgotten its sessions, so it is asked for the same topics again.
"""

from time import sleep

from umqtt import simple


class MQTTClient(simple.MQTTClient):
    DELAY = 2
    DEBUG = False
    _topics = None

    def delay(self, i):
        """Wait before the next attempt; `i` counts them."""
        sleep(self.DELAY)

    def log(self, in_reconnect, e):
        if self.DEBUG:
            if in_reconnect:
                print("mqtt reconnect: %r" % e)
            else:
                print("mqtt: %r" % e)

    def subscribe(self, topic, qos=0):
        super().subscribe(topic, qos)
        if self._topics is None:
            self._topics = {}
        self._topics[topic] = qos

    def reconnect(self):
        attempts = 0
        while True:
            try:
                is_known = super().connect(False)
                if not is_known and self._topics:
                    self._subscribe_again()
                return is_known
            except OSError as exc:
                self.log(True, exc)
                attempts += 1
                self.delay(attempts)

    def _subscribe_again(self):
        # The callback may subscribe to more meanwhile.
        for topic, qos in list(self._topics.items()):
            try:
                super().subscribe(topic, qos)
            except simple.MQTTException as exc:
                self.log(True, exc)

    def publish(self, topic, msg, retain=False, qos=0):
        while True:
            try:
                return super().publish(topic, msg, retain, qos)
            except OSError as exc:
                self.log(False, exc)
            self.reconnect()

    def wait_msg(self):
        while True:
            try:
                return super().wait_msg()
            except OSError as exc:
                self.log(False, exc)
            self.reconnect()

    def check_msg(self, attempts=2):
        while attempts:
            try:
                return super().check_msg()
            except OSError as exc:
                self.log(False, exc)
            self.reconnect()
            attempts -= 1
        return None
