/* What clang calls where -fsanitize=kernel-address looks: the checked build of a program, which only trials run. A shadow byte
 * tells of 8 bytes of memory: 0 all may be used, 1 to 7 so many of them, above why not. Layouts are those of LLVM's
 * AddressSanitizer; the virtual board (virtual/runtime/shadow.py) keeps the heap's and words the fault. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST(name) __attribute__((import_module("microclaw"), import_name(name)))
#define SHADOW_BYTES 65536 /* of 512 KB of memory */

HOST("fault") void microclaw_fault(uintptr_t at, size_t size, bool writes);
HOST("globals") void microclaw_globals(const void *table, size_t count);

static unsigned char shadow[SHADOW_BYTES];

__attribute__((export_name("microclaw_shadow"))) void *microclaw_shadow(void) { return shadow; }

static __attribute__((noinline)) void look(uintptr_t at, size_t size, bool writes) {
    uintptr_t last = at + size - 1;
    for (uintptr_t granule = at >> 3; granule <= last >> 3; granule++) {
        uintptr_t end = granule == last >> 3 ? last & 7 : 7;
        if (shadow[granule] && (int)end >= (signed char)shadow[granule]) {
            microclaw_fault(at, size, writes);
            return;
        }
    }
}

static inline __attribute__((always_inline)) void check(uintptr_t at, size_t size, bool writes) {
    uintptr_t first = at >> 3, last = (at + size - 1) >> 3;
    if (!size || last >= SHADOW_BYTES || last < first) {
        return; /* outside of memory it traps by itself */
    }
    if (last - first > 1 || shadow[first] | shadow[last]) {
        look(at, size, writes);
    }
}

#define CHECKS(size)                                                                                                   \
    void __asan_load##size##_noabort(uintptr_t at) { check(at, size, false); }                                         \
    void __asan_store##size##_noabort(uintptr_t at) { check(at, size, true); }
CHECKS(1)
CHECKS(2)
CHECKS(4)
CHECKS(8)
CHECKS(16)
void __asan_loadN_noabort(uintptr_t at, size_t size) { check(at, size, false); }
void __asan_storeN_noabort(uintptr_t at, size_t size) { check(at, size, true); }

static void set(uintptr_t at, size_t size, unsigned char value) {
    for (size_t i = 0; i < size && at + i < SHADOW_BYTES; i++) {
        shadow[at + i] = value;
    }
}

/* Of the stack's variables: where their shadow lies, counted from that of address 0. */
#define SETS(value)                                                                                                    \
    void __asan_set_shadow_##value(uintptr_t at, size_t size) { set(at, size, 0x##value); }
SETS(00)
SETS(01)
SETS(02)
SETS(03)
SETS(04)
SETS(05)
SETS(06)
SETS(07)
SETS(f1)
SETS(f2)
SETS(f3)
SETS(f5)
SETS(f8)

/* Before a call that does not return, as exit: the frames that it leaves are never left in order. The data begins where the
 * stack does, which grows down from there to 0. */
extern unsigned char __global_base[];
void __asan_handle_no_return(void) { set(2, ((uintptr_t)__global_base >> 3) - 2, 0); }

void __asan_register_globals(const void *table, size_t count) { microclaw_globals(table, count); }
void __asan_unregister_globals(const void *table, size_t count) {
    (void)table;
    (void)count;
}
