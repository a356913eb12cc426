/* assert.h: a failed assertion prints file, line, function and text, then ends the program as the firmware does. */
#undef assert
#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) ((condition) ? (void)0 : microclaw_assert_failed(#condition, __FILE__, __LINE__, __func__))
#endif
#ifndef MICROCLAW_ASSERT
#define MICROCLAW_ASSERT
#ifdef __cplusplus
extern "C"
#else
#define static_assert _Static_assert
#endif
__attribute__((noreturn)) void microclaw_assert_failed(const char *text, const char *file, int line, const char *function);
#endif
