/* The HTTP client of esp_http_client.h on the firmware's one native of many calls (docs/protocols/wasmachine.md). */
#include "glue.h"
#include <esp_http_client.h>
#include <string.h>

int wasm_http_client_call_native_func(int32_t id, uint32_t argc, uint32_t *argv);

enum { INIT, SET_TEXT, GET_TEXT, SET_NUMBER, GET_NUMBER, COMMON };
enum { URL, POST_DATA, HEADER, USERNAME, PASSWORD, DELETE_HEADER, WRITE };       /* SET_TEXT */
enum { GET_HEADER = 1, READ = 4, READ_RESPONSE, GET_URL };                        /* GET_TEXT */
enum { AUTH_TYPE, METHOD, TIMEOUT, OPEN };                                        /* SET_NUMBER */
enum { ERRNO, FETCH_HEADERS, IS_CHUNKED, STATUS, LENGTH, TRANSPORT, COMPLETE, FLUSH }; /* GET_NUMBER */
enum { PERFORM, CLOSE, CLEANUP, REDIRECT, ADD_AUTH };                             /* COMMON */
enum { MAX_CLIENTS = 4, MAX_HEADER = 255, INIT_WORDS = 36 };

static struct esp_http_client {
    uint32_t handle; /* 0: free */
    http_event_handle_cb handler;
    void *user_data;
} clients[MAX_CLIENTS];

/* Where main is (shim/shim.h): the handler is called from within main, where a sleep would leave the firmware's own call. */
extern uint8_t __microclaw_shim __attribute__((weak));

static int call(int id, esp_http_client_handle_t client, uint32_t sub, uint32_t a, uint32_t b, uint32_t c, uint32_t *first) {
    static const uint8_t words[] = {[SET_TEXT] = 4, [GET_TEXT] = 5, [SET_NUMBER] = 3, [GET_NUMBER] = 2, [COMMON] = 2};
    if (!client || !client->handle) {
        return ESP_ERR_INVALID_ARG;
    }
    uint32_t argv[] = {sub, client->handle, a, b, c};
    int result = wasm_http_client_call_native_func(id, words[id], argv);
    if (first) {
        *first = argv[0];
    }
    return result;
}

#define AT(pointer) ((uint32_t)(uintptr_t)(pointer))

static int32_t on_event(int32_t event, uint32_t user, uint32_t a, uint32_t b) {
    struct esp_http_client *client = (struct esp_http_client *)(uintptr_t)user;
    esp_http_client_event_t told = {.event_id = (esp_http_client_event_id_t)event, .client = client, .user_data = client->user_data};
    if (event == HTTP_EVENT_ON_HEADER) {
        told.header_key = (char *)(uintptr_t)a;
        told.header_value = (char *)(uintptr_t)b;
    } else if (event == HTTP_EVENT_ON_DATA) {
        told.data = (void *)(uintptr_t)a;
        told.data_len = (int)b;
    }
    if (!client->handler) {
        return ESP_OK;
    }
    uint8_t phase = 0;
    if (&__microclaw_shim) {
        phase = __microclaw_shim;
        __microclaw_shim = 0;
    }
    esp_err_t result = client->handler(&told);
    if (&__microclaw_shim) {
        __microclaw_shim = phase;
    }
    return result;
}

__attribute__((weak)) esp_err_t esp_crt_bundle_attach(void *conf) { /* examples have their own */
    (void)conf;
    return ESP_OK;
}

esp_http_client_handle_t esp_http_client_init(const esp_http_client_config_t *c) {
    struct esp_http_client *client = 0;
    for (int i = 0; i < MAX_CLIENTS && !client; i++) {
        client = clients[i].handle ? 0 : &clients[i];
    }
    if (!c || !client) {
        return 0;
    }
    client->handler = c->event_handler;
    client->user_data = c->user_data;
    uint32_t argv[INIT_WORDS] = {
        AT(c->url), AT(c->host), (uint32_t)c->port, AT(c->username), AT(c->password), c->auth_type, AT(c->path), AT(c->query),
        AT(c->cert_pem), c->cert_len, AT(c->client_cert_pem), c->client_cert_len, AT(c->client_key_pem), c->client_key_len,
        AT(c->client_key_password), c->client_key_password_len, AT(c->user_agent), c->method, (uint32_t)c->timeout_ms,
        c->disable_auto_redirect, (uint32_t)c->max_redirection_count, (uint32_t)c->max_authorization_retries, AT(on_event),
        c->transport_type, (uint32_t)c->buffer_size, (uint32_t)c->buffer_size_tx, AT(client), c->is_async,
        c->use_global_ca_store, c->skip_cert_common_name_check, c->crt_bundle_attach != 0, c->keep_alive_enable,
        (uint32_t)c->keep_alive_idle, (uint32_t)c->keep_alive_interval, (uint32_t)c->keep_alive_count,
    };
    if (wasm_http_client_call_native_func(INIT, INIT_WORDS, argv) != ESP_OK) {
        return 0;
    }
    client->handle = argv[0];
    microclaw_note_client();
    return client->handle ? client : 0;
}

static esp_err_t set_text(esp_http_client_handle_t client, int sub, const void *text, uint32_t extra) {
    return text ? call(SET_TEXT, client, (uint32_t)sub, AT(text), extra, 0, 0) : ESP_ERR_INVALID_ARG;
}

static esp_err_t common(esp_http_client_handle_t client, int sub) { return call(COMMON, client, (uint32_t)sub, 0, 0, 0, 0); }

/* -1 for a null client as well. */
static int get_number(esp_http_client_handle_t client, int sub) {
    uint32_t value = 0;
    return call(GET_NUMBER, client, (uint32_t)sub, 0, 0, 0, &value) == ESP_OK ? (int)value : -1;
}

esp_err_t esp_http_client_perform(esp_http_client_handle_t client) { return common(client, PERFORM); }

esp_err_t esp_http_client_set_url(esp_http_client_handle_t client, const char *url) { return set_text(client, URL, url, 0); }

esp_err_t esp_http_client_set_post_field(esp_http_client_handle_t client, const char *data, int len) {
    return set_text(client, POST_DATA, data ? data : "", data ? (uint32_t)len : 0);
}

esp_err_t esp_http_client_set_header(esp_http_client_handle_t client, const char *key, const char *value) {
    return value ? set_text(client, HEADER, key, AT(value)) : esp_http_client_delete_header(client, key);
}

esp_err_t esp_http_client_get_header(esp_http_client_handle_t client, const char *key, char **value) {
    static char text[MAX_HEADER + 1];
    uint32_t length = 0;
    *value = 0;
    memset(text, 0, sizeof text);
    esp_err_t result = call(GET_TEXT, client, GET_HEADER, AT(key), 0, AT(text), &length);
    if (result != ESP_OK || length > MAX_HEADER) {
        return result != ESP_OK ? result : ESP_ERR_NO_MEM;
    }
    if (length) { /* 1 where the header is not set: then nothing is written */
        result = call(GET_TEXT, client, GET_HEADER, AT(key), length, AT(text), 0);
        *value = text[0] ? text : 0;
    }
    return result;
}

esp_err_t esp_http_client_delete_header(esp_http_client_handle_t client, const char *key) { return set_text(client, DELETE_HEADER, key, 0); }

esp_err_t esp_http_client_set_username(esp_http_client_handle_t client, const char *username) {
    return set_text(client, USERNAME, username, 0);
}

esp_err_t esp_http_client_set_password(esp_http_client_handle_t client, const char *password) {
    return set_text(client, PASSWORD, password, 0);
}

esp_err_t esp_http_client_set_authtype(esp_http_client_handle_t client, esp_http_client_auth_type_t type) {
    return call(SET_NUMBER, client, AUTH_TYPE, type, 0, 0, 0);
}

esp_err_t esp_http_client_set_method(esp_http_client_handle_t client, esp_http_client_method_t method) {
    return call(SET_NUMBER, client, METHOD, method, 0, 0, 0);
}

esp_err_t esp_http_client_set_timeout_ms(esp_http_client_handle_t client, int timeout_ms) {
    return call(SET_NUMBER, client, TIMEOUT, (uint32_t)timeout_ms, 0, 0, 0);
}

esp_err_t esp_http_client_set_user_data(esp_http_client_handle_t client, void *data) {
    if (!client) {
        return ESP_ERR_INVALID_ARG;
    }
    client->user_data = data;
    return ESP_OK;
}

esp_err_t esp_http_client_get_user_data(esp_http_client_handle_t client, void **data) {
    if (!client || !data) {
        return ESP_ERR_INVALID_ARG;
    }
    *data = client->user_data;
    return ESP_OK;
}

esp_err_t esp_http_client_get_url(esp_http_client_handle_t client, char *url, int len) {
    uint32_t length = 0;
    esp_err_t result = url && len > 0 ? call(GET_TEXT, client, GET_URL, AT(url), 0, 0, &length) : ESP_ERR_INVALID_ARG;
    if (result != ESP_OK || length >= (uint32_t)len) {
        return result != ESP_OK ? result : ESP_ERR_NO_MEM;
    }
    url[length] = 0;
    return length ? call(GET_TEXT, client, GET_URL, AT(url), length, 0, 0) : ESP_OK;
}

esp_err_t esp_http_client_open(esp_http_client_handle_t client, int write_len) {
    return call(SET_NUMBER, client, OPEN, (uint32_t)write_len, 0, 0, 0);
}

int esp_http_client_write(esp_http_client_handle_t client, const char *buffer, int len) {
    return client && client->handle && buffer ? set_text(client, WRITE, buffer, (uint32_t)len) : -1;
}

int esp_http_client_fetch_headers(esp_http_client_handle_t client) { return get_number(client, FETCH_HEADERS); }

static int read_into(esp_http_client_handle_t client, int sub, char *buffer, int len) {
    return client && client->handle && buffer && len >= 0 ? call(GET_TEXT, client, (uint32_t)sub, AT(buffer), (uint32_t)len, 0, 0) : -1;
}

int esp_http_client_read(esp_http_client_handle_t client, char *buffer, int len) { return read_into(client, READ, buffer, len); }

int esp_http_client_read_response(esp_http_client_handle_t client, char *buffer, int len) {
    return read_into(client, READ_RESPONSE, buffer, len);
}

esp_err_t esp_http_client_flush_response(esp_http_client_handle_t client, int *len) {
    int read = get_number(client, FLUSH);
    if (len) {
        *len = read;
    }
    return read < 0 ? ESP_FAIL : ESP_OK;
}

bool esp_http_client_is_chunked_response(esp_http_client_handle_t client) { return get_number(client, IS_CHUNKED) == 1; }

bool esp_http_client_is_complete_data_received(esp_http_client_handle_t client) { return get_number(client, COMPLETE) == 1; }

int esp_http_client_get_status_code(esp_http_client_handle_t client) { return get_number(client, STATUS); }

int esp_http_client_get_content_length(esp_http_client_handle_t client) { return get_number(client, LENGTH); }

int esp_http_client_get_errno(esp_http_client_handle_t client) { return get_number(client, ERRNO); }

esp_http_client_transport_t esp_http_client_get_transport_type(esp_http_client_handle_t client) {
    int type = get_number(client, TRANSPORT);
    return type < 0 ? HTTP_TRANSPORT_UNKNOWN : (esp_http_client_transport_t)type;
}

esp_err_t esp_http_client_set_redirection(esp_http_client_handle_t client) { return common(client, REDIRECT); }

void esp_http_client_add_auth(esp_http_client_handle_t client) { common(client, ADD_AUTH); }

esp_err_t esp_http_client_close(esp_http_client_handle_t client) { return common(client, CLOSE); }

esp_err_t esp_http_client_cleanup(esp_http_client_handle_t client) {
    esp_err_t result = common(client, CLEANUP);
    if (client) {
        client->handle = 0;
    }
    return result;
}

void microclaw_close_http(void) {
    for (int i = 0; i < MAX_CLIENTS; i++) {
        if (clients[i].handle) {
            esp_http_client_cleanup(&clients[i]);
        }
    }
}
