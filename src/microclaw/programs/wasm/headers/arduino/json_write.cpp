/* Writes JSON to what prints. */
#include "json.h"

namespace microclaw_json {
enum { INDENT = 2 };

/* A negative indent is for a document of one line. */
static size_t write_line(Print &out, int indent) {
    size_t written = indent < 0 ? 0 : out.print('\n');
    for (; indent > 0; indent--) {
        written += out.print(' ');
    }
    return written;
}

static size_t write_escaped(Print &out, unsigned char c) {
    static const char SIGNS[] = "\"\\\b\f\n\r\t", LETTERS[] = "\"\\bfnrt", DIGITS[] = "0123456789abcdef";
    char escape[] = {'\\', 'u', '0', '0', DIGITS[c >> 4], DIGITS[c & 15]};
    const char *sign = c ? strchr(SIGNS, c) : nullptr;
    if (!sign) {
        return out.write(escape, sizeof escape);
    }
    escape[1] = LETTERS[sign - SIGNS];
    return out.write(escape, 2);
}

static size_t write_text(Print &out, const JsonString &text) {
    const char *at = text.c_str();
    const char *end = at + text.size();
    size_t written = out.print('"');
    while (at < end) {
        const char *plain = at;
        while (at < end && (unsigned char)*at >= ' ' && *at != '"' && *at != '\\') {
            at++;
        }
        written += out.write(plain, (size_t)(at - plain));
        if (at < end) {
            written += write_escaped(out, (unsigned char)*at++);
        }
    }
    return written + out.print('"');
}

static size_t write_children(Print &out, const Node *node, int indent) {
    bool is_object = node->kind == Kind::object;
    int indent_of_child = indent < 0 ? indent : indent + INDENT;
    size_t written = out.print(is_object ? '{' : '[');
    for (const Node *child = node->first; child; child = child->next) {
        written += write_line(out, indent_of_child);
        if (child->key) {
            written += write_text(out, text_of(child->key));
            written += out.print(indent < 0 ? ":" : ": ");
        }
        written += write(child, out, indent_of_child);
        written += child->next ? out.print(',') : write_line(out, indent);
    }
    return written + out.print(is_object ? '}' : ']');
}

static __attribute__((noinline)) size_t write_number(Print &out, const Node &number) {
    char text[NUMBER_LENGTH];
    print_number(text, number);
    return out.print(text);
}

size_t write(const Node *node, Print &out, int indent) {
    if (!node || node->kind == Kind::nothing) {
        return out.print("null");
    }
    if (node->kind == Kind::boolean) {
        return out.print(node->natural ? "true" : "false");
    }
    if (node->kind == Kind::raw) {
        return out.print(node->text->characters());
    }
    if (node->kind == Kind::text) {
        return write_text(out, text_of(node->text));
    }
    return has_children(node) ? write_children(out, node, indent) : write_number(out, *node);
}

String to_string(const Node *node) {
    if (is_kind(node, Kind::text)) {
        return String(node->text->characters(), (unsigned)node->text->length);
    }
    String text;
    ToString out(text);
    write(node, out, ONE_LINE);
    return text;
}
}
