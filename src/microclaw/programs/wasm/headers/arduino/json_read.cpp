/* Reads JSON from a text or a stream. Texts may stand in single quotes. What follows the value is not read, so a stream may
 * hold several. */
#include "json.h"
#include <ctype.h>

const char *DeserializationError::c_str() const {
    static const char *const NAMES[] = {"Ok", "EmptyInput", "IncompleteInput", "InvalidInput", "NoMemory", "TooDeep"};
    return NAMES[code_];
}

namespace microclaw_json {
typedef DeserializationError::Code Code;

namespace {
enum { END = -1, NOT_READ = -2 };

/* Its functions return false when there is an error, which `error` has then. */
class Reader {
  public:
    Reader(Store &store, const JsonString &text, Stream *stream)
        : store_(store), at_(text.c_str()), end_(at_ + text.size()), stream_(stream) {}
    bool value(Node &node, int levels);
    int next_behind_space();
    Code error = Code::Ok;

  private:
    int next();
    void skip() { next_ = NOT_READ; }
    bool take(int wanted);
    bool fail(Code code);
    bool unexpected() { return fail(next() == END ? Code::IncompleteInput : Code::InvalidInput); }
    bool children(Node &node, int levels, char end);
    bool key(Node &object, Node *&member);
    bool text(Text *&text);
    bool escape(Text *&text);
    bool code_unit(Text *&text);
    bool word(const char *word);
    bool number(Node &node);
    bool put(Text *&text, unsigned c) { return microclaw_json::put(store_, text, (char)c) || fail(Code::NoMemory); }
    Store &store_;
    const char *at_, *end_;
    Stream *stream_;
    int next_ = NOT_READ;
};

bool Reader::fail(Code code) {
    error = code;
    return false;
}

/* One character is read ahead, and only if it is needed. */
int Reader::next() {
    if (next_ == NOT_READ && stream_) {
        char c;
        next_ = stream_->readBytes(&c, 1) == 1 ? (unsigned char)c : END;
    } else if (next_ == NOT_READ) {
        next_ = at_ < end_ ? (unsigned char)*at_++ : END;
    }
    return next_;
}

int Reader::next_behind_space() {
    while (next() == ' ' || next() == '\t' || next() == '\n' || next() == '\r') {
        skip();
    }
    return next();
}

bool Reader::take(int wanted) {
    if (next_behind_space() != wanted) {
        return false;
    }
    skip();
    return true;
}

bool Reader::value(Node &node, int levels) {
    int c = next_behind_space();
    switch (c) {
    case '{':
        node.kind = Kind::object;
        return children(node, levels, '}');
    case '[':
        node.kind = Kind::array;
        return children(node, levels, ']');
    case '"':
    case '\'':
        node.text = new_text(store_);
        if (!node.text) {
            return fail(Code::NoMemory);
        }
        node.kind = Kind::text;
        return text(node.text);
    case 't':
        return set(store_, &node, boolean_node(true)) && word("true");
    case 'f':
        return set(store_, &node, boolean_node(false)) && word("false");
    case 'n':
        return word("null");
    default:
        return c == '-' || isdigit(c) ? number(node) : unexpected();
    }
}

bool Reader::children(Node &node, int levels, char end) {
    if (!levels) {
        return fail(Code::TooDeep);
    }
    skip();
    if (take(end)) {
        return true;
    }
    do {
        Node *child = nullptr;
        if (node.kind == Kind::array) {
            child = append(store_, &node);
        } else if (!key(node, child)) {
            return false;
        }
        if (!child) {
            return fail(Code::NoMemory);
        }
        if (!value(*child, levels - 1)) {
            return false;
        }
    } while (take(','));
    return take(end) || unexpected();
}

/* Of two members with one key the second counts. */
bool Reader::key(Node &object, Node *&member) {
    if (next_behind_space() != '"' && next() != '\'') {
        return unexpected();
    }
    Text *key = new_text(store_);
    bool is_read = key && text(key);
    if (is_read) {
        member = make_member(store_, &object, text_of(key));
    }
    drop(store_, key);
    if (!is_read) {
        return error ? false : fail(Code::NoMemory);
    }
    if (member) {
        clear(store_, *member);
    }
    return take(':') || unexpected();
}

bool Reader::text(Text *&text) {
    int quote = next();
    skip();
    while (next() != quote) {
        int c = next();
        if (c == END) {
            return unexpected();
        }
        skip();
        bool is_put = c == '\\' ? escape(text) : put(text, (unsigned)c);
        if (!is_put) {
            return false;
        }
    }
    skip();
    return true;
}

bool Reader::escape(Text *&text) {
    static const char SIGNS[] = "\"'\\/bfnrt", MEANT[] = "\"'\\/\b\f\n\r\t";
    int c = next();
    if (c == 'u') {
        skip();
        return code_unit(text);
    }
    const char *sign = c > 0 ? strchr(SIGNS, c) : nullptr;
    if (!sign) {
        return unexpected();
    }
    skip();
    return put(text, (unsigned char)MEANT[sign - SIGNS]);
}

/* The first half of a pair in UTF-8, if the text ends in one. */
static unsigned first_half(Text *text) {
    const uint8_t *end = (const uint8_t *)text->characters() + text->length;
    bool is_half = text->length >= 3 && end[-3] == 0xed && end[-2] >= 0xa0 && end[-2] < 0xb0;
    return is_half ? (end[-2] & 0x0fu) << 6 | (end[-1] & 0x3fu) : 0xffffu;
}

/* Writes UTF-8. The second half of a pair replaces the first, which is behind it as if it stood for itself. */
bool Reader::code_unit(Text *&text) {
    unsigned code = 0;
    for (int digit = 0; digit < 4; digit++) {
        int c = next();
        if (!isxdigit(c)) {
            return unexpected();
        }
        code = code * 16 + (unsigned)(isdigit(c) ? c - '0' : (c | 32) - 'a' + 10);
        skip();
    }
    unsigned first = first_half(text);
    bool is_second = code >= 0xdc00 && code < 0xe000;
    if (code < 0x80) {
        return put(text, code);
    }
    if (code < 0x800) {
        return put(text, 0xc0 | code >> 6) && put(text, 0x80 | (code & 0x3f));
    }
    if (is_second && first != 0xffffu) {
        code = 0x10000 + (first << 10 | (code & 0x3ff));
        char *begin = text->characters() + text->length - 3;
        begin[0] = (char)(0xf0 | code >> 18);
        begin[1] = (char)(0x80 | (code >> 12 & 0x3f));
        begin[2] = (char)(0x80 | (code >> 6 & 0x3f));
        return put(text, 0x80 | (code & 0x3f));
    }
    return put(text, 0xe0 | code >> 12) && put(text, 0x80 | (code >> 6 & 0x3f)) && put(text, 0x80 | (code & 0x3f));
}

bool Reader::word(const char *word) {
    for (; *word; word++) {
        if (next() != *word) {
            return unexpected();
        }
        skip();
    }
    return true;
}

__attribute__((noinline)) bool Reader::number(Node &node) {
    char digits[NUMBER_LENGTH];
    size_t length = 0;
    while (length < NUMBER_LENGTH - 1 && next() > 0 && strchr("0123456789+-.eE", next())) {
        digits[length++] = (char)next();
        skip();
    }
    digits[length] = '\0';
    Node number;
    return parse_number(digits, number) ? set(store_, &node, number) : unexpected();
}
}

/* After an error there is no value. */
DeserializationError read(Store &store, Node *node, const JsonString &text, Stream *stream) {
    if (!set(store, node, Node())) {
        return Code::NoMemory;
    }
    store.is_overflowed = false;
    Reader reader(store, text, stream);
    if (reader.next_behind_space() == END) {
        return Code::EmptyInput;
    }
    if (!reader.value(*node, MOST_LEVELS)) {
        clear(store, *node);
    }
    return reader.error;
}
}
