/* mqtt_client.h: the firmware's MQTT client, with ESP-IDF's names (v5). Handlers run between the program's own functions, never
 * beside them, and must not sleep. Only settings that the firmware passes on are here: it has no certificate bundle, so
 * mqtts:// needs broker.verification.certificate. At most 4 clients; those that are left are destroyed at the end.
 * Of a message take exactly topic_len and data_len bytes; one over 1024 bytes comes in pieces (current_data_offset), only
 * the first with a topic. A payload is cut at its first NUL: then data_len is less than the broker sent. */
#pragma once
#include <esp_event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef struct esp_mqtt_client *esp_mqtt_client_handle_t;
typedef enum esp_mqtt_event_id_t {
    MQTT_EVENT_ANY = -1,
    MQTT_EVENT_ERROR = 0,
    MQTT_EVENT_CONNECTED,
    MQTT_EVENT_DISCONNECTED,
    MQTT_EVENT_SUBSCRIBED,
    MQTT_EVENT_UNSUBSCRIBED,
    MQTT_EVENT_PUBLISHED,
    MQTT_EVENT_DATA,
    MQTT_EVENT_BEFORE_CONNECT,
    MQTT_EVENT_DELETED
} esp_mqtt_event_id_t;
typedef enum {
    MQTT_ERROR_TYPE_NONE = 0,
    MQTT_ERROR_TYPE_TCP_TRANSPORT,
    MQTT_ERROR_TYPE_CONNECTION_REFUSED
} esp_mqtt_error_type_t;
typedef enum {
    MQTT_CONNECTION_ACCEPTED = 0,
    MQTT_CONNECTION_REFUSE_PROTOCOL,
    MQTT_CONNECTION_REFUSE_ID_REJECTED,
    MQTT_CONNECTION_REFUSE_SERVER_UNAVAILABLE,
    MQTT_CONNECTION_REFUSE_BAD_USERNAME,
    MQTT_CONNECTION_REFUSE_NOT_AUTHORIZED
} esp_mqtt_connect_return_code_t;
typedef struct {
    int esp_tls_last_esp_err, esp_tls_stack_err, esp_tls_cert_verify_flags;
    esp_mqtt_error_type_t error_type;
    esp_mqtt_connect_return_code_t connect_return_code;
    int esp_transport_sock_errno;
} esp_mqtt_error_codes_t;
typedef struct {
    esp_mqtt_event_id_t event_id;
    esp_mqtt_client_handle_t client;
    char *data; /* data_len bytes, no text */
    int data_len, total_data_len, current_data_offset;
    char *topic; /* topic_len bytes, no text; NULL in a later piece */
    int topic_len, msg_id, session_present;
    esp_mqtt_error_codes_t *error_handle; /* of MQTT_EVENT_ERROR, else NULL */
    bool retain;
    int qos;
    bool dup;
} esp_mqtt_event_t;
typedef esp_mqtt_event_t *esp_mqtt_event_handle_t;
typedef struct {
    struct {
        struct {
            const char *uri; /* mqtt://host:port or mqtts://host:port; wins over hostname and port */
            const char *hostname, *path;
            uint32_t port;
        } address;
        struct {
            const char *certificate; /* PEM; keep it as long as the client */
            size_t certificate_len;  /* 0 for a text */
        } verification;
    } broker;
    struct {
        const char *username, *client_id;
        struct {
            const char *password, *certificate;
            size_t certificate_len;
            const char *key;
            size_t key_len;
            const char *key_password;
            int key_password_len;
        } authentication;
    } credentials;
    struct {
        struct {
            const char *topic, *msg;
            int msg_len, qos, retain;
        } last_will;
        bool disable_clean_session;
        int keepalive; /* seconds; 0: 120 */
    } session;
    struct {
        bool disable_auto_reconnect;
    } network;
} esp_mqtt_client_config_t;

esp_mqtt_client_handle_t esp_mqtt_client_init(const esp_mqtt_client_config_t *config); /* NULL: refused */
esp_err_t esp_mqtt_client_register_event(esp_mqtt_client_handle_t client, esp_mqtt_event_id_t event, esp_event_handler_t handler, void *arg);
esp_err_t esp_mqtt_client_start(esp_mqtt_client_handle_t client);
esp_err_t esp_mqtt_client_stop(esp_mqtt_client_handle_t client);
esp_err_t esp_mqtt_client_reconnect(esp_mqtt_client_handle_t client);
esp_err_t esp_mqtt_client_disconnect(esp_mqtt_client_handle_t client);
esp_err_t esp_mqtt_client_destroy(esp_mqtt_client_handle_t client);
esp_err_t esp_mqtt_client_set_uri(esp_mqtt_client_handle_t client, const char *uri);
esp_err_t esp_mqtt_set_config(esp_mqtt_client_handle_t client, const esp_mqtt_client_config_t *config);
int esp_mqtt_client_get_outbox_size(esp_mqtt_client_handle_t client);
/* The message's id, 0 with QoS 0; -1: failed, or QoS 0 without a connection; -2: too many wait. len 0: data is a text. The
 * firmware's publish cannot retain: a message with retain goes by esp_mqtt_client_enqueue here, and
 * waits for a connection. */
int esp_mqtt_client_publish(esp_mqtt_client_handle_t client, const char *topic, const char *data, int len, int qos, int retain);
int esp_mqtt_client_enqueue(esp_mqtt_client_handle_t client, const char *topic, const char *data, int len, int qos, int retain, bool store);
int esp_mqtt_client_subscribe(esp_mqtt_client_handle_t client, const char *topic, int qos); /* -1: not connected yet */
int esp_mqtt_client_unsubscribe(esp_mqtt_client_handle_t client, const char *topic);
#define esp_mqtt_client_subscribe_single esp_mqtt_client_subscribe
#ifdef __cplusplus
}
#endif
