/* The tree of a JSON document. */
#include "json.h"
#include <stdlib.h>

namespace microclaw_json {
Store no_document;

static void *resize(Store &store, void *block, size_t old_bytes, size_t bytes) {
    size_t used = store.used - old_bytes + bytes;
    void *moved = used <= MOST_BYTES ? realloc(block, bytes) : nullptr;
    if (moved) {
        store.used = used;
    } else {
        store.is_overflowed = true;
    }
    return moved;
}

/* With the 0; the heap gives eight bytes at a time. */
static size_t text_bytes(size_t length) { return sizeof(Text) + (length / 8 + 1) * 8; }

Text *new_text(Store &store) {
    Text *text = (Text *)resize(store, nullptr, 0, text_bytes(0));
    if (text) {
        text->length = 0;
        text->characters()[0] = '\0';
    }
    return text;
}

bool put(Store &store, Text *&text, char c) {
    size_t length = text->length;
    size_t bytes = text_bytes(length + 1);
    if (bytes != text_bytes(length)) {
        Text *moved = (Text *)resize(store, text, text_bytes(length), bytes);
        if (!moved) {
            return false;
        }
        text = moved;
    }
    text->characters()[length] = c;
    text->characters()[length + 1] = '\0';
    text->length = length + 1;
    return true;
}

void drop(Store &store, Text *text) {
    if (text) {
        store.used -= text_bytes(text->length);
        free(text);
    }
}

static void drop(Store &store, Node *node) {
    clear(store, *node);
    drop(store, node->key);
    store.used -= sizeof *node;
    free(node);
}

void clear(Store &store, Node &node) {
    if (node.kind == Kind::text || node.kind == Kind::raw) {
        drop(store, node.text);
    }
    while (has_children(&node) && node.first) {
        Node *child = node.first;
        node.first = child->next;
        drop(store, child);
    }
    node.kind = Kind::nothing;
    node.integer = 0;
}

Node *find_member(const Node *object, const JsonString &key) {
    Node *child = is_kind(object, Kind::object) ? object->first : nullptr;
    while (child && text_of(child->key) != key) {
        child = child->next;
    }
    return child;
}

Node *find_element(const Node *array, size_t index) {
    Node *child = is_kind(array, Kind::array) ? array->first : nullptr;
    for (; child && index; index--) {
        child = child->next;
    }
    return child;
}

Node *append(Store &store, Node *parent) {
    Node *child = (Node *)resize(store, nullptr, 0, sizeof(Node));
    if (!child) {
        return nullptr;
    }
    *child = Node();
    Node **end = &parent->first;
    while (*end) {
        end = &(*end)->next;
    }
    return *end = child;
}

/* A null becomes an array or an object by its first member. */
static bool becomes(Node *node, Kind kind) {
    if (is_kind(node, Kind::nothing)) {
        node->kind = kind;
    }
    return is_kind(node, kind);
}

static Text *copy_text(Store &store, const JsonString &text) {
    Text *copied = new_text(store);
    for (size_t i = 0; copied && i < text.size(); i++) {
        if (!put(store, copied, text.c_str()[i])) {
            drop(store, copied);
            return nullptr;
        }
    }
    return copied;
}

Node *make_member(Store &store, Node *object, const JsonString &key) {
    if (key.isNull() || !becomes(object, Kind::object)) {
        return nullptr;
    }
    Node *member = find_member(object, key);
    if (member) {
        return member;
    }
    Text *copied = copy_text(store, key);
    member = copied ? append(store, object) : nullptr;
    if (member) {
        member->key = copied;
    } else {
        drop(store, copied);
    }
    return member;
}

Node *make_element(Store &store, Node *array, size_t index) {
    if (!becomes(array, Kind::array)) {
        return nullptr;
    }
    if (index >= MOST_BYTES / sizeof(Node)) {
        store.is_overflowed = true;
        return nullptr;
    }
    Node *element = find_element(array, index);
    for (size_t length = count(array); length <= index; length++) {
        element = append(store, array);
        if (!element) {
            return nullptr;
        }
    }
    return element;
}

size_t count(const Node *node) {
    size_t children = 0;
    for (const Node *child = has_children(node) ? node->first : nullptr; child; child = child->next) {
        children++;
    }
    return children;
}

void remove(Store &store, Node *parent, const Node *child) {
    if (!has_children(parent) || !child) {
        return;
    }
    Node **link = &parent->first;
    while (*link && *link != child) {
        link = &(*link)->next;
    }
    if (Node *removed = *link) {
        *link = removed->next;
        drop(store, removed);
    }
}

/* The old value goes last: the new one may come from a part of it. */
bool set(Store &store, Node *node, const Node &value) {
    if (!node) {
        return false;
    }
    Node old = *node;
    node->kind = value.kind;
    node->natural = value.natural;
    clear(store, old);
    return true;
}

bool set_text(Store &store, Node *node, const JsonString &text, Kind kind) {
    Node value;
    if (node && !text.isNull()) {
        value.text = copy_text(store, text);
        value.kind = value.text ? kind : Kind::nothing;
    }
    return set(store, node, value) && (text.isNull() || value.text);
}

static bool copy_into(Store &store, Node &to, const Node &from) {
    if (from.kind == Kind::text || from.kind == Kind::raw) {
        return set_text(store, &to, text_of(from.text), from.kind);
    }
    if (!has_children(&from)) {
        return set(store, &to, from);
    }
    to.kind = from.kind;
    for (const Node *child = from.first; child; child = child->next) {
        Node *copied = append(store, &to);
        if (copied && child->key) {
            copied->key = copy_text(store, text_of(child->key));
        }
        bool has_key = copied && !copied->key == !child->key;
        if (!has_key || !copy_into(store, *copied, *child)) {
            return false;
        }
    }
    return true;
}

bool copy(Store &store, Node *node, const Node *from) {
    Node value;
    bool is_whole = node && (!from || copy_into(store, value, *from));
    return set(store, node, value) && is_whole;
}
}
