/* MQTT as LLMos's examples write it: wasm_mqtt_init(broker, name) connects and returns what the firmware's publish and subscribe
 * take. Where the call begins with a text it has another name (program_macros.py), and the program is told so. */
#include <mqtt_client.h>

int microclaw_llmos_mqtt_init(const char *broker, const char *name) {
    esp_mqtt_client_config_t config = {.broker.address.uri = broker, .credentials.client_id = name};
    esp_mqtt_client_handle_t client = esp_mqtt_client_init(&config);
    if (!client) {
        return -1;
    }
    if (esp_mqtt_client_start(client) != ESP_OK) {
        esp_mqtt_client_destroy(client);
        return -1;
    }
    return *(const int *)client; /* the firmware's handle comes first (mqtt.c) */
}
