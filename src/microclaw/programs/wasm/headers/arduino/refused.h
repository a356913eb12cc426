/* arduino/refused.h: a mark for a call that cannot be served: the compiler then gives the reason of this id in refusals.toml. */
#pragma once
#define MICROCLAW_REFUSED_(condition, id) __attribute__((diagnose_if(condition, "microclaw refuses " id, "error")))
