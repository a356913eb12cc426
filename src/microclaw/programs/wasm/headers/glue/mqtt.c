/* The MQTT client of mqtt_client.h on the firmware's natives (docs/protocols/wasmachine.md). */
#include "attributes.h"
#include "glue.h"
#include <mqtt_client.h>
#include <string.h>

int wasm_mqtt_init(uint32_t *handle, void *attributes);
int wasm_mqtt_config(uint32_t handle, void *attributes);
int wasm_mqtt_destory(uint32_t handle);
int wasm_mqtt_start(uint32_t handle);
int wasm_mqtt_stop(uint32_t handle);
int wasm_mqtt_reconnect(uint32_t handle);
int wasm_mqtt_disconnect(uint32_t handle);
int wasm_mqtt_publish(uint32_t handle, const char *topic, const void *data, int len, int qos);
int wasm_mqtt_enqueue(uint32_t handle, const char *topic, const void *data, int len, int qos, int retain, int store);
int wasm_mqtt_subscribe(uint32_t handle, const char *topic, int qos);
int wasm_mqtt_unsubscribe(uint32_t handle, const char *topic);
int wasm_mqtt_set_uri(uint32_t handle, const char *uri);
int wasm_mqtt_get_outbox_size(uint32_t handle);

enum { MAX_CLIENTS = 4, MAX_HANDLERS = 4 };

static struct esp_mqtt_client {
    uint32_t handle; /* 0: free */
    struct {
        esp_event_handler_t call; /* 0: free */
        void *arg;
        esp_mqtt_event_id_t event;
    } handlers[MAX_HANDLERS];
} clients[MAX_CLIENTS];

#define TEXT(k, value) {.key = k, .type = ATTRIBUTE_STRING, .text = value}
#define NUMBER(k, t, value) {.key = k, .type = t, .number = (uint32_t)(value)}

static char *settings(const esp_mqtt_client_config_t *config) {
    const struct microclaw_attribute values[] = {
        TEXT("uri", config->broker.address.uri),
        TEXT("host", config->broker.address.hostname),
        TEXT("path", config->broker.address.path),
        NUMBER("port", ATTRIBUTE_UINT16, config->broker.address.port),
        TEXT("cert_pem", config->broker.verification.certificate),
        NUMBER("cert_len", ATTRIBUTE_UINT16, config->broker.verification.certificate_len),
        TEXT("client_id", config->credentials.client_id),
        TEXT("username", config->credentials.username),
        TEXT("password", config->credentials.authentication.password),
        TEXT("client_cert_pem", config->credentials.authentication.certificate),
        NUMBER("client_cert_len", ATTRIBUTE_UINT16, config->credentials.authentication.certificate_len),
        TEXT("client_key_pem", config->credentials.authentication.key),
        NUMBER("client_key_len", ATTRIBUTE_UINT16, config->credentials.authentication.key_len),
        TEXT("clientkey_password", config->credentials.authentication.key_password),
        NUMBER("clientkey_password_len", ATTRIBUTE_UINT16, config->credentials.authentication.key_password_len),
        TEXT("lwt_topic", config->session.last_will.topic),
        TEXT("lwt_msg", config->session.last_will.msg),
        NUMBER("lwt_msg_len", ATTRIBUTE_INT, config->session.last_will.msg_len),
        NUMBER("lwt_qos", ATTRIBUTE_INT, config->session.last_will.qos),
        NUMBER("lwt_retain", ATTRIBUTE_INT, config->session.last_will.retain),
        NUMBER("disable_clean_session", ATTRIBUTE_BOOL, config->session.disable_clean_session),
        NUMBER("keepalive", ATTRIBUTE_INT, config->session.keepalive),
        NUMBER("disable_auto_reconnect", ATTRIBUTE_BOOL, config->network.disable_auto_reconnect),
    };
    return config->broker.address.port > UINT16_MAX ? 0 : microclaw_attributes(values, sizeof values / sizeof values[0]);
}

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config) {
    for (int i = 0; config && i < MAX_CLIENTS; i++) {
        if (clients[i].handle) {
            continue;
        }
        char *attributes = settings(config);
        uint32_t handle = 0;
        bool made = attributes && wasm_mqtt_init(&handle, attributes) == 0;
        free(attributes);
        memset(&clients[i], 0, sizeof clients[i]);
        clients[i].handle = made ? handle : 0;
        microclaw_note_client();
        return clients[i].handle ? &clients[i] : 0;
    }
    return 0;
}

esp_err_t esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, esp_mqtt_event_id_t event, esp_event_handler_t handler, void *arg) {
    for (int i = 0; client && handler && i < MAX_HANDLERS; i++) {
        if (!client->handlers[i].call) {
            client->handlers[i].call = handler;
            client->handlers[i].arg = arg;
            client->handlers[i].event = event;
            return ESP_OK;
        }
    }
    return client && handler ? ESP_ERR_NO_MEM : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_mqtt_set_config(esp_mqtt_client_handle_t client, const esp_mqtt_client_config_t *config) {
    char *attributes = client && config ? settings(config) : 0;
    esp_err_t result = attributes ? wasm_mqtt_config(client->handle, attributes) : ESP_ERR_INVALID_ARG;
    free(attributes);
    return result;
}

esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t client) { return client ? wasm_mqtt_start(client->handle) : ESP_ERR_INVALID_ARG; }

esp_err_t esp_mqtt_client_stop(esp_mqtt_client_handle_t client) { return client ? wasm_mqtt_stop(client->handle) : ESP_ERR_INVALID_ARG; }

esp_err_t esp_mqtt_client_reconnect(esp_mqtt_client_handle_t client) {
    return client ? wasm_mqtt_reconnect(client->handle) : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_mqtt_client_disconnect(esp_mqtt_client_handle_t client) {
    return client ? wasm_mqtt_disconnect(client->handle) : ESP_ERR_INVALID_ARG;
}

esp_err_t esp_mqtt_client_destroy(esp_mqtt_client_handle_t client) {
    if (!client || !client->handle) {
        return ESP_ERR_INVALID_ARG;
    }
    wasm_mqtt_stop(client->handle); /* -1 where it does not run */
    esp_err_t result = wasm_mqtt_destory(client->handle);
    client->handle = 0;
    return result;
}

esp_err_t esp_mqtt_client_set_uri(esp_mqtt_client_handle_t client, const char *uri) {
    return client && uri ? wasm_mqtt_set_uri(client->handle, uri) : ESP_ERR_INVALID_ARG;
}

int esp_mqtt_client_get_outbox_size(esp_mqtt_client_handle_t client) { return client ? wasm_mqtt_get_outbox_size(client->handle) : 0; }

int esp_mqtt_client_publish(esp_mqtt_client_handle_t client, const char *topic, const char *data, int len, int qos, int retain) {
    if (!client || !topic) {
        return -1;
    }
    data = data ? data : "";
    return retain ? wasm_mqtt_enqueue(client->handle, topic, data, len, qos, 1, 1) : wasm_mqtt_publish(client->handle, topic, data, len, qos);
}

int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t client, const char *topic, const char *data, int len, int qos, int retain, bool store) {
    return client && topic ? wasm_mqtt_enqueue(client->handle, topic, data ? data : "", len, qos, retain, store) : -1;
}

int esp_mqtt_client_subscribe(esp_mqtt_client_handle_t client, const char *topic, int qos) {
    return client && topic ? wasm_mqtt_subscribe(client->handle, topic, qos) : -1;
}

int esp_mqtt_client_unsubscribe(esp_mqtt_client_handle_t client, const char *topic) {
    return client && topic ? wasm_mqtt_unsubscribe(client->handle, topic) : -1;
}

void microclaw_close_mqtt(void) {
    for (int i = 0; i < MAX_CLIENTS; i++) {
        esp_mqtt_client_destroy(&clients[i]);
    }
}

/* The bytes of a text that are its own: the firmware tells how many, and reads on behind them, or less far, up to a NUL. */
static char *own_bytes(const char *container, uint32_t size, const char *key, int *length) {
    int found = 0;
    const char *text = microclaw_attribute_text(container, size, key, &found);
    *length = text && found < *length ? found : *length;
    return (char *)text;
}

static int number(const char *container, uint32_t size, const char *key) { return (int)microclaw_attribute_number(container, size, key); }

static void dispatch(struct esp_mqtt_client *client, esp_mqtt_event_t *event) {
    for (int i = 0; i < MAX_HANDLERS; i++) {
        esp_mqtt_event_id_t wanted = client->handlers[i].event;
        if (client->handle && client->handlers[i].call && (wanted == MQTT_EVENT_ANY || wanted == event->event_id)) {
            client->handlers[i].call(client->handlers[i].arg, "MQTT_EVENTS", event->event_id, event);
        }
    }
}

/* Named so that only a program that uses the client has it. */
__attribute__((export_name("on_mqtt_dispatch_event"))) void microclaw_mqtt_event(uint32_t handle, char *container, uint32_t size) {
    int type;
    esp_mqtt_error_codes_t error;
    esp_mqtt_event_t event = {.event_id = (esp_mqtt_event_id_t)number(container, size, "event_id")};
    const char *codes = microclaw_attribute(container, size, "error_code", &type);
    if (codes && type == ATTRIBUTE_BYTES && *(const uint8_t *)codes == sizeof error) {
        memcpy(&error, codes + 4, sizeof error);
        event.error_handle = &error;
    }
    event.session_present = number(container, size, "session");
    event.msg_id = number(container, size, "msg_id");
    event.total_data_len = number(container, size, "total_len");
    event.current_data_offset = number(container, size, "offset");
    event.qos = number(container, size, "qos");
    event.retain = number(container, size, "retain") != 0;
    event.dup = number(container, size, "dup") != 0;
    event.topic_len = number(container, size, "topic_len");
    event.topic = own_bytes(container, size, "topic", &event.topic_len);
    event.data_len = number(container, size, "data_len");
    event.data = own_bytes(container, size, "data", &event.data_len);
    for (int i = 0; i < MAX_CLIENTS; i++) {
        if (clients[i].handle == handle && handle) {
            event.client = &clients[i];
            dispatch(&clients[i], &event);
        }
    }
}
