/* PubSubClient.h: Nick O'Leary's interface on the firmware's MQTT client (mqtt_client.h). Messages come in loop(); up to 8 wait for
 * it, and a printed line tells how many more were lost. The firmware cuts a payload at its first NUL: a line tells that, too. */
#pragma once
#include "arduino/callback.h"
#include <Client.h>

#define MQTT_VERSION_3_1_1 4
#define MQTT_MAX_PACKET_SIZE 256
#define MQTT_CONNECTION_TIMEOUT (-4)
#define MQTT_CONNECTION_LOST (-3)
#define MQTT_CONNECT_FAILED (-2)
#define MQTT_DISCONNECTED (-1)
#define MQTT_CONNECTED 0
#define MQTT_CONNECT_BAD_PROTOCOL 1
#define MQTT_CONNECT_BAD_CLIENT_ID 2
#define MQTT_CONNECT_UNAVAILABLE 3
#define MQTT_CONNECT_BAD_CREDENTIALS 4
#define MQTT_CONNECT_UNAUTHORIZED 5
#define MQTT_CALLBACK_SIGNATURE microclaw_callback<void(char *, uint8_t *, unsigned int)> callback

class PubSubClient : public Print {
  public:
    using Print::write;
    PubSubClient() {}
    PubSubClient(Client &client) : network_(&client) {}
    PubSubClient(const char *host, uint16_t port, Client &client) : network_(&client) { setServer(host, port); }
    PubSubClient(const char *host, uint16_t port, MQTT_CALLBACK_SIGNATURE, Client &client) : callback_(callback), network_(&client) {
        setServer(host, port);
    }
    PubSubClient(IPAddress ip, uint16_t port, Client &client) : network_(&client) { setServer(ip, port); }
    PubSubClient(IPAddress ip, uint16_t port, MQTT_CALLBACK_SIGNATURE, Client &client) : callback_(callback), network_(&client) {
        setServer(ip, port);
    }
    PubSubClient(const PubSubClient &) = delete;
    PubSubClient &operator=(const PubSubClient &) = delete;
    ~PubSubClient() { disconnect(); }
    PubSubClient &setServer(const char *host, uint16_t port);
    PubSubClient &setServer(IPAddress ip, uint16_t port) { return setServer(ip.toString().c_str(), port); }
    PubSubClient &setServer(uint8_t *ip, uint16_t port) { return setServer(IPAddress(ip), port); }
    PubSubClient &setCallback(MQTT_CALLBACK_SIGNATURE) {
        callback_ = callback;
        return *this;
    }
    PubSubClient &setClient(Client &client) {
        network_ = &client;
        return *this;
    }
    PubSubClient &setKeepAlive(uint16_t seconds) {
        keep_alive_s_ = seconds;
        return *this;
    }
    PubSubClient &setSocketTimeout(uint16_t seconds) {
        timeout_s_ = seconds;
        return *this;
    }
    bool setBufferSize(uint16_t size) { /* what a message and its topic may take; at least 1024 bytes here */
        buffer_size_ = size;
        return size > 0;
    }
    uint16_t getBufferSize() { return buffer_size_; }

    bool connect(const char *id) { return connect(id, nullptr, nullptr, nullptr, 0, false, nullptr); }
    bool connect(const char *id, const char *user, const char *password) { return connect(id, user, password, nullptr, 0, false, nullptr); }
    bool connect(const char *id, const char *topic, uint8_t qos, bool retain, const char *text) {
        return connect(id, nullptr, nullptr, topic, qos, retain, text);
    }
    bool connect(const char *id, const char *user, const char *password, const char *topic, uint8_t qos, bool retain, const char *text,
                 bool clean = true);
    void disconnect();
    bool connected() { return client_ && state_ == MQTT_CONNECTED; }
    int state() const { return state_; }
    bool loop();

    bool publish(const char *topic, const char *text, bool retained = false) {
        return publish(topic, (const uint8_t *)text, text ? (unsigned)strlen(text) : 0, retained);
    }
    bool publish(const char *topic, const uint8_t *data, unsigned size, bool retained = false);
    bool publish_P(const char *topic, const char *text, bool retained) { return publish(topic, text, retained); }
    bool publish_P(const char *topic, const uint8_t *data, unsigned size, bool retained) { return publish(topic, data, size, retained); }
    bool beginPublish(const char *topic, unsigned size, bool retained); /* then print or write, then endPublish */
    int endPublish();
    size_t write(uint8_t c) override { return write(&c, 1); }
    size_t write(const uint8_t *data, size_t size) override { return written_.concat(data, (unsigned)size) ? size : 0; }
    bool subscribe(const char *topic, uint8_t qos = 0); /* 0 or 1 */
    bool unsubscribe(const char *topic);
    void heard_(int event, void *told); /* of the firmware's client */

  private:
    enum { WAITING = 8 };
    struct Message {
        String topic;
        uint8_t *data; /* with a NUL behind it */
        unsigned size, got;
    };
    void note_end();
    void drop_arriving();
    void keep_piece(void *told);
    void keep_begin(void *told);
    bool begin_client(void *config);
    microclaw_callback<void(char *, uint8_t *, unsigned int)> callback_;
    Client *network_ = nullptr;
    String host_, topic_, written_;
    uint16_t port_ = 1883, keep_alive_s_ = 15, timeout_s_ = 15, buffer_size_ = MQTT_MAX_PACKET_SIZE;
    bool retains_ = false;
    void *client_ = nullptr;
    volatile int state_ = MQTT_DISCONNECTED;
    Message *waiting_[WAITING] = {}; /* the oldest first */
    Message *arriving_ = nullptr;    /* the rest of it is to come in more pieces */
    unsigned lost_ = 0, cut_ = 0;
};
