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


# name | signature | prototype. `long` and pointers are 32 bits wide, time_t, clock_t and off_t are 64.
_LIBC_BUILTIN = """
printf | ($*)i | int printf(const char *format, ...)
sprintf | ($$*)i | int sprintf(char *out, const char *format, ...)
snprintf | (*~$*)i | int snprintf(char *out, size_t size, const char *format, ...)
vprintf | ($*)i | int vprintf(const char *format, va_list ap)
vsprintf | ($$*)i | int vsprintf(char *out, const char *format, va_list ap)
vsnprintf | (*~$*)i | int vsnprintf(char *out, size_t size, const char *format, va_list ap)
puts | ($)i | int puts(const char *text)
putchar | (i)i | int putchar(int c)
memcmp | (**~)i | int memcmp(const void *a, const void *b, size_t n)
memcpy | (**~)i | void *memcpy(void *to, const void *from, size_t n)
memmove | (**~)i | void *memmove(void *to, const void *from, size_t n)
memset | (*ii)i | void *memset(void *to, int c, size_t n)
strchr | ($i)i | char *strchr(const char *s, int c)
strcmp | ($$)i | int strcmp(const char *a, const char *b)
strcpy | (*$)i | char *strcpy(char *to, const char *from)
strlen | ($)i | size_t strlen(const char *s)
strncmp | (**~)i | int strncmp(const char *a, const char *b, size_t n)
strncpy | (**~)i | char *strncpy(char *to, const char *from, size_t n)
malloc | (i)i | void *malloc(size_t size)
realloc | (ii)i | void *realloc(void *p, size_t size)
calloc | (ii)i | void *calloc(size_t count, size_t size)
strdup | ($)i | char *strdup(const char *s)
_strdup | ($)i | char *_strdup(const char *s)
free | (*) | void free(void *p)
atoi | ($)i | int atoi(const char *s)
exit | (i) | void exit(int status)
strtol | ($*i)i | long strtol(const char *s, char **end, int base)
strtoul | ($*i)i | unsigned long strtoul(const char *s, char **end, int base)
memchr | (*ii)i | void *memchr(const void *s, int c, size_t n)
strncasecmp | ($$i)i | int strncasecmp(const char *a, const char *b, size_t n)
strspn | ($$)i | size_t strspn(const char *s, const char *accept)
strcspn | ($$)i | size_t strcspn(const char *s, const char *reject)
strstr | ($$)i | char *strstr(const char *s, const char *find)
isupper | (i)i | int isupper(int c)
isalpha | (i)i | int isalpha(int c)
isspace | (i)i | int isspace(int c)
isgraph | (i)i | int isgraph(int c)
isprint | (i)i | int isprint(int c)
isdigit | (i)i | int isdigit(int c)
isxdigit | (i)i | int isxdigit(int c)
tolower | (i)i | int tolower(int c)
toupper | (i)i | int toupper(int c)
isalnum | (i)i | int isalnum(int c)
emscripten_memcpy_big | (**~)i | void *emscripten_memcpy_big(void *to, const void *from, size_t n)
abort | (i) | void abort(int code)
abortStackOverflow | (i) | void abortStackOverflow(int code)
nullFunc_X | (i) | void nullFunc_X(int code)
__cxa_allocate_exception | (i)i | void *__cxa_allocate_exception(size_t size)
__cxa_begin_catch | (*) | void __cxa_begin_catch(void *exception)
__cxa_throw | (**i) | void __cxa_throw(void *exception, void *type, void (*destructor)(void *))
clock_gettime | (i*)i | int clock_gettime(clockid_t clock, struct timespec *now)
clock | ()I | clock_t clock(void)
"""

# pread and pwrite take a 32-bit offset here though off_t is 64 bits wide in wasi headers: such a module does not link.
# ioctl's third argument is the address of the variadic arguments (ioctl.py); fstat always answers -1.
_LIBC_EXT = """
open | ($ii)i | int open(const char *path, int flags, ...)
read | (i*~)i | ssize_t read(int fd, void *buffer, size_t size)
write | (i*~)i | ssize_t write(int fd, const void *buffer, size_t size)
pread | (i*~i)i | ssize_t pread(int fd, void *buffer, size_t size, long offset)
pwrite | (i*~i)i | ssize_t pwrite(int fd, const void *buffer, size_t size, long offset)
lseek | (iIi)I | off_t lseek(int fd, off_t offset, int whence)
fcntl | (iii)i | int fcntl(int fd, int command, int argument)
fsync | (i)i | int fsync(int fd)
close | (i)i | int close(int fd)
ioctl | (ii*)i | int ioctl(int fd, int command, ...)
fstat | (i*)i | int fstat(int fd, struct stat *out)
sleep | (i)i | unsigned sleep(unsigned seconds)
usleep | (i)i | int usleep(useconds_t microseconds)
time | (*)I | time_t time(time_t *out)
srand | (i) | void srand(unsigned seed)
rand | ()i | int rand(void)
localtime_r | (ii)i | struct tm *localtime_r(const time_t *time, struct tm *out)
"""

_LIBM = """
sinf | (f)f | float sinf(float x)
cosf | (f)f | float cosf(float x)
pow | (FF)F | double pow(double x, double y)
"""

_APP_FRAMEWORK = """
wasm_register_resource | ($) | void wasm_register_resource(const char *url)
wasm_response_send | (*~)i | int wasm_response_send(const char *buf, int size)
wasm_post_request | (*~) | void wasm_post_request(const char *buf, int size)
wasm_sub_event | ($) | void wasm_sub_event(const char *url)
wasm_create_timer | (iii)i | timer_id_t wasm_create_timer(int interval, bool is_period, bool auto_start)
wasm_timer_destroy | (i) | void wasm_timer_destroy(timer_id_t timer)
wasm_timer_cancel | (i) | void wasm_timer_cancel(timer_id_t timer)
wasm_timer_restart | (ii) | void wasm_timer_restart(timer_id_t timer, int interval)
wasm_get_sys_tick_ms | ()i | uint32_t wasm_get_sys_tick_ms(void)
"""

_MQTT = """
wasm_mqtt_init | (**)i | int wasm_mqtt_init(uint32_t *handle, attr_container_t *args)
wasm_mqtt_destory | (i)i | int wasm_mqtt_destory(uint32_t handle)
wasm_mqtt_start | (i)i | int wasm_mqtt_start(uint32_t handle)
wasm_mqtt_stop | (i)i | int wasm_mqtt_stop(uint32_t handle)
wasm_mqtt_reconnect | (i)i | int wasm_mqtt_reconnect(uint32_t handle)
wasm_mqtt_disconnect | (i)i | int wasm_mqtt_disconnect(uint32_t handle)
wasm_mqtt_publish | (i$*ii)i | int wasm_mqtt_publish(uint32_t handle, const char *topic, void *data, \
size_t len, uint8_t qos)
wasm_mqtt_subscribe | (i$i)i | int wasm_mqtt_subscribe(uint32_t handle, const char *topic, uint8_t qos)
wasm_mqtt_unsubscribe | (i$)i | int wasm_mqtt_unsubscribe(uint32_t handle, const char *topic)
wasm_mqtt_enqueue | (i$*iiii)i | int wasm_mqtt_enqueue(uint32_t handle, const char *topic, const char *data, int len, \
int qos, int retain, bool store)
wasm_mqtt_set_uri | (i$)i | int wasm_mqtt_set_uri(uint32_t handle, const char *uri)
wasm_mqtt_config | (i*)i | int wasm_mqtt_config(uint32_t handle, attr_container_t *args)
wasm_mqtt_get_outbox_size | (i)i | int wasm_mqtt_get_outbox_size(uint32_t handle)
"""

_HTTP = """
wasm_http_client_call_native_func | (ii*)i | int wasm_http_client_call_native_func(int32_t func_id, uint32_t argc, \
uint32_t *argv)
"""

_LVGL = """
esp_lvgl_init | (i)i | int esp_lvgl_init(uint32_t version)
esp_lvgl_deinit | ()i | int esp_lvgl_deinit(void)
lvgl_lock | () | void lvgl_lock(void)
lvgl_unlock | () | void lvgl_unlock(void)
esp_lvgl_call_native_func | (ii*) | void esp_lvgl_call_native_func(int32_t func_id, uint32_t argc, uint32_t *argv)
"""

_WIFI_PROV = """
wasm_wifi_prov_mgr_init | (ii*)i | int wasm_wifi_prov_mgr_init(uint32_t func_id, uint32_t argc, uint32_t *argv)
wasm_wifi_prov_mgr_deinit | ()i | int wasm_wifi_prov_mgr_deinit(void)
wasm_wifi_prov_mgr_is_provisioned | (*)i | int wasm_wifi_prov_mgr_is_provisioned(bool *provisioned)
wasm_wifi_prov_mgr_start_provisioning | (ii*i)i | int wasm_wifi_prov_mgr_start_provisioning(uint32_t security, \
uint32_t pop, const char *service_name, uint32_t service_key)
wasm_wifi_prov_mgr_stop_provisioning | ()i | int wasm_wifi_prov_mgr_stop_provisioning(void)
wasm_wifi_prov_mgr_wait | ()i | int wasm_wifi_prov_mgr_wait(void)
wasm_wifi_prov_mgr_disable_auto_stop | (i)i | int wasm_wifi_prov_mgr_disable_auto_stop(uint32_t cleanup_delay)
wasm_wifi_prov_mgr_set_app_info | (**ii)i | int wasm_wifi_prov_mgr_set_app_info(const char *label, \
const char *version, uint32_t capabilities, size_t total_capabilities)
wasm_wifi_prov_mgr_endpoint_create | (*)i | int wasm_wifi_prov_mgr_endpoint_create(const char *ep_name)
wasm_wifi_prov_mgr_endpoint_register | (*ii)i | int wasm_wifi_prov_mgr_endpoint_register(const char *ep_name, \
uint32_t handler, uint32_t user_ctx)
wasm_wifi_prov_mgr_endpoint_unregister | (*)i | int wasm_wifi_prov_mgr_endpoint_unregister(const char *ep_name)
wasm_wifi_prov_mgr_get_wifi_state | ($)i | int wasm_wifi_prov_mgr_get_wifi_state(uint32_t state)
wasm_wifi_prov_mgr_get_wifi_disconnect_reason | ($)i | \
int wasm_wifi_prov_mgr_get_wifi_disconnect_reason(uint32_t reason)
wasm_wifi_prov_mgr_configure_sta | ($)i | int wasm_wifi_prov_mgr_configure_sta(uint32_t wifi_cfg)
wasm_wifi_prov_mgr_reset_provisioning | ()i | int wasm_wifi_prov_mgr_reset_provisioning(void)
wasm_wifi_prov_mgr_reset_sm_state_on_failure | ()i | int wasm_wifi_prov_mgr_reset_sm_state_on_failure(void)
wasm_wifi_prov_scheme_ble_set_service_uuid | ($)i | int wasm_wifi_prov_scheme_ble_set_service_uuid(uint8_t *uuid128)
wasm_wifi_prov_scheme_ble_set_mfg_data | ($i)i | int wasm_wifi_prov_scheme_ble_set_mfg_data(uint8_t *data, ssize_t len)
"""

_RAINMAKER = """
wasm_rmaker_run | (i)i | int wasm_rmaker_run(int mode)
wasm_rmaker_param_add_valid_str_list | (i$i)i | int wasm_rmaker_param_add_valid_str_list(uint32_t param, \
const char *strs[], uint8_t count)
wasm_rmaker_call_native_func | (ii*)i | int wasm_rmaker_call_native_func(int32_t func_id, uint32_t argc, uint32_t *argv)
"""

_PTHREAD = """
pthread_create | (**ii)i | int pthread_create(pthread_t *t, const pthread_attr_t *attr, \
void *(*start)(void *), void *arg)
pthread_join | (ii)i | int pthread_join(pthread_t t, void **result)
pthread_detach | (i)i | int pthread_detach(pthread_t t)
pthread_cancel | (i)i | int pthread_cancel(pthread_t t)
pthread_self | ()i | pthread_t pthread_self(void)
__pthread_self | ()i | pthread_t __pthread_self(void)
pthread_exit | (i) | void pthread_exit(void *result)
pthread_mutex_init | (**)i | int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
pthread_mutex_lock | (*)i | int pthread_mutex_lock(pthread_mutex_t *m)
pthread_mutex_unlock | (*)i | int pthread_mutex_unlock(pthread_mutex_t *m)
pthread_mutex_destroy | (*)i | int pthread_mutex_destroy(pthread_mutex_t *m)
pthread_cond_init | (**)i | int pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attr)
pthread_cond_wait | (**)i | int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
pthread_cond_timedwait | (**I)i | int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, uint64_t useconds)
pthread_cond_signal | (*)i | int pthread_cond_signal(pthread_cond_t *c)
pthread_cond_broadcast | (*)i | int pthread_cond_broadcast(pthread_cond_t *c)
pthread_cond_destroy | (*)i | int pthread_cond_destroy(pthread_cond_t *c)
pthread_key_create | (*i)i | int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
pthread_setspecific | (ii)i | int pthread_setspecific(pthread_key_t key, const void *value)
pthread_getspecific | (i)i | void *pthread_getspecific(pthread_key_t key)
pthread_key_delete | (i)i | int pthread_key_delete(pthread_key_t key)
posix_memalign | (*ii)i | int posix_memalign(void **out, size_t align, size_t size)
sem_open | ($iii)i | sem_t *sem_open(const char *name, int flags, int mode, int value)
sem_close | (i)i | int sem_close(sem_t *s)
sem_wait | (i)i | int sem_wait(sem_t *s)
sem_trywait | (i)i | int sem_trywait(sem_t *s)
sem_post | (i)i | int sem_post(sem_t *s)
sem_getvalue | (i*)i | int sem_getvalue(sem_t *s, int *out)
sem_unlink | ($)i | int sem_unlink(const char *name)
"""

_TABLES: Final = {
    NativeGroup.LIBC_BUILTIN: _LIBC_BUILTIN,
    NativeGroup.LIBC_EXT: _LIBC_EXT,
    NativeGroup.LIBM: _LIBM,
    NativeGroup.APP_FRAMEWORK: _APP_FRAMEWORK,
    NativeGroup.MQTT: _MQTT,
    NativeGroup.HTTP: _HTTP,
    NativeGroup.LVGL: _LVGL,
    NativeGroup.WIFI_PROV: _WIFI_PROV,
    NativeGroup.RAINMAKER: _RAINMAKER,
    NativeGroup.PTHREAD: _PTHREAD,
}


def _read_tables() -> Mapping[str, Native]:
    natives = {}
    for group, table in _TABLES.items():
        for row in table.strip().splitlines():
            name, signature, prototype = (cell.strip() for cell in row.split("|"))
            natives[name] = Native(name, signature, prototype, group, *parse_signature(signature))
    return MappingProxyType(natives)


NATIVES: Final[Mapping[str, Native]] = _read_tables()

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
