/* What a program says before it traps on undefined behaviour: clang calls these where -fsanitize of toolchain.py looks.
 * The data of each begins with the place; layouts are those of compiler-rt's ubsan_handlers.h and ubsan_value.h. */
#include "libc.h"
#include <stdint.h>

struct place {
    const char *file;
    uint32_t line, column;
};

struct type {
    uint16_t kind, info; /* an integer's info: bit 0 signed, above it the binary logarithm of its bits */
    char name[];         /* in quotes */
};

struct on_types {
    struct place at;
    const struct type *one, *other;
};

/* A value of at most 32 bits comes as it is, a longer one by its address. */
static int value(const struct type *type, uintptr_t given) {
    return type->kind == 0 && type->info >> 1 > 5 ? (int)*(const int64_t *)given : (int)given;
}

static __attribute__((noreturn, noinline)) void end(const struct place *at, const char *text, int number, const char *name) {
    native_printf("line %d column %d: ", at->line, at->column);
    native_printf(text, number, name);
    native_printf("\n");
    __builtin_trap();
}

void __ubsan_handle_out_of_bounds_abort(const struct on_types *data, uintptr_t index) {
    end(&data->at, "index %d is outside %s", value(data->other, index), data->one->name);
}

void __ubsan_handle_shift_out_of_bounds_abort(const struct on_types *data, uintptr_t shifted, uintptr_t by) {
    (void)shifted;
    end(&data->at, "a shift by %d of %s", value(data->other, by), data->one->name);
}

void __ubsan_handle_divrem_overflow_abort(const struct on_types *data, uintptr_t dividend, uintptr_t divisor) {
    (void)dividend;
    end(&data->at, "a division by %d of %s", value(data->one, divisor), data->one->name);
}

void __ubsan_handle_type_mismatch_v1_abort(const struct place *at, uintptr_t pointer) {
    end(at, "a null pointer is used", (int)pointer, "");
}

void __ubsan_handle_vla_bound_not_positive_abort(const struct place *at, uintptr_t bound) {
    end(at, "an array of %d elements", (int)bound, "");
}

void __ubsan_handle_builtin_unreachable(const struct place *at) { end(at, "it must not be reached", 0, ""); }

void __ubsan_handle_missing_return(const struct place *at) { end(at, "a function that returns a value ends here", 0, ""); }
