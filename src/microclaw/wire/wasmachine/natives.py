"""The table of native functions that ESP-WASMachine firmware offers to apps (module `env`); it implements none of them.

Source: WAMR 1.3.3 libc-builtin and app-framework, esp-wasmachine a07f7c2, esp-wdf 54fc350.
A signature is WAMR's: i, I, f, F are i32, i64, f32, f64; `*` a pointer, `~` the length of the buffer before it, `$` a
NUL-terminated string, these three i32 in wasm.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from msgspec import Struct

WASM_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "*": "i32", "~": "i32", "$": "i32"}
)
NATIVE_MODULE: Final = "env"


class NativeGroup(StrEnum):
    """A part that a firmware build has or lacks as a whole; a board profile lists its groups."""

    LIBC_BUILTIN = "libc_builtin"
    LIBC_EXT = "libc_ext"
    LIBM = "libm"
    APP_FRAMEWORK = "app_framework"
    MQTT = "mqtt"
    HTTP = "http"
    LVGL = "lvgl"
    WIFI_PROV = "wifi_prov"
    RAINMAKER = "rainmaker"
    PTHREAD = "pthread"


class Native(Struct, frozen=True):
    """One native function; `params` and `results` are wasm value types."""

    name: str
    signature: str
    prototype: str
    group: NativeGroup
    params: tuple[str, ...]
    results: tuple[str, ...]


def parse_signature(signature: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Parameter and result types of a WAMR signature such as `(iIi)I`; ValueError for anything else."""
    opening, _, rest = signature.partition("(")
    letters, closing, result = rest.rpartition(")")
    if opening or not closing or len(result) > 1 or any(c not in WASM_TYPES for c in letters + result):
        raise ValueError(f"not a WAMR signature: {signature!r}")
    return tuple(WASM_TYPES[c] for c in letters), tuple(WASM_TYPES[c] for c in result)


# A group in brackets, then its rows: signature | prototype. `long` and pointers are 32 bits wide, time_t, clock_t and
# off_t are 64. pread and pwrite take a 32-bit offset here though off_t is 64 bits wide in wasi headers: such a module
# does not link. ioctl's third argument is the address of the variadic arguments (ioctl.py); fstat always answers -1.
_TABLE: Final = """
[libc_builtin]
($*)i | int printf(const char *format, ...)
($$*)i | int sprintf(char *out, const char *format, ...)
(*~$*)i | int snprintf(char *out, size_t size, const char *format, ...)
($*)i | int vprintf(const char *format, va_list ap)
($$*)i | int vsprintf(char *out, const char *format, va_list ap)
(*~$*)i | int vsnprintf(char *out, size_t size, const char *format, va_list ap)
($)i | int puts(const char *text)
(i)i | int putchar(int c)
(**~)i | int memcmp(const void *a, const void *b, size_t n)
(**~)i | void *memcpy(void *to, const void *from, size_t n)
(**~)i | void *memmove(void *to, const void *from, size_t n)
(*ii)i | void *memset(void *to, int c, size_t n)
($i)i | char *strchr(const char *s, int c)
($$)i | int strcmp(const char *a, const char *b)
(*$)i | char *strcpy(char *to, const char *from)
($)i | size_t strlen(const char *s)
(**~)i | int strncmp(const char *a, const char *b, size_t n)
(**~)i | char *strncpy(char *to, const char *from, size_t n)
(i)i | void *malloc(size_t size)
(ii)i | void *realloc(void *p, size_t size)
(ii)i | void *calloc(size_t count, size_t size)
($)i | char *strdup(const char *s)
($)i | char *_strdup(const char *s)
(*) | void free(void *p)
($)i | int atoi(const char *s)
(i) | void exit(int status)
($*i)i | long strtol(const char *s, char **end, int base)
($*i)i | unsigned long strtoul(const char *s, char **end, int base)
(*ii)i | void *memchr(const void *s, int c, size_t n)
($$i)i | int strncasecmp(const char *a, const char *b, size_t n)
($$)i | size_t strspn(const char *s, const char *accept)
($$)i | size_t strcspn(const char *s, const char *reject)
($$)i | char *strstr(const char *s, const char *find)
(i)i | int isupper(int c)
(i)i | int isalpha(int c)
(i)i | int isspace(int c)
(i)i | int isgraph(int c)
(i)i | int isprint(int c)
(i)i | int isdigit(int c)
(i)i | int isxdigit(int c)
(i)i | int tolower(int c)
(i)i | int toupper(int c)
(i)i | int isalnum(int c)
(**~)i | void *emscripten_memcpy_big(void *to, const void *from, size_t n)
(i) | void abort(int code)
(i) | void abortStackOverflow(int code)
(i) | void nullFunc_X(int code)
(i)i | void *__cxa_allocate_exception(size_t size)
(*) | void __cxa_begin_catch(void *exception)
(**i) | void __cxa_throw(void *exception, void *type, void (*destructor)(void *))
(i*)i | int clock_gettime(clockid_t clock, struct timespec *now)
()I | clock_t clock(void)
[libc_ext]
($ii)i | int open(const char *path, int flags, ...)
(i*~)i | ssize_t read(int fd, void *buffer, size_t size)
(i*~)i | ssize_t write(int fd, const void *buffer, size_t size)
(i*~i)i | ssize_t pread(int fd, void *buffer, size_t size, long offset)
(i*~i)i | ssize_t pwrite(int fd, const void *buffer, size_t size, long offset)
(iIi)I | off_t lseek(int fd, off_t offset, int whence)
(iii)i | int fcntl(int fd, int command, int argument)
(i)i | int fsync(int fd)
(i)i | int close(int fd)
(ii*)i | int ioctl(int fd, int command, ...)
(i*)i | int fstat(int fd, struct stat *out)
(i)i | unsigned sleep(unsigned seconds)
(i)i | int usleep(useconds_t microseconds)
(*)I | time_t time(time_t *out)
(i) | void srand(unsigned seed)
()i | int rand(void)
(ii)i | struct tm *localtime_r(const time_t *time, struct tm *out)
[libm]
(f)f | float sinf(float x)
(f)f | float cosf(float x)
(FF)F | double pow(double x, double y)
[app_framework]
($) | void wasm_register_resource(const char *url)
(*~)i | int wasm_response_send(const char *buf, int size)
(*~) | void wasm_post_request(const char *buf, int size)
($) | void wasm_sub_event(const char *url)
(iii)i | timer_id_t wasm_create_timer(int interval, bool is_period, bool auto_start)
(i) | void wasm_timer_destroy(timer_id_t timer)
(i) | void wasm_timer_cancel(timer_id_t timer)
(ii) | void wasm_timer_restart(timer_id_t timer, int interval)
()i | uint32_t wasm_get_sys_tick_ms(void)
[mqtt]
(**)i | int wasm_mqtt_init(uint32_t *handle, attr_container_t *args)
(i)i | int wasm_mqtt_destory(uint32_t handle)
(i)i | int wasm_mqtt_start(uint32_t handle)
(i)i | int wasm_mqtt_stop(uint32_t handle)
(i)i | int wasm_mqtt_reconnect(uint32_t handle)
(i)i | int wasm_mqtt_disconnect(uint32_t handle)
(i$*ii)i | int wasm_mqtt_publish(uint32_t handle, const char *topic, void *data, size_t len, uint8_t qos)
(i$i)i | int wasm_mqtt_subscribe(uint32_t handle, const char *topic, uint8_t qos)
(i$)i | int wasm_mqtt_unsubscribe(uint32_t handle, const char *topic)
(i$*iiii)i | int wasm_mqtt_enqueue(uint32_t, const char *, const char *, int, int, int, bool)
(i$)i | int wasm_mqtt_set_uri(uint32_t handle, const char *uri)
(i*)i | int wasm_mqtt_config(uint32_t handle, attr_container_t *args)
(i)i | int wasm_mqtt_get_outbox_size(uint32_t handle)
[http]
(ii*)i | int wasm_http_client_call_native_func(int32_t func_id, uint32_t argc, uint32_t *argv)
[lvgl]
(i)i | int esp_lvgl_init(uint32_t version)
()i | int esp_lvgl_deinit(void)
() | void lvgl_lock(void)
() | void lvgl_unlock(void)
(ii*) | void esp_lvgl_call_native_func(int32_t func_id, uint32_t argc, uint32_t *argv)
[wifi_prov]
(ii*)i | int wasm_wifi_prov_mgr_init(uint32_t func_id, uint32_t argc, uint32_t *argv)
()i | int wasm_wifi_prov_mgr_deinit(void)
(*)i | int wasm_wifi_prov_mgr_is_provisioned(bool *provisioned)
(ii*i)i | int wasm_wifi_prov_mgr_start_provisioning(uint32_t, uint32_t, const char *, uint32_t)
()i | int wasm_wifi_prov_mgr_stop_provisioning(void)
()i | int wasm_wifi_prov_mgr_wait(void)
(i)i | int wasm_wifi_prov_mgr_disable_auto_stop(uint32_t cleanup_delay)
(**ii)i | int wasm_wifi_prov_mgr_set_app_info(const char *, const char *, uint32_t, size_t)
(*)i | int wasm_wifi_prov_mgr_endpoint_create(const char *ep_name)
(*ii)i | int wasm_wifi_prov_mgr_endpoint_register(const char *ep_name, uint32_t handler, uint32_t user_ctx)
(*)i | int wasm_wifi_prov_mgr_endpoint_unregister(const char *ep_name)
($)i | int wasm_wifi_prov_mgr_get_wifi_state(uint32_t state)
($)i | int wasm_wifi_prov_mgr_get_wifi_disconnect_reason(uint32_t reason)
($)i | int wasm_wifi_prov_mgr_configure_sta(uint32_t wifi_cfg)
()i | int wasm_wifi_prov_mgr_reset_provisioning(void)
()i | int wasm_wifi_prov_mgr_reset_sm_state_on_failure(void)
($)i | int wasm_wifi_prov_scheme_ble_set_service_uuid(uint8_t *uuid128)
($i)i | int wasm_wifi_prov_scheme_ble_set_mfg_data(uint8_t *data, ssize_t len)
[rainmaker]
(i)i | int wasm_rmaker_run(int mode)
(i$i)i | int wasm_rmaker_param_add_valid_str_list(uint32_t param, const char *strs[], uint8_t count)
(ii*)i | int wasm_rmaker_call_native_func(int32_t func_id, uint32_t argc, uint32_t *argv)
[pthread]
(**ii)i | int pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
(ii)i | int pthread_join(pthread_t t, void **result)
(i)i | int pthread_detach(pthread_t t)
(i)i | int pthread_cancel(pthread_t t)
()i | pthread_t pthread_self(void)
()i | pthread_t __pthread_self(void)
(i) | void pthread_exit(void *result)
(**)i | int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
(*)i | int pthread_mutex_lock(pthread_mutex_t *m)
(*)i | int pthread_mutex_unlock(pthread_mutex_t *m)
(*)i | int pthread_mutex_destroy(pthread_mutex_t *m)
(**)i | int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
(**)i | int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
(**I)i | int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, uint64_t useconds)
(*)i | int pthread_cond_signal(pthread_cond_t *c)
(*)i | int pthread_cond_broadcast(pthread_cond_t *c)
(*)i | int pthread_cond_destroy(pthread_cond_t *c)
(*i)i | int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
(ii)i | int pthread_setspecific(pthread_key_t key, const void *value)
(i)i | void *pthread_getspecific(pthread_key_t key)
(i)i | int pthread_key_delete(pthread_key_t key)
(*ii)i | int posix_memalign(void **out, size_t align, size_t size)
($iii)i | sem_t *sem_open(const char *name, int flags, int mode, int value)
(i)i | int sem_close(sem_t *s)
(i)i | int sem_wait(sem_t *s)
(i)i | int sem_trywait(sem_t *s)
(i)i | int sem_post(sem_t *s)
(i*)i | int sem_getvalue(sem_t *s, int *out)
($)i | int sem_unlink(const char *name)
"""


def _read_table() -> Mapping[str, Native]:
    natives, group = {}, NativeGroup.LIBC_BUILTIN
    for row in _TABLE.strip().splitlines():
        if row.startswith("["):
            group = NativeGroup(row[1:-1])
            continue
        signature, prototype = row.split(" | ")
        name = prototype.partition("(")[0].split()[-1].lstrip("*")
        natives[name] = Native(name, signature, prototype, group, *parse_signature(signature))
    return MappingProxyType(natives)


NATIVES: Final[Mapping[str, Native]] = _read_table()

# What the application manager calls in an app, found by name only: export -> parameter types; none has a result.
APP_EXPORTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "on_init": (),
        "on_destroy": (),
        "on_request": ("i32", "i32"),
        "on_response": ("i32", "i32"),
        "on_timer_callback": ("i32",),
        "on_mqtt_dispatch_event": ("i32", "i32", "i32"),
        "libc_builtin_set_errno": ("i32",),
    }
)
