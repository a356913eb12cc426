/* arduino/json.h: what is behind ArduinoJson.h: a document as a tree on the heap, and what changes, reads and writes it. */
#pragma once
#include "serial.h"
#include <string.h>

class JsonString {
  public:
    constexpr JsonString() {}
    JsonString(const char *text) : text_(text), length_(text ? strlen(text) : 0) {}
    JsonString(const char *text, size_t length) : text_(text), length_(length) {}
    JsonString(const String &text) : text_(text.c_str()), length_(text.length()) {}
    const char *c_str() const { return text_; }
    size_t size() const { return length_; }
    bool isNull() const { return !text_; }
    explicit operator bool() const { return text_; }
    bool operator==(const JsonString &other) const { return length_ == other.length_ && (!length_ || !memcmp(text_, other.text_, length_)); }
    bool operator!=(const JsonString &other) const { return !(*this == other); }

  private:
    const char *text_ = nullptr;
    size_t length_ = 0;
};

class DeserializationError {
  public:
    enum Code { Ok, EmptyInput, IncompleteInput, InvalidInput, NoMemory, TooDeep };
    constexpr DeserializationError(Code code = Ok) : code_(code) {}
    explicit operator bool() const { return code_ != Ok; }
    Code code() const { return code_; }
    const char *c_str() const;
    const char *f_str() const { return c_str(); }
    bool operator==(DeserializationError other) const { return code_ == other.code_; }
    bool operator!=(DeserializationError other) const { return code_ != other.code_; }

  private:
    Code code_;
};

namespace microclaw_json {
enum { MOST_BYTES = 16384, MOST_LEVELS = 10, NUMBER_LENGTH = 64, ONE_LINE = -1 };

/* `length` characters and a 0 follow it. */
struct Text {
    size_t length;
    char *characters() { return (char *)(this + 1); }
};

/* An integer below 0 is `negative`, any other `natural`: equal integers are of one kind. */
enum class Kind : uint8_t { nothing, boolean, negative, natural, real, text, raw, array, object };
struct Node {
    Node *next = nullptr; /* in the same array or object */
    Text *key = nullptr;
    Kind kind = Kind::nothing;
    union {
        long long integer = 0;
        unsigned long long natural;
        double real;
        Text *text;
        Node *first;
    };
};

struct Store {
    Node root;
    size_t used = 0;
    bool is_overflowed = false;
};
extern Store no_document; /* of what refers to nothing */

/* A node that is not there, nullptr, is null. What makes one returns nullptr if the document is full, or if the node above is
 * of another kind. */
Node *find_member(const Node *object, const JsonString &key);
Node *find_element(const Node *array, size_t index);
Node *make_member(Store &store, Node *object, const JsonString &key);
Node *make_element(Store &store, Node *array, size_t index);
Node *append(Store &store, Node *parent);
size_t count(const Node *node);
void remove(Store &store, Node *parent, const Node *child);
void clear(Store &store, Node &node);
void drop(Store &store, Text *text);
Text *new_text(Store &store);
bool put(Store &store, Text *&text, char c); /* behind the others */
bool set(Store &store, Node *node, const Node &value); /* which the node owns then */
bool set_text(Store &store, Node *node, const JsonString &text, Kind kind);
bool copy(Store &store, Node *node, const Node *from);

Node boolean_node(bool value);
Node integer_node(bool is_negative, unsigned long long bits);
Node real_node(double value);
Node real_node(float value);
bool to_boolean(const Node *node);
double to_real(const Node *node);
unsigned long long to_integer(const Node *node, long long least, unsigned long long most); /* its bits; 0 if it is outside */
bool is_integer(const Node *node, long long least, unsigned long long most);
String to_string(const Node *node);
bool parse_number(const char *text, Node &number);
void print_number(char (&text)[NUMBER_LENGTH], const Node &number);

DeserializationError read(Store &store, Node *node, const JsonString &text, Stream *stream);
size_t write(const Node *node, Print &out, int indent);
class ToString final : public Print {
  public:
    using Print::write;
    ToString(String &text) : text_(text) { text.clear(); }
    size_t write(uint8_t c) override { return text_.concat((char)c); }

  private:
    String &text_;
};
/* What does not fit is left out. */
class ToMemory final : public Print {
  public:
    using Print::write;
    ToMemory(void *at, size_t size) : at_((char *)at), end_((char *)at + size) {}
    size_t write(uint8_t c) override {
        if (at_ == end_) {
            return 0;
        }
        *at_++ = (char)c;
        if (at_ != end_) {
            *at_ = '\0';
        }
        return 1;
    }

  private:
    char *at_, *end_;
};
class Counter final : public Print {
  public:
    using Print::write;
    size_t write(uint8_t) override { return 1; }
};

inline bool is_kind(const Node *node, Kind kind) { return node && node->kind == kind; }
inline bool has_children(const Node *node) { return is_kind(node, Kind::array) || is_kind(node, Kind::object); }
inline bool is_number(const Node *node) { return node && node->kind >= Kind::negative && node->kind <= Kind::real; }
inline JsonString text_of(Text *text) { return text ? JsonString(text->characters(), text->length) : JsonString(); }
}
