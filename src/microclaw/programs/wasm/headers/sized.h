/* sized.h: for checked_writes.h and plain_format.h: a parameter that brings the room behind its pointer, and a function whose
 * calls the compiler checks as it does those of another, with these of its parameters. */
#pragma once
#define MC_SIZED __attribute__((pass_dynamic_object_size(1)))
#define MC_CHECKS(...) __attribute__((overloadable, diagnose_as_builtin(__VA_ARGS__)))
