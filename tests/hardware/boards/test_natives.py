from __future__ import annotations

from microclaw.hardware.boards.natives import NATIVES, Native

# What the device programs of esp-wasmachine import after -Os, as their modules declare it.
IMPORTS = {
    "puts": "(i32)->i32", "open": "(i32, i32, i32)->i32", "printf": "(i32, i32)->i32", "ioctl": "(i32, i32, i32)->i32",
    "write": "(i32, i32, i32)->i32", "read": "(i32, i32, i32)->i32", "close": "(i32)->i32", "sleep": "(i32)->i32",
    "malloc": "(i32)->i32", "free": "(i32)->nil", "snprintf": "(i32, i32, i32, i32)->i32", "usleep": "(i32)->i32",
    "memcpy": "(i32, i32, i32)->i32", "calloc": "(i32, i32)->i32", "memset": "(i32, i32, i32)->i32",
    "wasm_http_client_call_native_func": "(i32, i32, i32)->i32", "strlen": "(i32)->i32",
    "memcmp": "(i32, i32, i32)->i32", "wasm_get_sys_tick_ms": "()->i32", "wasm_timer_cancel": "(i32)->nil",
    "wasm_timer_restart": "(i32, i32)->nil", "memmove": "(i32, i32, i32)->i32", "putchar": "(i32)->i32",
    "strcmp": "(i32, i32)->i32", "strdup": "(i32)->i32", "wasm_register_resource": "(i32)->nil",
    "wasm_sub_event": "(i32)->nil", "wasm_response_send": "(i32, i32)->i32", "strcpy": "(i32, i32)->i32",
    "wasm_post_request": "(i32, i32)->nil", "wasm_create_timer": "(i32, i32, i32)->i32",
    "lseek": "(i32, i64, i32)->i64", "pthread_create": "(i32, i32, i32, i32)->i32", "pthread_join": "(i32, i32)->i32",
    "wasm_mqtt_init": "(i32, i32)->i32", "wasm_mqtt_publish": "(i32, i32, i32, i32, i32)->i32",
    "wasm_mqtt_subscribe": "(i32, i32, i32)->i32", "pthread_cond_wait": "(i32, i32)->i32",
}  # fmt: skip


def wasm_type(native: Native) -> str:
    return f"({', '.join(native.params)})->{native.results[0] if native.results else 'nil'}"


def test_real_programs_link_against_the_table() -> None:
    assert {name: wasm_type(NATIVES[name]) for name in IMPORTS} == IMPORTS
