/* ESPAsyncWebServer.h: pages of a program. The host serves them at /app/NAME/ and passes each request on; its handler is called at
 * once, between two turns of loop(), and must not wait. WebSockets, events, files and uploads are not here. */
#pragma once
#include "arduino/callback.h"
#include "arduino/web_request.h"
#include <WiFi.h>

namespace fs {
class FS;
}
#define NO_FILES_ MICROCLAW_REFUSED_(true, "files of pages")

typedef HTTPMethod WebRequestMethod;
typedef uint8_t WebRequestMethodComposite;
typedef microclaw_callback<String(const String &)> AwsTemplateProcessor;

class AsyncWebParameter {
  public:
    void set_(const WebArgument &argument) { argument_ = &argument; }
    const String &name() const { return argument_->name; }
    const String &value() const { return argument_->value; }
    size_t size() const { return argument_->value.length(); }
    bool isPost() const { return argument_->is_of_body; }
    bool isFile() const { return false; }

  private:
    const WebArgument *argument_ = nullptr;
};

class AsyncWebServerResponse {
  public:
    AsyncWebServerResponse(int status, const String &type, const String &text) : status_(status), type_(type), text_(text) {}
    virtual ~AsyncWebServerResponse() {}
    void setCode(int status) { status_ = status; }
    void setContentType(const String &type) { type_ = type; }
    void setContentLength(size_t) {}
    bool addHeader(const String &name, const String &value, bool = true) { return headers_.concat(name + ": " + value + "\r\n"); }

  protected:
    friend class AsyncWebServerRequest;
    int status_;
    String type_, text_, headers_;
};

/* A response that is printed. */
class AsyncResponseStream : public AsyncWebServerResponse, public Print {
  public:
    using Print::write;
    AsyncResponseStream(const String &type) : AsyncWebServerResponse(200, type, "") {}
    size_t write(uint8_t c) override { return write(&c, 1); }
    size_t write(const uint8_t *data, size_t size) override { return text_.concat(data, (unsigned)size) ? size : 0; }
};

class AsyncWebServerRequest {
  public:
    explicit AsyncWebServerRequest(WebExchange *exchange);
    ~AsyncWebServerRequest();
    AsyncWebServerRequest(const AsyncWebServerRequest &) = delete;
    AsyncWebServerRequest &operator=(const AsyncWebServerRequest &) = delete;
    WebRequestMethod method() const { return request_.method; }
    const char *methodToString() const { return request_.method_name.c_str(); }
    const String &url() const { return request_.path; }
    String host() const { return request_.header("Host"); }
    String contentType() const { return request_.header("Content-Type"); }
    size_t contentLength() const { return request_.body.length(); }
    const String &body_() const { return request_.body; }
    WiFiClient *client() { return &client_; }

    size_t params() const { return (size_t)request_.argument_count; }
    bool hasParam(const String &name, bool post = false, bool file = false) { return getParam(name, post, file) != nullptr; }
    AsyncWebParameter *getParam(const String &name, bool post = false, bool file = false); /* null if it is not there */
    AsyncWebParameter *getParam(size_t at) { return at < params() ? &parameters_[at] : nullptr; }
    AsyncWebParameter *getParam(int at) { return getParam((size_t)at); }
    size_t args() const { return params(); }
    bool hasArg(const char *name) const { return request_.find(name) != nullptr; }
    String arg(const String &name) const;
    String arg(size_t at) const { return at < params() ? request_.arguments[at].value : String(); }
    String arg(int at) const { return arg((size_t)at); }
    String argName(size_t at) const { return at < params() ? request_.arguments[at].name : String(); }
    bool hasHeader(const String &name) const { return header(name).length() > 0; }
    String header(const String &name) const { return request_.header(name); }
    bool authenticate(const char *, const char *, const char * = nullptr, bool = false) MICROCLAW_SIGNED_IN_ { return true; }
    void requestAuthentication(const char *realm = nullptr, bool = false);
    void onDisconnect(microclaw_callback<void()>) {}

    void send(int status, const char *type = "", const char *text = "", const AwsTemplateProcessor &processor = nullptr);
    void send(int status, const String &type, const String &text = "", const AwsTemplateProcessor &processor = nullptr) {
        send(status, type.c_str(), text.c_str(), processor);
    }
    void send(int status, const char *type, const String &text, const AwsTemplateProcessor &processor = nullptr) {
        send(status, type, text.c_str(), processor);
    }
    void send(int status, const char *type, const uint8_t *bytes, size_t size);
    void send_P(int status, const char *type, const char *text, const AwsTemplateProcessor &processor = nullptr) {
        send(status, type, text, processor);
    }
    void send_P(int status, const String &type, const char *text, const AwsTemplateProcessor &processor = nullptr) {
        send(status, type.c_str(), text, processor);
    }
    void send_P(int status, const char *type, const uint8_t *bytes, size_t size) { send(status, type, bytes, size); }
    void send(AsyncWebServerResponse *response); /* deletes it */
    template <typename... Arguments> void send(fs::FS &, Arguments...) NO_FILES_ {}
    template <typename... Arguments> AsyncWebServerResponse *beginResponse(fs::FS &, Arguments...) NO_FILES_ { return nullptr; }
    void redirect(const String &url, int status = 302);
    AsyncWebServerResponse *beginResponse(int status, const String &type = "", const String &text = "") {
        return new AsyncWebServerResponse(status, type, text);
    }
    AsyncWebServerResponse *beginResponse_P(int status, const String &type, const char *text) { return beginResponse(status, type, text); }
    AsyncResponseStream *beginResponseStream(const String &type, size_t = 0) { return new AsyncResponseStream(type); }
    void *_tempObject = nullptr;

  private:
    bool begin_answer(int status, const char *type, const String &headers, unsigned size);
    WebRequest request_;
    AsyncWebParameter *parameters_;
    WebExchange *exchange_;
    WiFiClient client_;
};

typedef microclaw_callback<void(AsyncWebServerRequest *)> ArRequestHandlerFunction;
typedef microclaw_callback<void(AsyncWebServerRequest *, uint8_t *, size_t, size_t, size_t)> ArBodyHandlerFunction;
typedef microclaw_callback<void(AsyncWebServerRequest *, const String &, size_t, uint8_t *, size_t, bool)> ArUploadHandlerFunction;

class AsyncCallbackWebHandler {
  public:
    AsyncCallbackWebHandler &setAuthentication(const char *, const char *) MICROCLAW_SIGNED_IN_ { return *this; }

  private:
    friend class AsyncWebServer;
    bool is_for(const AsyncWebServerRequest &request) const;
    String uri_;
    WebRequestMethodComposite methods_ = HTTP_ANY;
    ArRequestHandlerFunction handler_;
    ArBodyHandlerFunction body_handler_;
    AsyncCallbackWebHandler *next_ = nullptr;
};

class AsyncWebServer {
  public:
    AsyncWebServer(uint16_t port) { (void)port; }
    AsyncWebServer(const AsyncWebServer &) = delete;
    AsyncWebServer &operator=(const AsyncWebServer &) = delete;
    void begin() MICROCLAW_SERVES_;
    void end() {}
    AsyncCallbackWebHandler &on(const char *uri, ArRequestHandlerFunction handler) { return on(uri, HTTP_ANY, handler); }
    AsyncCallbackWebHandler &on(const char *uri, WebRequestMethodComposite methods, ArRequestHandlerFunction handler) {
        return on(uri, methods, handler, nullptr, nullptr);
    }
    AsyncCallbackWebHandler &on(const char *uri, WebRequestMethodComposite methods, ArRequestHandlerFunction handler, decltype(nullptr),
                                ArBodyHandlerFunction body = nullptr);
    AsyncCallbackWebHandler &on(const char *uri, WebRequestMethodComposite methods, ArRequestHandlerFunction handler,
                                ArUploadHandlerFunction upload, ArBodyHandlerFunction body = nullptr) NO_FILES_;
    template <typename... Arguments> AsyncCallbackWebHandler &serveStatic(const char *, fs::FS &, Arguments...) NO_FILES_;
    template <typename Handler> Handler &addHandler(Handler *) MICROCLAW_REFUSED_(true, "web sockets");
    void onFileUpload(ArUploadHandlerFunction) NO_FILES_;
    void onNotFound(ArRequestHandlerFunction handler) { missing_ = handler; }
    void onRequestBody(ArBodyHandlerFunction handler) { body_handler_ = handler; }
    void handle_(WebExchange *exchange);

  private:
    void handle_request(AsyncWebServerRequest &request);
    AsyncCallbackWebHandler *first_ = nullptr, **last_ = &first_;
    ArRequestHandlerFunction missing_;
    ArBodyHandlerFunction body_handler_;
};

class DefaultHeaders {
  public:
    static DefaultHeaders &Instance();
    void addHeader(const String &name, const String &value) { lines_ += name + ": " + value + "\r\n"; }
    const String &lines_of_() const { return lines_; }

  private:
    String lines_;
};
#undef NO_FILES_
