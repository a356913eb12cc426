/* libcxx/begin.h: read before the headers of C++'s standard library (libc++ of the ziglang wheel), of which only templates
 * are used: there is no compiled part, no thread, no file, no locale. A failed check of theirs tells and ends the program
 * (arduino/memory.cpp). Programs cannot include it. */
#pragma once
#pragma GCC system_header
#define MICROCLAW_LIBCXX
#define _LIBCPP_ABI_VERSION 1
#define _LIBCPP_ABI_NAMESPACE __1
#define _LIBCPP_HAS_THREADS 0
#define _LIBCPP_HAS_MONOTONIC_CLOCK 0
#define _LIBCPP_HAS_TERMINAL 0
#define _LIBCPP_HAS_FILESYSTEM 0
#define _LIBCPP_HAS_LOCALIZATION 0
#define _LIBCPP_HAS_UNICODE 0
#define _LIBCPP_HAS_WIDE_CHARACTERS 0
#define _LIBCPP_HAS_RANDOM_DEVICE 0
#define _LIBCPP_HAS_TIME_ZONE_DATABASE 0
#define _LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS 0
#define _LIBCPP_PSTL_BACKEND_SERIAL
#define _LIBCPP_REMOVE_TRANSITIVE_INCLUDES /* halves the time to compile */
#define _LIBCPP_HARDENING_MODE_DEFAULT 4   /* fast: indices, and front of what is empty */
#define _LIBCPP_ASSERTION_SEMANTIC_DEFAULT 4

/* Of C's library, what libc++ asks for by name. */
#define _LIBCPP___MBSTATE_T_H
typedef struct {
    int state;
} mbstate_t;
typedef struct {
    long long whole;
    long double real;
} max_align_t;
extern "C" int remove(const char *path);

extern "C" void microclaw_library_failed(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define _LIBCPP_VERBOSE_ABORT(...) ::microclaw_library_failed(__VA_ARGS__)
#include <__assert>
#undef _LIBCPP_ASSERT /* theirs has the header's path in the text */
#define _LIBCPP_ASSERT(expression, message) \
    (__builtin_expect(static_cast<bool>(expression), 1) ? (void)0 : ::microclaw_library_failed("%s", message))

/* The functions of std::string belong to the program, not to a library. */
#include <__string/extern_template_lists.h>
#undef _LIBCPP_STRING_V1_EXTERN_TEMPLATE_LIST
#define _LIBCPP_STRING_V1_EXTERN_TEMPLATE_LIST(declare, type)
