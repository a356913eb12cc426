/* HTTPClient.h on esp_http_client.h: a client of the firmware's for each request. */
#include <HTTPClient.h>
#include <esp_http_client.h>
#include "web_exchange.h"

enum { MAX_BODY = 8192 };

bool HTTPClient::begin_(const String &url, const char *authority) {
    end();
    url_ = url;
    authority_ = authority;
    return url.startsWith("http://") || url.startsWith("https://");
}

bool HTTPClient::begin(const String &host, uint16_t port, const String &path) {
    return begin_(String("http://") + host + ":" + String(port) + path, nullptr);
}

bool HTTPClient::begin(Client &client, const String &host, uint16_t port, const String &path, bool https) {
    const char *scheme = https || client.is_secure_() ? "https://" : "http://";
    return begin_(String(scheme) + host + ":" + String(port) + path, client.authority_());
}

void HTTPClient::end() {
    url_ = "";
    sent_headers_ = "";
    user_ = "";
}

void HTTPClient::addHeader(const String &name, const String &value, bool, bool) { sent_headers_ += name + "\n" + value + "\n"; }

void HTTPClient::setAuthorization(const char *user, const char *password) {
    user_ = user;
    password_ = password;
}

int HTTPClient::heard_(void *told) {
    auto event = (esp_http_client_event_t *)told;
    if (event->event_id == HTTP_EVENT_ON_DATA) {
        ((HTTPClient *)event->user_data)->keep_body((const char *)event->data, (unsigned)event->data_len);
    }
    return ESP_OK;
}

static esp_err_t on_event(esp_http_client_event_t *event) { return HTTPClient::heard_(event); }

void HTTPClient::keep_body(const char *data, unsigned size) {
    String &body = kept_->received;
    /* A String grows into a new block of a quarter more. */
    bool has_room = body.length() + size <= MAX_BODY && microclaw_has_room((body.length() + size) * 5 / 4);
    is_cut_ = is_cut_ || !has_room;
    if (!is_cut_) {
        body.concat(data, size);
    }
}

static int method_number(const char *name) {
    static const char *const names[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
    for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

static void set_headers(esp_http_client_handle_t client, const String &headers) {
    for (unsigned at = 0; at < headers.length();) {
        unsigned name_end = (unsigned)headers.indexOf('\n', at);
        unsigned value_end = (unsigned)headers.indexOf('\n', name_end + 1);
        String name = headers.substring(at, name_end);
        esp_http_client_set_header(client, name.c_str(), headers.substring(name_end + 1, value_end).c_str());
        at = value_end + 1;
    }
}

static int error_of(esp_err_t result) {
    switch (result) {
    case ESP_ERR_HTTP_WRITE_DATA: return HTTPC_ERROR_SEND_PAYLOAD_FAILED;
    case ESP_ERR_HTTP_FETCH_HEADER:
    case ESP_ERR_HTTP_EAGAIN: return HTTPC_ERROR_READ_TIMEOUT;
    case ESP_FAIL:
    case ESP_ERR_HTTP_CONNECTION_CLOSED: return HTTPC_ERROR_CONNECTION_LOST;
    default: return HTTPC_ERROR_CONNECTION_REFUSED;
    }
}

int HTTPClient::sendRequest(const char *method, uint8_t *body, size_t size) {
    esp_http_client_config_t config = {};
    int number = method_number(method);
    config.url = url_.c_str();
    config.timeout_ms = timeout_ms_;
    config.disable_auto_redirect = !follows_;
    config.max_redirection_count = redirects_;
    config.event_handler = on_event;
    config.user_data = this;
    config.cert_pem = authority_;
    config.crt_bundle_attach = authority_ ? nullptr : esp_crt_bundle_attach;
    if (user_.length()) {
        config.username = user_.c_str();
        config.password = password_.c_str();
        config.auth_type = HTTP_AUTH_TYPE_BASIC;
    }
    esp_http_client_handle_t client = number < 0 || !url_.length() ? nullptr : esp_http_client_init(&config);
    if (!client) {
        return number < 0 ? HTTPC_ERROR_SEND_HEADER_FAILED : HTTPC_ERROR_NOT_CONNECTED;
    }
    kept_ = new WebExchange;
    body_ = WiFiClient(kept_);
    is_cut_ = false;
    set_headers(client, sent_headers_);
    esp_http_client_set_method(client, (esp_http_client_method_t)number);
    esp_http_client_set_post_field(client, size ? (const char *)body : nullptr, (int)size);
    esp_err_t result = esp_http_client_perform(client);
    int status = result == ESP_OK ? esp_http_client_get_status_code(client) : error_of(result);
    size_ = result == ESP_OK ? esp_http_client_get_content_length(client) : -1;
    esp_http_client_cleanup(client);
    if (is_cut_) {
        printf("HTTPClient: the body is not kept: it is longer than %d bytes, or than the program's heap has room for\n", MAX_BODY);
        return HTTPC_ERROR_TOO_LESS_RAM;
    }
    return status;
}

String HTTPClient::getString() { return kept_ ? kept_->received.substring(kept_->read_to) : String(); }

int HTTPClient::writeToStream(Stream *out) {
    String text = getString();
    return (int)out->write((const uint8_t *)text.c_str(), text.length());
}

String HTTPClient::errorToString(int error) {
    static const char *const texts[] = {
        "connection refused", "send header failed", "send payload failed", "not connected", "connection lost", "no stream",
        "no HTTP server",     "too less ram",       "Transfer-Encoding not supported", "Stream write error", "read Timeout",
    };
    return error < 0 && error >= -(int)(sizeof texts / sizeof texts[0]) ? texts[-error - 1] : "";
}
