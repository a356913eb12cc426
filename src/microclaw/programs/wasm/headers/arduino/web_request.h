/* arduino/web_request.h: one HTTP request, taken apart, and the head of an answer: for WebServer.h and ESPAsyncWebServer.h. */
#pragma once
#include <Arduino.h>

typedef enum {
    HTTP_GET = 1,
    HTTP_POST = 2,
    HTTP_DELETE = 4,
    HTTP_PUT = 8,
    HTTP_PATCH = 16,
    HTTP_HEAD = 32,
    HTTP_OPTIONS = 64,
    HTTP_ANY = 127
} HTTPMethod;

struct WebArgument {
    String name, value;
    bool is_of_body;
};

class WebRequest {
  public:
    /* `is_of_core`: read it as the core's WebServer.h does: the path is as it was sent, and only arguments with a = count. */
    explicit WebRequest(bool is_of_core = false) : is_of_core_(is_of_core) {}
    ~WebRequest() { delete[] arguments; }
    WebRequest(const WebRequest &) = delete;
    WebRequest &operator=(const WebRequest &) = delete;
    void read(const String &bytes);
    const WebArgument *find(const String &name) const;
    String header(const String &name) const; /* empty if it is not there */
    bool has_form() const { return header("Content-Type").startsWith("application/x-www-form-urlencoded"); }

    HTTPMethod method = HTTP_GET;
    String method_name, path, body;
    WebArgument *arguments = nullptr;
    int argument_count = 0;

  private:
    void add_arguments(const String &text, bool is_of_body);
    bool is_of_core_;
    String head_; /* the lines of the headers */
};

String microclaw_url_decoded(const String &text, char plus = ' '); /* `plus`: what a + is; in a path it is one */
/* Append the text with each %NAME% replaced by what `value_of` gives for NAME. */
template <typename ValueOf> void microclaw_append_filled(String &out, const char *text, const ValueOf &value_of) {
    enum { LONGEST_NAME = 32 };
    for (const char *begin; (begin = strchr(text, '%'));) {
        const char *end = strchr(begin + 1, '%');
        bool is_name = end && end - begin - 1 <= LONGEST_NAME;
        out.concat(text, (unsigned)(begin - text));
        String name = is_name ? String(begin + 1, (unsigned)(end - begin - 1)) : String();
        out += name.length() ? value_of(name) : String('%');
        text = (is_name ? end : begin) + 1;
    }
    out += text;
}
