/* HTTPClient.h: requests by the firmware's HTTP client. A request blocks the program until it is over (5 s). A body is kept up to
 * 8 KB, and no headers of an answer, as the firmware hands them over without their end. https is always verified: against the
 * authority that begin() or WiFiClientSecure.h names, else against those that the firmware was built with. */
#pragma once
#include <WiFiClient.h>

typedef enum {
    HTTP_CODE_CONTINUE = 100,
    HTTP_CODE_OK = 200,
    HTTP_CODE_CREATED = 201,
    HTTP_CODE_ACCEPTED = 202,
    HTTP_CODE_NO_CONTENT = 204,
    HTTP_CODE_MOVED_PERMANENTLY = 301,
    HTTP_CODE_FOUND = 302,
    HTTP_CODE_SEE_OTHER = 303,
    HTTP_CODE_NOT_MODIFIED = 304,
    HTTP_CODE_TEMPORARY_REDIRECT = 307,
    HTTP_CODE_PERMANENT_REDIRECT = 308,
    HTTP_CODE_BAD_REQUEST = 400,
    HTTP_CODE_UNAUTHORIZED = 401,
    HTTP_CODE_FORBIDDEN = 403,
    HTTP_CODE_NOT_FOUND = 404,
    HTTP_CODE_METHOD_NOT_ALLOWED = 405,
    HTTP_CODE_TOO_MANY_REQUESTS = 429,
    HTTP_CODE_INTERNAL_SERVER_ERROR = 500,
    HTTP_CODE_BAD_GATEWAY = 502,
    HTTP_CODE_SERVICE_UNAVAILABLE = 503,
    HTTP_CODE_GATEWAY_TIMEOUT = 504
} t_http_codes;
#define HTTPC_ERROR_CONNECTION_REFUSED (-1)
#define HTTPC_ERROR_SEND_HEADER_FAILED (-2)
#define HTTPC_ERROR_SEND_PAYLOAD_FAILED (-3)
#define HTTPC_ERROR_NOT_CONNECTED (-4)
#define HTTPC_ERROR_CONNECTION_LOST (-5)
#define HTTPC_ERROR_NO_STREAM (-6)
#define HTTPC_ERROR_NO_HTTP_SERVER (-7)
#define HTTPC_ERROR_TOO_LESS_RAM (-8)
#define HTTPC_ERROR_ENCODING (-9)
#define HTTPC_ERROR_STREAM_WRITE (-10)
#define HTTPC_ERROR_READ_TIMEOUT (-11)
typedef enum { HTTPC_DISABLE_FOLLOW_REDIRECTS, HTTPC_STRICT_FOLLOW_REDIRECTS, HTTPC_FORCE_FOLLOW_REDIRECTS } followRedirects_t;

class HTTPClient {
  public:
    HTTPClient() {}
    ~HTTPClient() { end(); }
    HTTPClient(const HTTPClient &) = delete;
    HTTPClient &operator=(const HTTPClient &) = delete;
    bool begin(const String &url) { return begin_(url, nullptr); }
    bool begin(const String &url, const char *authority) { return begin_(url, authority); } /* PEM */
    bool begin(const String &host, uint16_t port, const String &path = "/");
    bool begin(Client &client, const String &url) { return begin_(url, client.authority_()); }
    bool begin(Client &client, const String &host, uint16_t port, const String &path = "/", bool https = false);
    void end();
    bool connected() { return url_.length() > 0; }

    void addHeader(const String &name, const String &value, bool first = false, bool replace = true);
    void setAuthorization(const char *user, const char *password);
    void setAuthorization(const char *value) { addHeader("Authorization", authorization_type_ + " " + value); }
    void setAuthorizationType(const char *type) { authorization_type_ = type; }
    void setAcceptEncoding(const String &value) { addHeader("Accept-Encoding", value); }
    void setUserAgent(const String &name) { addHeader("User-Agent", name); }
    void setTimeout(uint16_t ms) { timeout_ms_ = ms; }
    void setConnectTimeout(int32_t ms) { timeout_ms_ = ms; }
    void setReuse(bool) {}
    void useHTTP10(bool = true) {}
    void setFollowRedirects(followRedirects_t follow) { follows_ = follow != HTTPC_DISABLE_FOLLOW_REDIRECTS; }
    void setRedirectLimit(uint16_t limit) { redirects_ = limit; }

    /* The status, or an error below 0. */
    int GET() { return sendRequest("GET"); }
    int POST(const String &body) { return sendRequest("POST", body); }
    int POST(uint8_t *body, size_t size) { return sendRequest("POST", body, size); }
    int PUT(const String &body) { return sendRequest("PUT", body); }
    int PUT(uint8_t *body, size_t size) { return sendRequest("PUT", body, size); }
    int PATCH(const String &body) { return sendRequest("PATCH", body); }
    int PATCH(uint8_t *body, size_t size) { return sendRequest("PATCH", body, size); }
    int DELETE() { return sendRequest("DELETE"); }
    int sendRequest(const char *method, const String &body) { return sendRequest(method, (uint8_t *)body.c_str(), body.length()); }
    int sendRequest(const char *method, uint8_t *body = nullptr, size_t size = 0);

    int getSize() const { return size_; } /* -1: the server did not say */
    String getString();
    WiFiClient &getStream() { return body_; }
    WiFiClient *getStreamPtr() { return &body_; }
    int writeToStream(Stream *out);
    static String errorToString(int error);
    static int heard_(void *event); /* of the firmware's client */

  private:
    bool begin_(const String &url, const char *authority);
    void keep_body(const char *data, unsigned size);
    String url_, sent_headers_, user_, password_, authorization_type_ = "Basic";
    const char *authority_ = nullptr;
    int timeout_ms_ = 5000, redirects_ = 10, size_ = -1;
    bool follows_ = false, is_cut_ = false;
    WebExchange *kept_ = nullptr;
    WiFiClient body_;
};
