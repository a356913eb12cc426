/* libcxx/end.h: read behind the headers of C++'s standard library: what its compiled part would define, where a program
 * may need it. Then the names that no program may use, as toolchain.py has them. Programs cannot include it. */
#pragma once
#pragma GCC system_header
/* What the program may include later, and Arduino.h does: the names that are forbidden below stand in these. */
#include <cctype>
#include <cerrno>
#include <cinttypes>
#include <climits>
#include <cmath>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdbool.h>
#ifdef _LIBCPP___ALGORITHM_SORT_H
namespace std {
inline namespace __1 {
/* Always inline: libc++ says that the sorting of numbers is defined elsewhere. */
template <class Less, class At> __attribute__((always_inline)) inline void __sort(At first, At last, Less) {
    if (first != last) {
        __less<> less;
        auto depth = 2 * std::__bit_log2(static_cast<size_t>(last - first));
        std::__introsort<_ClassicAlgPolicy, __less<> &, At, false>(first, last, less, depth);
    }
}
}
}
#endif
#ifdef _LIBCPP___MEMORY_SHARED_COUNT_H
namespace std {
inline namespace __1 {
inline __shared_count::~__shared_count() {}
inline __shared_weak_count::~__shared_weak_count() {}
inline const void *__shared_weak_count::__get_deleter(const type_info &) const noexcept { return nullptr; }
inline void __shared_weak_count::__release_weak() noexcept {
    if (__shared_weak_owners_-- == 0) {
        __on_zero_shared_weak();
    }
}
inline __shared_weak_count *__shared_weak_count::lock() noexcept {
    if (__shared_count::use_count() == 0) {
        return nullptr;
    }
    __add_shared();
    return this;
}
}
}
#endif
#ifdef _LIBCPP___FUNCTIONAL_HASH_H
namespace std {
inline namespace __1 {
inline size_t __hash_memory(_LIBCPP_NOESCAPE const void *data, size_t size) noexcept { /* FNV-1a */
    size_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ static_cast<const unsigned char *>(data)[i]) * 16777619u;
    }
    return hash;
}
}
}
#endif
#ifdef _LIBCPP___HASH_TABLE
namespace std {
inline namespace __1 {
inline size_t __next_prime(size_t least) {
    for (size_t prime = least < 3 ? least : least | 1;; prime += 2) {
        size_t by = 3;
        while (by * by <= prime && prime % by) {
            by += 2;
        }
        if (by * by > prime) {
            return prime;
        }
    }
}
}
}
#endif
#ifdef _LIBCPP_STRING
namespace std {
inline namespace __1 {
#define WRITTEN_(type, format)                                  \
    inline string to_string(type value) {                       \
        char text[24];                                          \
        snprintf(text, sizeof text, format, value);             \
        return text;                                            \
    }
WRITTEN_(int, "%d")
WRITTEN_(unsigned, "%u")
WRITTEN_(long, "%ld")
WRITTEN_(unsigned long, "%lu")
WRITTEN_(long long, "%lld")
WRITTEN_(unsigned long long, "%llu")
#undef WRITTEN_
inline string to_string(double value) {
    string text(static_cast<size_t>(snprintf(nullptr, 0, "%f", value)), '\0');
    snprintf(&text[0], text.size() + 1, "%f", value);
    return text;
}
inline string to_string(float value) { return to_string(static_cast<double>(value)); }
/* Where nothing can be read, where libc++ throws, the program says so and ends. */
template <typename Value, typename Reader> Value microclaw_read(const string &text, size_t *at, Reader reader) {
    char *end = nullptr;
    Value value = reader(text.c_str(), &end);
    if (end == text.c_str()) {
        microclaw_library_failed("std::sto...: no number in \"%s\"", text.c_str());
    }
    if (at) {
        *at = static_cast<size_t>(end - text.c_str());
    }
    return value;
}
#define READ_(type, name, function, ...)                                                                     \
    inline type name(const string &text, size_t *at __VA_OPT__(, int base)) {                                \
        return microclaw_read<type>(                                                                         \
            text, at, [=](const char *from, char **end) { return static_cast<type>(function(from, end __VA_OPT__(, base))); }); \
    }
READ_(int, stoi, strtol, base)
READ_(long, stol, strtol, base)
READ_(unsigned long, stoul, strtoul, base)
READ_(long long, stoll, strtoll, base)
READ_(unsigned long long, stoull, strtoull, base)
READ_(float, stof, strtof)
READ_(double, stod, strtod)
#undef READ_
}
}
#endif
#undef __has_include
#undef __has_include_next
#undef __has_embed
#undef _Pragma
#define __has_include(header) 0 /* cassert and stdio.h of libc++ ask each time that they are read */
#define __has_include_next(header) 0
#define asm __microclaw_no_assembly
#define __asm __microclaw_no_assembly
#define __asm__ __microclaw_no_assembly
