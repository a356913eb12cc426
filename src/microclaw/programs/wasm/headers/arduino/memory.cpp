/* new and delete on the firmware's heap. A program whose `new` cannot be served would write to address 0, which is its
 * stack: it says so and ends instead. */
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
extern "C" {
__attribute__((import_module("env"), import_name("printf"))) int microclaw_native_printf(const char *format, ...);
__attribute__((import_module("env"), import_name("vprintf"))) int microclaw_native_vprintf(const char *format, va_list list);

__attribute__((noinline, cold, noreturn)) void microclaw_no_memory(unsigned long size) {
    microclaw_native_printf("the heap has no %lu bytes left: the program ends here\n", size);
    __builtin_trap();
}

/* A check of C++'s library that failed, or what would throw there (libcxx/begin.h). */
__attribute__((noinline, cold, noreturn)) void microclaw_library_failed(const char *format, ...) {
    va_list list;
    va_start(list, format);
    microclaw_native_printf("C++'s library: ");
    microclaw_native_vprintf(format, list);
    microclaw_native_printf(": the program ends here\n");
    __builtin_trap();
}

__attribute__((noinline, cold, noreturn)) void __cxa_pure_virtual(void) {
    microclaw_native_printf("a pure virtual function was called: the program ends here\n");
    __builtin_trap();
}
}

void *operator new(size_t size) {
    void *made = malloc(size ? size : 1);
    if (!made) {
        microclaw_no_memory(size);
    }
    return made;
}

void *operator new[](size_t size) { return operator new(size); }

void operator delete(void *what) noexcept { free(what); }
void operator delete[](void *what) noexcept { free(what); }
void operator delete(void *what, size_t) noexcept { free(what); }
void operator delete[](void *what, size_t) noexcept { free(what); }
