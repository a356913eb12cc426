"""MQTT 3.1.1 with the names of MicroPython's `umqtt.simple`, over TCP. QoS 0 and 1."""

import socket
from errno import ECONNRESET, ETIMEDOUT
from struct import pack, unpack

_MAX_PACKET = 8192
_CONNECT = 0x10
_CONNACK = 0x20
_PUBLISH = 0x30
_PUBACK = 0x40
_SUBSCRIBE = 0x82
_SUBACK = 0x90


class MQTTException(Exception):
    pass


class MQTTClient:
    def __init__(self, client_id, server, port=0, user=None, password=None, keepalive=0, ssl=None, ssl_params=None):
        if ssl:
            raise ValueError("ssl: a program has no TLS of its own, use a broker in your network without it")
        self.client_id = client_id
        self.server = server
        self.port = port or 1883
        self.user = user
        self.pswd = password
        self.keepalive = keepalive
        self.sock = None
        self.cb = None
        self.pid = 0
        self._answers = {}
        self.lw_topic = None
        self.lw_msg = None
        self.lw_qos = 0
        self.lw_retain = False

    def set_callback(self, f):
        """Let `f(topic, message)` be called for each message that wait_msg or check_msg takes."""
        self.cb = f

    def set_last_will(self, topic, msg, retain=False, qos=0):
        self.lw_topic = topic
        self.lw_msg = msg
        self.lw_retain = retain
        self.lw_qos = qos

    def connect(self, clean_session=True, timeout=None):
        """Connect, and return True if the broker knows the session; MQTTException if it refuses."""
        if self.sock is not None:
            self.sock.close()
        self.sock = socket.socket()
        try:
            if timeout is not None:
                self.sock.settimeout(timeout)
            self.sock.connect(socket.getaddrinfo(self.server, self.port)[0][-1])
            return self._greet(clean_session)
        except (OSError, MQTTException):
            # A board has few sockets, and the program may try again with another client.
            self.sock.close()
            raise

    def _greet(self, clean_session):
        flags = 0
        payload = _field(self.client_id)
        if clean_session:
            flags |= 2
        if self.lw_topic is not None:
            flags |= 4 | self.lw_qos << 3 | bool(self.lw_retain) << 5
            payload += _field(self.lw_topic) + _field(self.lw_msg)
        if self.user is not None:
            flags |= 0x80
            payload += _field(self.user)
        if self.pswd is not None:
            flags |= 0x40
            payload += _field(self.pswd)
        self._send(_CONNECT, _field("MQTT") + pack("!BBH", 4, flags, self.keepalive) + payload)
        head, body = self._rest(self._read(1))
        if head != _CONNACK or len(body) != 2:
            raise MQTTException("no answer of a broker")
        if body[1]:
            raise MQTTException(body[1])
        return bool(body[0] & 1)

    def disconnect(self):
        self.sock.write(b"\xe0\0")
        self.sock.close()

    def ping(self):
        self.sock.write(b"\xc0\0")

    def publish(self, topic, msg, retain=False, qos=0):
        """Send a message; with qos 1 wait until the broker has it."""
        if qos not in (0, 1):
            raise ValueError("qos %s: 0 and 1 exist here" % qos)
        body = _field(topic)
        if qos:
            self.pid = self.pid % 65535 + 1
            body += pack("!H", self.pid)
        number = self.pid
        self._send(_PUBLISH | qos << 1 | bool(retain), body + _bytes(msg))
        if qos:
            self._answer(number)

    def subscribe(self, topic, qos=0):
        """Ask for the messages of a topic; MQTTException if the broker refuses."""
        if self.cb is None:
            raise ValueError("set_callback comes before subscribe")
        self.pid = self.pid % 65535 + 1
        number = self.pid
        self._send(_SUBSCRIBE, pack("!H", number) + _field(topic) + pack("!B", qos))
        if self._answer(number)[2] == 0x80:
            raise MQTTException(0x80)

    def wait_msg(self):
        """Wait for one packet of the broker, forever, and call the callback if it is a message."""
        self.sock.setblocking(True)
        while True:
            try:
                first = self.sock.read(1)
            except OSError as exc:
                # Silence of the broker is no error.
                if exc.errno != ETIMEDOUT:
                    raise
            else:
                return self._handle(first)

    def check_msg(self):
        """Take one packet if there is one; None if there is none."""
        self.sock.setblocking(False)
        first = self.sock.read(1)
        self.sock.setblocking(True)
        if first is None:
            return None
        return self._handle(first)

    def _handle(self, first):
        head, body = self._rest(first)
        self._take(head, body)
        return head

    def _answer(self, number):
        """Return the broker's answer to a packet; messages go to the callback meanwhile, which may publish, too."""
        while number not in self._answers:
            self._handle(self._read(1))
        return self._answers.pop(number)

    def _take(self, head, body):
        if head & 0xF0 in (_PUBACK, _SUBACK):
            self._answers[unpack("!H", body[:2])[0]] = body
        if head & 0xF0 != _PUBLISH:
            return
        topic_end = unpack("!H", body[:2])[0] + 2
        topic = body[2:topic_end]
        qos = head >> 1 & 3
        if qos == 1:
            self._send(_PUBACK, body[topic_end : topic_end + 2])
        if qos:
            topic_end += 2
        self.cb(topic, body[topic_end:])

    def _rest(self, first):
        if not first:
            raise OSError(ECONNRESET)
        size = 0
        shift = 0
        while True:
            byte = self._read(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80 or size > _MAX_PACKET:
                break
        if size > _MAX_PACKET:
            raise OSError("a message of %d bytes: %d is the limit for a program" % (size, _MAX_PACKET))
        return first[0], self._read(size)

    def _read(self, size):
        content = b""
        if size:
            content = self.sock.read(size)
        if len(content) < size:
            raise OSError(ECONNRESET)
        return content

    def _send(self, head, body):
        size = len(body)
        packet = bytearray((head,))
        while size > 0x7F:
            packet.append(size & 0x7F | 0x80)
            size >>= 7
        packet.append(size)
        self.sock.write(packet + body)


def _bytes(value):
    if isinstance(value, str):
        return value.encode()
    return value


def _field(value):
    content = _bytes(value)
    return pack("!H", len(content)) + content
