"""HTTPClient.h and PubSubClient.h of sketches against a real server and a real broker."""

from __future__ import annotations

import socket
import threading

from tests.mosquitto import Broker, wait_for
from tests.virtual.network.conftest import MakeBench, NetBench
from tests.virtual.network.test_mqtt import listening

HEAP_BYTES = 24_576

HTTP = r"""
#include <WiFi.h>
#include <HTTPClient.h>
void tell(HTTPClient &http, int status) {
    Serial.printf("%d %d %u\n", status, http.getSize(), http.getString().length());
}
void setup() {
    WiFi.begin("home", "secret");
    HTTPClient http;
    Serial.printf("begin %d\n", http.begin("URL/big"));
    tell(http, http.GET());
    WiFiClient *body = http.getStreamPtr();
    Serial.printf("stream %d %c%d\n", body->available(), body->read(), body->connected());
    http.end();
    WiFiClient client;
    http.begin(client, "URL/post");
    http.addHeader("Content-Type", "application/json");
    tell(http, http.POST("{\"a\":1}"));
    Serial.println(http.getString());
    http.begin("URL/move");
    tell(http, http.GET());
    http.setFollowRedirects(HTTPC_STRICT_FOLLOW_REDIRECTS);
    tell(http, http.sendRequest("GET"));
    http.begin("URL/short");
    tell(http, http.GET());
    http.begin("http://127.0.0.1:9/");
    int error = http.GET();
    Serial.printf("error %d %s\n", error, http.errorToString(error).c_str());
    Serial.printf("no address %d %d\n", http.begin("ftp://x/"), HTTPClient().GET());
    Serial.println("over");
}
void loop() {
    delay(1000);
}
"""


async def test_requests_of_http_client(make_bench: MakeBench, web: str) -> None:
    bench = make_bench()
    await bench.run(HTTP.replace("URL", web), language="sketch", heap_bytes=HEAP_BYTES)
    bench.wait_line("over")
    assert [line for line in bench.lines() if not line.startswith("http: ")] == [
        "begin 1",
        "200 1200 1200",
        "stream 1200 y1",
        "201 24 24",
        'application/json {"a":1}',
        "302 0 0",
        "200 1200 1200",
        "-5 -1 3",
        "error -1 connection refused",
        "no address 0 -4",
        "over",
    ]


async def test_a_body_that_the_heap_has_no_room_for_is_an_error(make_bench: MakeBench, web: str) -> None:
    source = f"""
#include <HTTPClient.h>
void setup() {{
    HTTPClient http;
    char *kept = (char *)malloc(3000);
    http.begin("{web}/big");
    Serial.printf("%d %d over\\n", http.GET(), kept != nullptr);
}}
void loop() {{ delay(1000); }}
"""
    bench = make_bench()
    await bench.run(source, language="sketch", heap_bytes=4096)
    bench.wait_line("over")
    assert "-8 1 over" in bench.lines()


MQTT = r"""
#include <WiFi.h>
#include <PubSubClient.h>
WiFiClient network;
PubSubClient client(network);
void heard(char *topic, byte *payload, unsigned int length) {
    Serial.printf("heard %s %u %.*s\n", topic, length, (int)(length < 12 ? length : 12), (char *)payload);
}
void reconnect() {
    while (!client.connected()) {
        if (client.connect("board", "home/state", 0, true, "gone")) {
            client.publish("home/state", "here", true);
            client.subscribe("home/lamp/#");
            client.publish("home/lamp/0", "self"); // comes back: from then on the broker has the subscription
        } else {
            Serial.printf("state %d\n", client.state());
            delay(100);
        }
    }
}
void setup() {
    Serial.printf("before %d %d\n", client.connected(), client.publish("a", "b"));
    client.setServer("127.0.0.1", PORT);
    client.setBufferSize(4096);
    client.setCallback(heard);
    reconnect();
    uint8_t bytes[] = {1, 0, 2};
    client.publish("home/bytes", bytes, sizeof bytes);
    client.beginPublish("home/long", 8, false);
    client.print("n=");
    client.print(123456);
    Serial.printf("ended %d\n", client.endPublish());
    Serial.println("ready");
}
void loop() {
    reconnect();
    client.loop();
    delay(20);
}
"""


async def start_client(bench: NetBench, broker: Broker) -> None:
    source = MQTT.replace("PORT", str(broker.port))
    await bench.run(source, language="sketch", heap_bytes=HEAP_BYTES)
    bench.wait_line("heard home/lamp/0")


async def test_messages_of_a_pub_sub_client(make_bench: MakeBench, broker: Broker) -> None:
    bench = make_bench()
    with listening(broker, "home/#") as (other, seen):
        await start_client(bench, broker)
        other.publish("home/lamp/1", b"on", 1)
        other.publish("home/lamp/2", b"x" * 2100, 1)
        bench.wait_line("heard home/lamp/2")
        other.publish("home/lamp/3", b"cut\0here", 1)
        bench.wait_line("heard home/lamp/3")
        wait_for(lambda: len(seen) >= 7, "the sketch's messages")
        assert bench.lines() == [
            "before 0 0",
            "ended 1",
            "ready",
            "heard home/lamp/0 4 self",
            "heard home/lamp/1 2 on",
            "heard home/lamp/2 2100 xxxxxxxxxxxx",
            "PubSubClient: 1 payloads were cut at a NUL by the firmware",
            "heard home/lamp/3 3 cut",
        ]
        payloads = {message.topic: message.payload for message in seen}
        assert payloads["home/state"] == b"here"
        assert payloads["home/bytes"] == b"\x01\x00\x02"
        assert payloads["home/long"] == b"n=123456"


PIECES = r"""
#include <PubSubClient.h>
#include <WiFi.h>
#include <mqtt_client.h>
WiFiClient network;
PubSubClient client(network);
char topic[] = "home/lamp", text[] = "0123456789";
void hear(int id, bool is_first, int offset, int size, int total) {
    esp_mqtt_event_t event = {};
    event.topic = is_first ? topic : nullptr;
    event.topic_len = is_first ? (int)strlen(topic) : 0;
    event.data = text + offset;
    event.data_len = size;
    event.current_data_offset = offset;
    event.total_data_len = total;
    client.heard_(id, &event);
}
void setup() {
    client.setBufferSize(4096);
    client.setCallback([](char *topic, uint8_t *payload, unsigned int length) {
        Serial.printf("heard %s %u\n", topic, length);
    });
    hear(MQTT_EVENT_DATA, true, 0, 10, 2000);
    client.loop();
    hear(MQTT_EVENT_DISCONNECTED, false, 0, 0, 0);
    hear(MQTT_EVENT_DATA, false, 4, 4, 2000); // of the message that is gone
    hear(MQTT_EVENT_DATA, true, 0, 4, 4);
    client.loop();
    hear(MQTT_EVENT_DATA, true, 0, 10, 2000);
    client.disconnect();
    hear(MQTT_EVENT_DATA, true, 0, 10, 2000);
    hear(MQTT_EVENT_DATA, true, 0, 6, 6);
    client.loop();
    Serial.println("over");
}
void loop() {
    delay(1000);
}
"""


async def test_a_message_that_a_connection_did_not_end_holds_up_no_other(make_bench: MakeBench) -> None:
    bench = make_bench()
    await bench.run(PIECES, language="sketch", heap_bytes=HEAP_BYTES)
    bench.wait_line("over")
    lines = bench.lines()
    assert "1 messages were lost" in lines.pop(1)
    assert lines == ["heard home/lamp 4", "heard home/lamp 6", "over"]


async def test_a_broker_that_takes_the_connection_and_says_nothing_has_its_own_state(make_bench: MakeBench) -> None:
    bench = make_bench()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].close(), daemon=True)
        thread.start()
        source = MQTT.replace("PORT", str(server.getsockname()[1]))
        await bench.run(source, language="sketch", heap_bytes=HEAP_BYTES)
        bench.wait_line("state -4")
        thread.join()


async def test_states_of_a_client_that_cannot_connect(make_bench: MakeBench) -> None:
    bench = make_bench()
    source = MQTT.replace("PORT", "9")
    await bench.run(source, language="sketch", heap_bytes=HEAP_BYTES)
    bench.wait_line("state -2")


async def test_tls_trusts_the_authority_that_the_sketch_names(make_bench: MakeBench, broker: Broker) -> None:
    authority = broker.ca_file.read_text(encoding="utf-8").replace("\n", "\\n")
    source = f"""
#include <PubSubClient.h>
#include <WiFiClientSecure.h>
WiFiClientSecure network;
PubSubClient client(network);
void setup() {{
    client.setServer("localhost", {broker.tls_port});
    Serial.printf("without %d\\n", client.connect("board"));
    network.setCACert("{authority}");
    Serial.printf("with %d\\n", client.connect("board"));
}}
void loop() {{ delay(1000); }}
"""
    bench = make_bench()
    await bench.run(source, language="sketch", heap_bytes=HEAP_BYTES)
    bench.wait_line("with 1")
    assert "without 0" in bench.lines()
