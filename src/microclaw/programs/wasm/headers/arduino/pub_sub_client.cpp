/* PubSubClient.h on mqtt_client.h. */
#include <PubSubClient.h>
#include <mqtt_client.h>

#define CLIENT ((esp_mqtt_client_handle_t)client_)
enum { LOOK_MS = 20, BUFFER_BYTES = 1024, PACKET_HEAD = 7 };

static void on_event(void *client, esp_event_base_t, int32_t id, void *told) { ((PubSubClient *)client)->heard_(id, told); }

void PubSubClient::heard_(int id, void *told) {
    auto event = (esp_mqtt_event_handle_t)told;
    esp_mqtt_error_codes_t *error = event->error_handle;
    if (id == MQTT_EVENT_CONNECTED) {
        state_ = MQTT_CONNECTED;
    } else if (id == MQTT_EVENT_DISCONNECTED) {
        note_end();
    } else if (id == MQTT_EVENT_ERROR && error && error->error_type == MQTT_ERROR_TYPE_CONNECTION_REFUSED) {
        state_ = error->connect_return_code;
    } else if (id == MQTT_EVENT_ERROR && state_ == MQTT_DISCONNECTED) {
        state_ = MQTT_CONNECT_FAILED; /* TCP or TLS */
    } else if (id == MQTT_EVENT_DATA) {
        keep_piece(event);
    }
}

/* The rest of a message does not come over another connection. A connection that ends without an error or an answer of the broker
 * has waited for it. */
void PubSubClient::note_end() {
    drop_arriving();
    if (state_ == MQTT_CONNECTED) {
        state_ = MQTT_CONNECTION_LOST;
    } else if (state_ == MQTT_DISCONNECTED) {
        state_ = MQTT_CONNECTION_TIMEOUT;
    }
}

void PubSubClient::drop_arriving() {
    for (auto &message : waiting_) {
        if (arriving_ && message == arriving_) { /* the youngest */
            message = nullptr;
        }
    }
    if (arriving_) {
        delete[] arriving_->data;
        delete arriving_;
        arriving_ = nullptr;
    }
}

/* A message that the firmware's buffer does not hold comes in pieces, of which only the first has the topic and room for less. */
static bool is_last_piece(const esp_mqtt_event_t *event, unsigned left) {
    unsigned head = event->topic ? PACKET_HEAD + (unsigned)event->topic_len : 0;
    return left + head <= BUFFER_BYTES;
}

void PubSubClient::keep_piece(void *told) {
    auto event = (esp_mqtt_event_handle_t)told;
    if (event->topic) {
        keep_begin(event);
    }
    Message *message = arriving_;
    if (!message) {
        return;
    }
    unsigned left = message->size - message->got;
    unsigned size = (unsigned)event->data_len < left ? (unsigned)event->data_len : left;
    bool is_cut = (unsigned)event->current_data_offset != message->got || (is_last_piece(event, left) && size < left);
    memcpy(message->data + message->got, event->data, size);
    message->got += size;
    if (is_cut) {
        cut_++;
        message->size = message->got;
    }
    if (message->got == message->size) {
        message->data[message->size] = 0;
        arriving_ = nullptr;
    }
}

void PubSubClient::keep_begin(void *told) {
    auto event = (esp_mqtt_event_handle_t)told;
    if (arriving_) { /* its last piece was lost */
        drop_arriving();
        lost_++;
    }
    int place = 0;
    while (place < WAITING && waiting_[place]) {
        place++;
    }
    unsigned size = (unsigned)event->total_data_len;
    bool is_too_long = size + (unsigned)event->topic_len > buffer_size_ && !is_last_piece(event, size);
    if (place == WAITING || is_too_long) {
        lost_++;
        return;
    }
    auto message = new Message{String(event->topic, (unsigned)event->topic_len), new uint8_t[size + 1], size, 0};
    waiting_[place] = arriving_ = message;
}

bool PubSubClient::loop() {
    if (lost_) {
        ::printf("PubSubClient: %u messages were lost: %d wait for loop(), and long ones need setBufferSize\n", lost_, WAITING);
        lost_ = 0;
    }
    if (cut_) {
        ::printf("PubSubClient: %u payloads were cut at a NUL by the firmware\n", cut_);
        cut_ = 0;
    }
    while (waiting_[0] && waiting_[0] != arriving_) {
        Message *message = waiting_[0];
        memmove(waiting_, waiting_ + 1, sizeof waiting_ - sizeof waiting_[0]);
        waiting_[WAITING - 1] = nullptr;
        if (callback_) {
            callback_(&message->topic[0], message->data, message->size);
        }
        delete[] message->data;
        delete message;
    }
    return connected();
}

PubSubClient &PubSubClient::setServer(const char *host, uint16_t port) {
    host_ = host;
    port_ = port;
    return *this;
}

bool PubSubClient::connect(const char *id, const char *user, const char *password, const char *topic, uint8_t qos, bool retain,
                           const char *text, bool clean) {
    if (connected()) {
        return true;
    }
    bool is_secure = network_ && network_->is_secure_();
    String uri = String(is_secure ? "mqtts://" : "mqtt://") + host_ + ":" + String(port_);
    esp_mqtt_client_config_t config = {};
    config.broker.address.uri = uri.c_str();
    config.broker.verification.certificate = is_secure ? network_->authority_() : nullptr;
    config.credentials.client_id = id;
    config.credentials.username = user;
    config.credentials.authentication.password = password;
    config.session.last_will.topic = topic;
    config.session.last_will.msg = text;
    config.session.last_will.qos = qos;
    config.session.last_will.retain = retain;
    config.session.disable_clean_session = !clean;
    config.session.keepalive = keep_alive_s_;
    config.network.disable_auto_reconnect = true; /* the sketch does that */
    return begin_client(&config);
}

bool PubSubClient::begin_client(void *config) {
    disconnect();
    client_ = esp_mqtt_client_init((esp_mqtt_client_config_t *)config);
    if (!client_) {
        state_ = MQTT_CONNECT_FAILED;
        return false;
    }
    esp_mqtt_client_register_event(CLIENT, MQTT_EVENT_ANY, on_event, this);
    esp_mqtt_client_start(CLIENT);
    for (unsigned waited = 0; waited < timeout_s_ * 1000u && state_ == MQTT_DISCONNECTED; waited += LOOK_MS) {
        delay(LOOK_MS);
    }
    int state = state_ == MQTT_DISCONNECTED ? MQTT_CONNECTION_TIMEOUT : state_;
    if (state != MQTT_CONNECTED) {
        disconnect();
        state_ = state;
    }
    return state == MQTT_CONNECTED;
}

void PubSubClient::disconnect() {
    if (client_) {
        esp_mqtt_client_destroy(CLIENT);
        client_ = nullptr;
    }
    drop_arriving();
    state_ = MQTT_DISCONNECTED;
}

/* The firmware takes a size of 0 for "a text": an empty one. */
bool PubSubClient::publish(const char *topic, const uint8_t *data, unsigned size, bool retained) {
    const char *bytes = size ? (const char *)data : "";
    return connected() && esp_mqtt_client_publish(CLIENT, topic, bytes, (int)size, 0, retained) >= 0;
}

bool PubSubClient::beginPublish(const char *topic, unsigned size, bool retained) {
    topic_ = topic;
    retains_ = retained;
    written_ = "";
    written_.reserve(size);
    return connected();
}

int PubSubClient::endPublish() { return publish(topic_.c_str(), (const uint8_t *)written_.c_str(), written_.length(), retains_); }

bool PubSubClient::subscribe(const char *topic, uint8_t qos) {
    return qos <= 1 && connected() && esp_mqtt_client_subscribe(CLIENT, topic, qos) >= 0;
}

bool PubSubClient::unsubscribe(const char *topic) { return connected() && esp_mqtt_client_unsubscribe(CLIENT, topic) >= 0; }
