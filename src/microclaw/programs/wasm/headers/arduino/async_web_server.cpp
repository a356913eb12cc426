/* ESPAsyncWebServer.h. */
#include <ESPAsyncWebServer.h>

AsyncWebServerRequest::AsyncWebServerRequest(WebExchange *exchange) : exchange_(exchange), client_(exchange) {
    request_.read(exchange->received);
    parameters_ = new AsyncWebParameter[params()];
    for (size_t i = 0; i < params(); i++) {
        parameters_[i].set_(request_.arguments[i]);
    }
}

AsyncWebServerRequest::~AsyncWebServerRequest() { delete[] parameters_; }

AsyncWebParameter *AsyncWebServerRequest::getParam(const String &name, bool post, bool file) {
    for (size_t i = 0; i < params() && !file; i++) {
        if (parameters_[i].name() == name && parameters_[i].isPost() == post) {
            return &parameters_[i];
        }
    }
    return nullptr;
}

String AsyncWebServerRequest::arg(const String &name) const {
    const WebArgument *argument = request_.find(name);
    return argument ? argument->value : String();
}

void AsyncWebServerRequest::requestAuthentication(const char *realm, bool) {
    AsyncWebServerResponse *response = beginResponse(401);
    response->addHeader("WWW-Authenticate", String("Basic realm=\"") + (realm ? realm : "Login Required") + "\"");
    send(response);
}

bool AsyncWebServerRequest::begin_answer(int status, const char *type, const String &headers, unsigned size) {
    if (!exchange_->is_open) {
        return false;
    }
    String lines = DefaultHeaders::Instance().lines_of_() + headers;
    microclaw_begin_answer(exchange_, status, type && *type ? type : "text/plain", lines, size);
    return true;
}

void AsyncWebServerRequest::send(int status, const char *type, const char *text, const AwsTemplateProcessor &processor) {
    if (!processor) {
        send(status, type, (const uint8_t *)text, strlen(text));
    } else if (begin_answer(status, type, "", (unsigned)strlen(text))) {
        microclaw_append_filled(exchange_->answer, text, processor);
        microclaw_answer(exchange_);
    }
}

void AsyncWebServerRequest::send(int status, const char *type, const uint8_t *bytes, size_t size) {
    if (begin_answer(status, type, "", (unsigned)size)) {
        exchange_->answer.concat(bytes, (unsigned)size);
        microclaw_answer(exchange_);
    }
}

void AsyncWebServerRequest::send(AsyncWebServerResponse *response) {
    const String &text = response->text_;
    if (begin_answer(response->status_, response->type_.c_str(), response->headers_, text.length())) {
        exchange_->answer += text;
        microclaw_answer(exchange_);
    }
    delete response;
}

void AsyncWebServerRequest::redirect(const String &url, int status) {
    AsyncWebServerResponse *response = beginResponse(status);
    response->addHeader("Location", url);
    send(response);
}

bool AsyncCallbackWebHandler::is_for(const AsyncWebServerRequest &request) const {
    if (!(methods_ & request.method())) {
        return false;
    }
    const String &url = request.url();
    if (uri_.endsWith("*")) {
        return url.startsWith(uri_.substring(0, uri_.length() - 1));
    }
    return !uri_.length() || url == uri_ || url.startsWith(uri_ + "/");
}

static void pass_on(void *server, WebExchange *exchange) { ((AsyncWebServer *)server)->handle_(exchange); }

void AsyncWebServer::begin() { microclaw_open_web(pass_on, this); }

AsyncCallbackWebHandler &AsyncWebServer::on(const char *uri, WebRequestMethodComposite methods, ArRequestHandlerFunction handler,
                                            decltype(nullptr), ArBodyHandlerFunction body) {
    auto page = new AsyncCallbackWebHandler;
    page->uri_ = uri;
    page->methods_ = methods;
    page->handler_ = handler;
    page->body_handler_ = body;
    *last_ = page;
    last_ = &page->next_;
    return *page;
}

void AsyncWebServer::handle_(WebExchange *exchange) {
    AsyncWebServerRequest request(exchange);
    handle_request(request);
}

static void hand_over_body(const ArBodyHandlerFunction &handler, AsyncWebServerRequest &request) {
    String body = request.body_();
    if (handler && body.length()) {
        handler(&request, (uint8_t *)body.begin(), body.length(), 0, body.length());
    }
}

void AsyncWebServer::handle_request(AsyncWebServerRequest &request) {
    for (AsyncCallbackWebHandler *page = first_; page; page = page->next_) {
        if (!page->is_for(request)) {
            continue;
        }
        hand_over_body(page->body_handler_, request);
        page->handler_(&request);
        return;
    }
    hand_over_body(body_handler_, request);
    if (missing_) {
        missing_(&request);
    } else {
        request.send(404, "text/plain", "Not found: " + request.url());
    }
}

/* Made when it is first asked for: a global object would need a constructor (entry/constructors.c). */
DefaultHeaders &DefaultHeaders::Instance() {
    static DefaultHeaders *instance;
    if (!instance) {
        instance = new DefaultHeaders;
    }
    return *instance;
}
