/* ArduinoJson.h: JSON as in versions 6 and 7 of the library, our own code behind its names. A document has at most 16 KB and ten
 * levels, whatever size it is given. There are no filters, no MessagePack and nothing of version 5. */
#pragma once
#include <Arduino.h>
#include <arduino/json.h>
#define ARDUINOJSON_VERSION "7.0.0"
#define ARDUINOJSON_VERSION_MAJOR 7
#define ARDUINOJSON_VERSION_MINOR 0
#define ARDUINOJSON_VERSION_REVISION 0
/* Sizes of version 6: documents take what they need. */
#define JSON_ARRAY_SIZE(count) ((count) * sizeof(microclaw_json::Node))
#define JSON_OBJECT_SIZE(count) JSON_ARRAY_SIZE(count)
#define JSON_STRING_SIZE(length) ((length) + 1)

class JsonArray;
class JsonObject;
class JsonVariant;
template <typename Parent> class JsonPlace;

/* A text that is written as it is: doc["t"] = serialized(String(t, 1)). */
class SerializedText : public JsonString {
  public:
    SerializedText(const JsonString &text) : JsonString(text) {}
};
inline SerializedText serialized(const JsonString &text) { return text; }

namespace microclaw_json {
struct Readable {}; /* what has find() */

template <typename T> constexpr bool is_readable = __is_base_of(Readable, T);
template <typename T> constexpr bool is_whole = __is_integral(T) || __is_enum(T);
template <typename T> constexpr bool is_text = __is_same(T, const char *) || __is_same(T, String) || __is_base_of(JsonString, T);
template <typename T> constexpr bool is_handle = __is_same(T, JsonVariant) || __is_same(T, JsonObject) || __is_same(T, JsonArray);
template <typename T> constexpr bool is_known = is_whole<T> || __is_floating_point(T) || is_text<T> || is_handle<T>;
template <typename T> constexpr bool is_signed = __is_enum(T) || T(-1) < T(0);
template <typename T> constexpr unsigned long long greatest = ~0ull >> (64 - 8 * sizeof(T) + is_signed<T>);
template <typename T> constexpr long long least = is_signed<T> ? -(long long)greatest<T> - 1 : 0;
template <bool condition> struct If {};
template <> struct If<true> {
    typedef int type;
};
template <typename T> using IfWhole = typename If<is_whole<T>>::type;
template <typename T> using IfKnown = typename If<is_known<T>>::type;
template <typename T> using IfReadable = typename If<is_readable<T>>::type;
template <typename T> T by_value(T value);
template <typename T> using ByValue = decltype(by_value(*(T *)nullptr));
template <typename T> constexpr bool is_json = is_readable<T> || is_known<T> || __is_same(T, char *) || __is_same(T, decltype(nullptr));
#define MICROCLAW_OF_JSON_ MICROCLAW_REFUSED_(!microclaw_json::is_json<microclaw_json::ByValue<T>>, "values that JSON has not")

template <typename T> Node node_of(T value) {
    if constexpr (__is_same(T, bool)) {
        return boolean_node(value);
    } else if constexpr (is_whole<T>) {
        return integer_node(is_signed<T> && (long long)value < 0, (unsigned long long)value);
    } else {
        return real_node(value);
    }
}

template <typename T> bool set(Store &store, Node *node, const T &value) {
    typedef ByValue<T> Type;
    if constexpr (is_readable<Type>) {
        return copy(store, node, value.find());
    } else if constexpr (__is_same(Type, decltype(nullptr))) {
        return set(store, node, Node());
    } else if constexpr (is_text<Type> || __is_same(Type, char *)) {
        return set_text(store, node, value, __is_same(Type, SerializedText) ? Kind::raw : Kind::text);
    } else {
        return set(store, node, node_of<Type>(value));
    }
}

template <typename T> bool is_equal(const Node *node, const T &value) {
    typedef ByValue<T> Type;
    if constexpr (is_readable<Type>) {
        return to_string(node) == to_string(value.find());
    } else if constexpr (is_text<Type> || __is_same(Type, char *) || __is_same(Type, decltype(nullptr))) {
        JsonString other(value);
        return is_kind(node, Kind::text) ? text_of(node->text) == other : !other && (!node || node->kind == Kind::nothing);
    } else {
        bool is_near = (is_number(node) || is_kind(node, Kind::boolean)) && to_real(node) == (double)value;
        return is_near && (node->kind == Kind::real || __is_floating_point(Type) || node->natural == (unsigned long long)value);
    }
}

/* What documents, values and the places of values have. Self has find(), make() and store(). */
template <typename Self> class Value : public Readable {
  public:
    template <typename T> T as() const MICROCLAW_REFUSED_(!is_known<T>, "values that JSON has not") {
        const Node *node = find();
        if constexpr (__is_same(T, bool)) {
            return to_boolean(node);
        } else if constexpr (is_whole<T>) {
            return (T)to_integer(node, least<T>, greatest<T>);
        } else if constexpr (__is_floating_point(T)) {
            return (T)to_real(node);
        } else if constexpr (__is_same(T, String)) {
            return to_string(node);
        } else if constexpr (is_text<T>) {
            return is_kind(node, Kind::text) ? T(node->text->characters()) : T();
        } else {
            return T(&store(), is<T>() ? find() : nullptr);
        }
    }
    template <typename T> bool is() const MICROCLAW_REFUSED_(!is_known<T>, "values that JSON has not") {
        const Node *node = find();
        if constexpr (__is_same(T, bool)) {
            return is_kind(node, Kind::boolean);
        } else if constexpr (is_whole<T>) {
            return is_integer(node, least<T>, greatest<T>);
        } else if constexpr (__is_floating_point(T)) {
            return is_number(node);
        } else if constexpr (is_text<T>) {
            return is_kind(node, Kind::text);
        } else {
            bool is_wanted = is_kind(node, __is_same(T, JsonArray) ? Kind::array : Kind::object);
            return is_wanted || (__is_same(T, JsonVariant) && node);
        }
    }
    template <typename T> T to() const { return emptied<T>(make()); }
    template <typename T> bool set(const T &value) const MICROCLAW_OF_JSON_ { return microclaw_json::set(store(), make(), value); }
    bool isNull() const { return !find() || find()->kind == Kind::nothing; }
    size_t size() const { return count(find()); }
    size_t memoryUsage() const { return store().used; }
    void clear() const { set(nullptr); }

    JsonPlace<Self> operator[](const char *key) const { return {self(), key, 0}; }
    JsonPlace<Self> operator[](const String &key) const { return {self(), key, 0}; }
    JsonPlace<Self> operator[](const JsonString &key) const { return {self(), key, 0}; }
    template <typename T, typename = IfWhole<T>> JsonPlace<Self> operator[](T index) const { return {self(), {}, (size_t)index}; }
    bool containsKey(const JsonString &key) const { return find_member(find(), key); }
    void remove(const JsonString &key) const { remove_node(find_member(find(), key)); }
    template <typename T, typename = IfWhole<T>> void remove(T index) const { remove_node(find_element(find(), (size_t)index)); }

    template <typename T> bool add(const T &value) const MICROCLAW_OF_JSON_ { return microclaw_json::set(store(), new_element(), value); }
    template <typename T = JsonVariant> T add() const { return emptied<T>(new_element()); }
    template <typename T = JsonArray> T createNestedArray() const { return add<T>(); }
    template <typename T = JsonObject> T createNestedObject() const { return add<T>(); }
    template <typename T = JsonArray> T createNestedArray(const JsonString &key) const { return (*this)[key].template to<T>(); }
    template <typename T = JsonObject> T createNestedObject(const JsonString &key) const { return (*this)[key].template to<T>(); }

  protected:
    const Self &self() const { return *static_cast<const Self *>(this); }
    Node *find() const { return self().find(); }
    Node *make() const { return self().make(); }
    Store &store() const { return self().store(); }
    Node *new_element() const { return make_element(store(), make(), size()); }
    void remove_node(Node *child) const { microclaw_json::remove(store(), find(), child); }
    template <typename T> T emptied(Node *node) const {
        static_assert(is_handle<T>, "a value becomes a JsonObject, a JsonArray or a JsonVariant");
        Node empty;
        empty.kind = __is_same(T, JsonVariant) ? Kind::nothing : __is_same(T, JsonArray) ? Kind::array : Kind::object;
        microclaw_json::set(store(), node, empty);
        return T(&store(), node);
    }
};

/* A value also stands for a number or a text. */
template <typename Self> class Scalar : public Value<Self> {
  public:
    template <typename T, typename = IfKnown<T>> operator T() const { return this->template as<T>(); }
    template <typename T> T operator|(T otherwise) const { return this->template is<T>() ? this->template as<T>() : otherwise; }
    template <typename T> bool operator==(const T &other) const { return is_equal(this->find(), other); }
    template <typename T> bool operator!=(const T &other) const { return !(*this == other); }
    template <typename T> bool operator<(const T &other) const { return to_real(this->find()) < (double)other; }
    template <typename T> bool operator>(const T &other) const { return to_real(this->find()) > (double)other; }
    template <typename T> bool operator<=(const T &other) const { return to_real(this->find()) <= (double)other; }
    template <typename T> bool operator>=(const T &other) const { return to_real(this->find()) >= (double)other; }
};

/* What refers to a value that is there, or to none. */
template <typename Base> class Reference : public Base {
  public:
    constexpr Reference(Store *store = &no_document, Node *node = nullptr) : store_(store), node_(node) {}
    Node *find() const { return node_; }
    Node *make() const { return node_; }
    Store &store() const { return *store_; }

  protected:
    Store *store_;
    Node *node_;
};

/* The next item is known before the loop's body, which may remove this one. */
template <typename Item> class Iterator {
  public:
    Iterator(Store *store, Node *node) : store_(store), node_(node), next_(node ? node->next : nullptr), item_(store, node) {}
    Item &operator*() { return item_; }
    Item *operator->() { return &item_; }
    Iterator &operator++() { return *this = Iterator(store_, next_); }
    bool operator==(const Iterator &other) const { return node_ == other.node_; }
    bool operator!=(const Iterator &other) const { return node_ != other.node_; }
    Node *node() const { return node_; }

  private:
    Store *store_;
    Node *node_, *next_;
    Item item_;
};

template <typename Self, typename Item> class Children : public Reference<Value<Self>> {
  public:
    typedef Iterator<Item> iterator;
    using Reference<Value<Self>>::Reference;
    using Value<Self>::remove;
    iterator begin() const { return iterator(this->store_, this->node_ ? this->node_->first : nullptr); }
    iterator end() const { return iterator(this->store_, nullptr); }
    void remove(iterator item) const { this->remove_node(item.node()); }
    explicit operator bool() const { return this->node_; }
    template <typename T, typename = typename If<__is_same(T, JsonVariant)>::type> operator T() const { return T(this->store_, this->node_); }
};
}

class JsonVariant : public microclaw_json::Reference<microclaw_json::Scalar<JsonVariant>> {
    using Reference::Reference;
};
class JsonPair {
  public:
    JsonPair(microclaw_json::Store *store, microclaw_json::Node *node) : value_(store, node) {}
    JsonString key() const { return text_of(value_.find()->key); }
    JsonVariant value() const { return value_; }

  private:
    JsonVariant value_;
};
class JsonArray : public microclaw_json::Children<JsonArray, JsonVariant> {
    using Children::Children;
};
class JsonObject : public microclaw_json::Children<JsonObject, JsonPair> {
    using Children::Children;
};
typedef JsonVariant JsonVariantConst;
typedef JsonArray JsonArrayConst;
typedef JsonObject JsonObjectConst;
typedef JsonPair JsonPairConst;

/* The place of a member or, without a key, of an element. It is made when it gets a value. */
template <typename Parent> class JsonPlace : public microclaw_json::Scalar<JsonPlace<Parent>> {
  public:
    JsonPlace(const Parent &parent, const JsonString &key, size_t index) : parent_(parent), key_(key), index_(index) {}
    JsonPlace(const JsonPlace &other) = default;
    const JsonPlace &operator=(const JsonPlace &other) const { return this->set(other), *this; }
    template <typename T> const JsonPlace &operator=(const T &value) const MICROCLAW_OF_JSON_ { return this->set(value), *this; }
    microclaw_json::Node *find() const { return key_ ? find_member(parent_.find(), key_) : find_element(parent_.find(), index_); }
    microclaw_json::Node *make() const {
        return key_ ? make_member(store(), parent_.make(), key_) : make_element(store(), parent_.make(), index_);
    }
    microclaw_json::Store &store() const { return parent_.store(); }

  private:
    Parent parent_;
    JsonString key_;
    size_t index_;
};

/* The owner of its values; to its members it is a variant. */
class JsonDocument : public JsonVariant {
  public:
    constexpr JsonDocument() : JsonVariant(&own_, &own_.root) {}
    explicit JsonDocument(size_t) : JsonDocument() {}
    JsonDocument(const JsonDocument &other) : JsonDocument() { set(other); }
    template <typename T, typename = microclaw_json::IfReadable<T>> JsonDocument(const T &value) : JsonDocument() { set(value); }
    ~JsonDocument() { clear(); }
    JsonDocument &operator=(const JsonDocument &other) { return set(other), *this; }
    template <typename T> JsonDocument &operator=(const T &value) MICROCLAW_OF_JSON_ { return set(value), *this; }
    void clear() {
        JsonVariant::clear();
        own_.is_overflowed = false;
    }
    bool overflowed() const { return own_.is_overflowed; }
    size_t capacity() const { return microclaw_json::MOST_BYTES; }
    void shrinkToFit() {}
    bool garbageCollect() { return true; }

  private:
    microclaw_json::Store own_;
};
typedef JsonDocument DynamicJsonDocument;
template <size_t> using StaticJsonDocument = JsonDocument;

inline DeserializationError deserializeJson(JsonVariant to, const JsonString &text) {
    return microclaw_json::read(to.store(), to.find(), text, nullptr);
}
inline DeserializationError deserializeJson(JsonVariant to, const void *text, size_t length) {
    return deserializeJson(to, JsonString((const char *)text, length));
}
inline DeserializationError deserializeJson(JsonVariant to, Stream &stream) {
    return microclaw_json::read(to.store(), to.find(), JsonString(), &stream);
}

#define MICROCLAW_WRITE_(name, indent) \
    template <typename T> size_t serialize##name(const T &value, Print &out) { \
        return microclaw_json::write(value.find(), out, indent); \
    } \
    template <typename T> size_t serialize##name(const T &value, String &out) { \
        microclaw_json::ToString text(out); \
        return serialize##name(value, text); \
    } \
    template <typename T> size_t serialize##name(const T &value, void *out, size_t size) { \
        microclaw_json::ToMemory memory(out, size); \
        return serialize##name(value, memory); \
    } \
    template <typename T, size_t size> size_t serialize##name(const T &value, char (&out)[size]) { \
        return serialize##name(value, out, size); \
    } \
    template <typename T> size_t measure##name(const T &value) { \
        microclaw_json::Counter counter; \
        return serialize##name(value, counter); \
    }
MICROCLAW_WRITE_(Json, microclaw_json::ONE_LINE)
MICROCLAW_WRITE_(JsonPretty, 0)
#undef MICROCLAW_WRITE_
#undef MICROCLAW_OF_JSON_
