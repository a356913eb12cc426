/* WebServer.h. */
#include <WebServer.h>

void WebServer::begin(uint16_t) { microclaw_open_web(nullptr, nullptr); }

void WebServer::on(const Uri &uri, HTTPMethod method, THandlerFunction handler) {
    *last_ = new Page{uri, method, handler, nullptr};
    last_ = &(*last_)->next;
}

void WebServer::handleClient() {
    exchange_ = microclaw_next_exchange();
    if (!exchange_) {
        return;
    }
    WebRequest request(true);
    request.read(exchange_->received);
    client_ = WiFiClient(exchange_);
    request_ = &request;
    sent_ = NO_ANSWER;
    headers_ = allows_all_origins_ ? "Access-Control-Allow-Origin: *\r\n" : "";
    handle(request);
    request_ = nullptr;
    exchange_ = nullptr;
    client_.stop();
}

void WebServer::handle(WebRequest &request) {
    for (Page *page = first_; page; page = page->next) {
        bool is_method = page->method == HTTP_ANY || page->method == request.method;
        if (is_method && page->uri.is_for(request.path, path_arguments_, PATH_ARGUMENTS)) {
            page->handler();
            return;
        }
    }
    if (missing_) {
        missing_();
    } else {
        send(404, "text/plain", "Not found: " + request.path);
    }
}

bool WebServer::has_plain_body() const { return request_ && request_->body.length() && !request_->has_form(); }

String WebServer::arg(const String &name) const {
    const WebArgument *argument = request_ ? request_->find(name) : nullptr;
    if (argument) {
        return argument->value;
    }
    return name == "plain" && has_plain_body() ? request_->body : String();
}

String WebServer::arg(int at) const {
    if (!request_ || at < 0 || at >= args()) {
        return String();
    }
    return at < request_->argument_count ? request_->arguments[at].value : request_->body;
}

String WebServer::argName(int at) const {
    if (!request_ || at < 0 || at >= args()) {
        return String();
    }
    return at < request_->argument_count ? request_->arguments[at].name : String("plain");
}

bool WebServer::hasArg(const String &name) const {
    return (request_ && request_->find(name)) || (name == "plain" && has_plain_body());
}

void WebServer::requestAuthentication(HTTPAuthMethod, const char *realm, const String &text) {
    sendHeader("WWW-Authenticate", String("Basic realm=\"") + (realm ? realm : "Login Required") + "\"");
    send(401, "text/html", text);
}

static bool has_line_break(const String &text) { return text.indexOf('\r') >= 0 || text.indexOf('\n') >= 0; }

void WebServer::sendHeader(const String &name, const String &value, bool first) {
    if (has_line_break(name) || has_line_break(value)) {
        ::printf("WebServer: a header of %s has a line break: it is left out\n", uri().c_str());
        return;
    }
    String line = name + ": " + value + "\r\n";
    headers_ = first ? line + headers_ : headers_ + line;
}

void WebServer::send(int status, const char *type, const String &text) { send(status, type, text.c_str(), text.length()); }

void WebServer::send(int status, const char *type, const char *bytes, size_t size) {
    if (!exchange_) {
        return;
    }
    if (sent_ != NO_ANSWER) {
        /* The core writes it behind the first one, where no browser reads it. */
        ::printf("WebServer: %s is answered already: the answer %d is left out\n", uri().c_str(), status);
        sent_ = TOO_MANY;
        return;
    }
    sent_ = ANSWER;
    microclaw_begin_answer(exchange_, status, type && *type ? type : "text/html", headers_, size);
    headers_ = "";
    sendContent(bytes, size);
}

void WebServer::sendContent(const char *bytes, size_t size) {
    if (exchange_ && sent_ != TOO_MANY) {
        exchange_->answer.concat(bytes, (unsigned)size);
    }
}
