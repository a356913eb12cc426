/* Where a program is, for the virtual board: it calls the one from a native and reads the calls off the trap; the other says
 * after a trap whether the stack ran over. */
#include <stdint.h>

__attribute__((export_name("microclaw_here"))) void microclaw_here(void) { __builtin_trap(); }

__attribute__((export_name("microclaw_stack"))) uintptr_t microclaw_stack(void) {
    uintptr_t value;
    __asm__ volatile(".globaltype __stack_pointer, i32\nglobal.get __stack_pointer\nlocal.set %0" : "=r"(value));
    return value;
}
