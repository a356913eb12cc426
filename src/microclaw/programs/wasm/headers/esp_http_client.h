/* esp_http_client.h: the firmware's HTTP client, with ESP-IDF's names. A request blocks the program until it is over (timeout_ms;
 * 0: 5 s), so do it in main, or seldom. The event handler runs inside of the call and must not sleep. https needs cert_pem,
 * crt_bundle_attach or use_global_ca_store. At most 4 clients.
 * Of an event take exactly data_len bytes; header_key and header_value are copies without an end of their own on a real
 * board, where old bytes may follow: compare their beginnings. */
#pragma once
#include <esp_err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define ESP_ERR_HTTP_BASE 0x7000
#define ESP_ERR_HTTP_MAX_REDIRECT 0x7001
#define ESP_ERR_HTTP_CONNECT 0x7002 /* also what a board without a network answers */
#define ESP_ERR_HTTP_WRITE_DATA 0x7003
#define ESP_ERR_HTTP_FETCH_HEADER 0x7004
#define ESP_ERR_HTTP_INVALID_TRANSPORT 0x7005
#define ESP_ERR_HTTP_CONNECTING 0x7006
#define ESP_ERR_HTTP_EAGAIN 0x7007
#define ESP_ERR_HTTP_CONNECTION_CLOSED 0x7008
typedef struct esp_http_client *esp_http_client_handle_t;
typedef enum {
    HTTP_EVENT_ERROR = 0,
    HTTP_EVENT_ON_CONNECTED,
    HTTP_EVENT_HEADERS_SENT,
    HTTP_EVENT_HEADER_SENT = HTTP_EVENT_HEADERS_SENT,
    HTTP_EVENT_ON_HEADER,
    HTTP_EVENT_ON_DATA,
    HTTP_EVENT_ON_FINISH,
    HTTP_EVENT_DISCONNECTED,
    HTTP_EVENT_REDIRECT
} esp_http_client_event_id_t;
typedef struct esp_http_client_event {
    esp_http_client_event_id_t event_id;
    esp_http_client_handle_t client;
    void *data; /* of ON_DATA; lives during the call */
    int data_len;
    void *user_data;
    char *header_key, *header_value;
} esp_http_client_event_t;
typedef esp_http_client_event_t *esp_http_client_event_handle_t;
typedef esp_err_t (*http_event_handle_cb)(esp_http_client_event_t *event);
typedef enum { HTTP_METHOD_GET = 0, HTTP_METHOD_POST, HTTP_METHOD_PUT, HTTP_METHOD_PATCH, HTTP_METHOD_DELETE, HTTP_METHOD_HEAD } esp_http_client_method_t;
typedef enum { HTTP_AUTH_TYPE_NONE = 0, HTTP_AUTH_TYPE_BASIC, HTTP_AUTH_TYPE_DIGEST } esp_http_client_auth_type_t;
typedef enum { HTTP_TRANSPORT_UNKNOWN = 0, HTTP_TRANSPORT_OVER_TCP, HTTP_TRANSPORT_OVER_SSL } esp_http_client_transport_t;
typedef enum {
    HttpStatus_Ok = 200,
    HttpStatus_MultipleChoices = 300,
    HttpStatus_MovedPermanently = 301,
    HttpStatus_Found = 302,
    HttpStatus_SeeOther = 303,
    HttpStatus_TemporaryRedirect = 307,
    HttpStatus_PermanentRedirect = 308,
    HttpStatus_BadRequest = 400,
    HttpStatus_Unauthorized = 401,
    HttpStatus_Forbidden = 403,
    HttpStatus_NotFound = 404,
    HttpStatus_InternalError = 500
} HttpStatus_Code;
typedef struct {
    const char *url; /* or host, port, path, query */
    const char *host;
    int port;
    const char *username, *password;
    esp_http_client_auth_type_t auth_type;
    const char *path, *query;
    const char *cert_pem; /* PEM texts: keep them as long as the client */
    size_t cert_len;      /* 0 for a text */
    const char *client_cert_pem;
    size_t client_cert_len;
    const char *client_key_pem;
    size_t client_key_len;
    const char *client_key_password;
    size_t client_key_password_len;
    const char *user_agent;
    esp_http_client_method_t method;
    int timeout_ms;
    bool disable_auto_redirect;
    int max_redirection_count; /* 0: 10 */
    int max_authorization_retries;
    http_event_handle_cb event_handler;
    esp_http_client_transport_t transport_type;
    int buffer_size, buffer_size_tx;
    void *user_data;
    bool is_async, use_global_ca_store, skip_cert_common_name_check;
    esp_err_t (*crt_bundle_attach)(void *conf); /* esp_crt_bundle_attach */
    bool keep_alive_enable;
    int keep_alive_idle, keep_alive_interval, keep_alive_count;
} esp_http_client_config_t;
esp_err_t esp_crt_bundle_attach(void *conf); /* the authorities that the firmware was built with */

esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *config); /* NULL: refused */
esp_err_t esp_http_client_perform(esp_http_client_handle_t client);
esp_err_t esp_http_client_set_url(esp_http_client_handle_t client, const char *url);
esp_err_t esp_http_client_set_post_field(esp_http_client_handle_t client, const char *data, int len); /* keep data until it is sent */
esp_err_t esp_http_client_set_header(esp_http_client_handle_t client, const char *key, const char *value);
/* A header of the request; *value is NULL when it is not set, and lives until the next call. */
esp_err_t esp_http_client_get_header(esp_http_client_handle_t client, const char *key, char **value);
esp_err_t esp_http_client_delete_header(esp_http_client_handle_t client, const char *key);
esp_err_t esp_http_client_set_username(esp_http_client_handle_t client, const char *username);
esp_err_t esp_http_client_set_password(esp_http_client_handle_t client, const char *password);
esp_err_t esp_http_client_set_authtype(esp_http_client_handle_t client, esp_http_client_auth_type_t type);
esp_err_t esp_http_client_set_method(esp_http_client_handle_t client, esp_http_client_method_t method);
esp_err_t esp_http_client_set_timeout_ms(esp_http_client_handle_t client, int timeout_ms);
esp_err_t esp_http_client_set_user_data(esp_http_client_handle_t client, void *data);
esp_err_t esp_http_client_get_user_data(esp_http_client_handle_t client, void **data);
esp_err_t esp_http_client_get_url(esp_http_client_handle_t client, char *url, int len);
/* Step by step instead of perform: open, write, fetch_headers, read, close. */
esp_err_t esp_http_client_open(esp_http_client_handle_t client, int write_len);
int esp_http_client_write(esp_http_client_handle_t client, const char *buffer, int len);       /* bytes, or -1 */
int esp_http_client_fetch_headers(esp_http_client_handle_t client);                            /* content length; 0: not told; -1 */
int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int len);              /* bytes, 0 at the end, or -1 */
int esp_http_client_read_response(esp_http_client_handle_t client, char *buffer, int len);     /* as read, until len bytes are there */
esp_err_t esp_http_client_flush_response(esp_http_client_handle_t client, int *len);
bool esp_http_client_is_chunked_response(esp_http_client_handle_t client);
bool esp_http_client_is_complete_data_received(esp_http_client_handle_t client);
int esp_http_client_get_status_code(esp_http_client_handle_t client);
int esp_http_client_get_content_length(esp_http_client_handle_t client);
int esp_http_client_get_errno(esp_http_client_handle_t client);
esp_http_client_transport_t esp_http_client_get_transport_type(esp_http_client_handle_t client);
esp_err_t esp_http_client_set_redirection(esp_http_client_handle_t client);
void esp_http_client_add_auth(esp_http_client_handle_t client);
esp_err_t esp_http_client_close(esp_http_client_handle_t client);
esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client);
#ifdef __cplusplus
}
#endif
