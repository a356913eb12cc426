/* WebServer.h: pages of a program. The host serves them at /app/NAME/ and passes each request on; handleClient() answers up to one,
 * and its handler may wait. Nothing is sent before the handler returns, and of several answers the first. Files and uploads are not here. */
#pragma once
#include "arduino/callback.h"
#include "arduino/web_request.h"
#include <Uri.h>
#include <WiFiServer.h>

#define CONTENT_LENGTH_UNKNOWN ((size_t)-1)
#define CONTENT_LENGTH_NOT_SET ((size_t)-2)
typedef enum { BASIC_AUTH, DIGEST_AUTH } HTTPAuthMethod;

class WebServer {
  public:
    typedef microclaw_callback<void()> THandlerFunction;
    WebServer(int port = 80) { (void)port; }
    WebServer(IPAddress, int port = 80) { (void)port; }
    WebServer(const WebServer &) = delete;
    WebServer &operator=(const WebServer &) = delete;
    void begin(uint16_t = 0) MICROCLAW_SERVES_;
    void handleClient();
    void close() {}
    void stop() {}
    void enableDelay(bool) {}
    void on(const Uri &uri, THandlerFunction handler) { on(uri, HTTP_ANY, handler); }
    void on(const Uri &uri, HTTPMethod method, THandlerFunction handler);
    void on(const Uri &uri, HTTPMethod method, THandlerFunction handler, THandlerFunction upload)
        MICROCLAW_REFUSED_(true, "files of pages");
    void onNotFound(THandlerFunction handler) { missing_ = handler; }

    String uri() const { return request_ ? request_->path : String(); }
    HTTPMethod method() const { return request_ ? request_->method : HTTP_ANY; }
    WiFiClient &client() { return client_; } /* the bytes of the request */
    int args() const { return request_ ? request_->argument_count + has_plain_body() : 0; }
    String arg(const String &name) const; /* "plain": a body that is no form */
    String arg(int at) const;
    String argName(int at) const;
    bool hasArg(const String &name) const;
    String pathArg(unsigned at) const { return at < PATH_ARGUMENTS ? path_arguments_[at] : String(); }
    void collectHeaders(const char *[], size_t) {} /* all are there */
    String header(const String &name) const { return request_ ? request_->header(name) : String(); }
    bool hasHeader(const String &name) const { return header(name).length() > 0; }
    String hostHeader() const { return header("Host"); }
    bool authenticate(const char *, const char *) MICROCLAW_SIGNED_IN_ { return true; }
    void requestAuthentication(HTTPAuthMethod = BASIC_AUTH, const char *realm = nullptr, const String &text = "");

    void send(int status, const char *type = nullptr, const String &text = "");
    void send(int status, const String &type, const String &text) { send(status, type.c_str(), text); }
    void send(int status, const char *type, const char *text) { send(status, type, text, strlen(text)); }
    void send(int status, const char *type, const char *bytes, size_t size);
    void send_P(int status, const char *type, const char *text) { send(status, type, text); }
    void send_P(int status, const char *type, const char *bytes, size_t size) { send(status, type, bytes, size); }
    void sendHeader(const String &name, const String &value, bool first = false);
    void setContentLength(size_t) {} /* the answer's end is the end of what is sent */
    void sendContent(const String &text) { sendContent(text.c_str(), text.length()); }
    void sendContent(const char *bytes, size_t size);
    void sendContent_P(const char *text) { sendContent(text, strlen(text)); }
    void sendContent_P(const char *bytes, size_t size) { sendContent(bytes, size); }
    void enableCORS(bool value = true) { allows_all_origins_ = value; }

  private:
    enum { PATH_ARGUMENTS = 8 };
    struct Page {
        Uri uri;
        HTTPMethod method;
        THandlerFunction handler;
        Page *next;
    };
    bool has_plain_body() const;
    void handle(WebRequest &request);
    Page *first_ = nullptr, **last_ = &first_;
    THandlerFunction missing_;
    WebRequest *request_ = nullptr; /* while it is handled, as is `exchange_` */
    WebExchange *exchange_ = nullptr;
    WiFiClient client_;
    String headers_, path_arguments_[PATH_ARGUMENTS];
    bool allows_all_origins_ = false;
    enum { NO_ANSWER, ANSWER, TOO_MANY } sent_ = NO_ANSWER; /* to the request that is handled */
};
