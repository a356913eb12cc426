/* arduino/web_request.h. */
#include "web_request.h"

static const struct {
    const char *name;
    HTTPMethod method;
} METHODS[] = {
    {"GET", HTTP_GET},     {"POST", HTTP_POST}, {"DELETE", HTTP_DELETE},   {"PUT", HTTP_PUT},
    {"PATCH", HTTP_PATCH}, {"HEAD", HTTP_HEAD}, {"OPTIONS", HTTP_OPTIONS},
};

static int hex_digit(char c) {
    if (isdigit((unsigned char)c)) {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

String microclaw_url_decoded(const String &text, char plus) {
    String decoded;
    decoded.reserve(text.length());
    for (unsigned i = 0; i < text.length(); i++) {
        char c = text.charAt(i);
        int high = hex_digit(text.charAt(i + 1)), low = hex_digit(text.charAt(i + 2));
        if (c == '%' && high >= 0 && low >= 0) {
            decoded += (char)(high << 4 | low);
            i += 2;
        } else {
            decoded += c == '+' ? plus : c;
        }
    }
    return decoded;
}

void WebRequest::read(const String &bytes) {
    int head_end = bytes.indexOf("\r\n\r\n");
    int line_end = bytes.indexOf("\r\n");
    String line = bytes.substring(0, (unsigned)line_end);
    if (head_end > line_end) {
        head_ = bytes.substring((unsigned)line_end + 2, (unsigned)head_end + 2);
    }
    if (head_end >= 0) {
        body = bytes.substring((unsigned)head_end + 4);
    }
    int target_at = line.indexOf(' ') + 1;
    method_name = line.substring(0, (unsigned)(target_at ? target_at - 1 : 0));
    for (auto &row : METHODS) {
        if (method_name == row.name) {
            method = row.method;
        }
    }
    String target = line.substring((unsigned)target_at, (unsigned)line.indexOf(' ', (unsigned)target_at));
    int query_at = target.indexOf('?');
    path = query_at < 0 ? target : target.substring(0, (unsigned)query_at);
    if (!is_of_core_) {
        path = microclaw_url_decoded(path, '+');
    }
    if (query_at >= 0) {
        add_arguments(target.substring((unsigned)query_at + 1), false);
    }
    if (has_form()) {
        add_arguments(body, true);
    }
}

static int count_of(const String &text, char wanted) {
    int count = 0;
    for (char c : text) {
        count += c == wanted;
    }
    return count;
}

void WebRequest::add_arguments(const String &text, bool is_of_body) {
    if (!text.length()) {
        return;
    }
    auto more = new WebArgument[argument_count + count_of(text, '&') + 1];
    for (int i = 0; i < argument_count; i++) {
        more[i] = arguments[i];
    }
    delete[] arguments;
    arguments = more;
    for (unsigned from = 0; from < text.length();) {
        int end = text.indexOf('&', from);
        String pair = end < 0 ? text.substring(from) : text.substring(from, (unsigned)end);
        from += pair.length() + 1;
        int equal = pair.indexOf('=');
        if (equal < 0 && is_of_core_) {
            continue;
        }
        WebArgument &argument = arguments[argument_count++];
        argument.name = microclaw_url_decoded(equal < 0 ? pair : pair.substring(0, (unsigned)equal));
        argument.value = equal < 0 ? String() : microclaw_url_decoded(pair.substring((unsigned)equal + 1));
        argument.is_of_body = is_of_body;
    }
}

const WebArgument *WebRequest::find(const String &name) const {
    for (int i = 0; i < argument_count; i++) {
        if (arguments[i].name == name) {
            return &arguments[i];
        }
    }
    return nullptr;
}

String WebRequest::header(const String &name) const {
    for (unsigned from = 0; from < head_.length();) {
        unsigned end = (unsigned)head_.indexOf("\r\n", from);
        String line = head_.substring(from, end);
        int colon = line.indexOf(':');
        if (colon > 0 && line.substring(0, (unsigned)colon).equalsIgnoreCase(name)) {
            String value = line.substring((unsigned)colon + 1);
            value.trim();
            return value;
        }
        from = end + 2;
    }
    return String();
}
