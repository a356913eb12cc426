#include <mqtt_client.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static esp_mqtt_client_handle_t client;
static void on_event(void *arg, esp_event_base_t base, int32_t id, void *data) {
    esp_mqtt_event_handle_t e = data;
    printf("event %d %s %s\n", (int)id, base, (const char *)arg);
    if (id == MQTT_EVENT_ERROR) {
        esp_mqtt_error_codes_t *code = e->error_handle;
        printf("error %d %x %d\n", code->error_type, code->esp_tls_last_esp_err, code->connect_return_code);
    }
    if (id == MQTT_EVENT_CONNECTED) {
        printf("subscribed as %d\n", esp_mqtt_client_subscribe(e->client, "to/me", 1));
    }
    if (id == MQTT_EVENT_DATA) {
        int shown = e->data_len < 12 ? e->data_len : 12;
        printf("got '%.*s' '%.*s' ", e->topic_len, e->topic, shown, e->data);
        printf("%d/%d at %d qos %d\n", e->data_len, e->total_data_len, e->current_data_offset, e->qos);
    }
}
int main(void) {
    esp_mqtt_client_config_t config = {.broker.address.uri = "mqtt://127.0.0.1:PORT",
                                       .credentials.client_id = "CLIENT",
                                       .session.last_will = {.topic = "will", .msg = "gone", .qos = 1}};
    client = esp_mqtt_client_init(&config);
    esp_mqtt_client_register_event(client, MQTT_EVENT_ANY, on_event, "mine");
    int early = esp_mqtt_client_publish(client, "from/me", "x", 0, 0, 0);
    printf("early %d %d\n", early, esp_mqtt_client_subscribe(client, "a", 0));
    printf("start %d again %d\n", esp_mqtt_client_start(client), esp_mqtt_client_start(client));
    MORE
}
