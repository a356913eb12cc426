"""RainMaker, LVGL and Wi-Fi provisioning: what compiles, what the natives get, and what is refused by name."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime
from tests.wasm.instance import Instance

from microclaw.boards.firmware import parse_firmware
from microclaw.boards.profile import BoardProfile
from microclaw.errors import BuildError
from microclaw.wasm.toolchain import compiler_chosen, list_compilers

COMPILERS = [found.compiler for found in list_compilers() if found.version is not None]
SOURCE = r"""
#include <esp_rmaker_core.h>
#include <esp_rmaker_standard_devices.h>
#include <esp_rmaker_standard_params.h>
#include <esp_rmaker_standard_types.h>
#include <lvgl.h>
#include <wifi_provisioning/manager.h>
#include <wifi_provisioning/scheme_ble.h>
#include <wifi_provisioning/scheme_softap.h>
static void clicked(lv_event_t *event) { lv_label_set_text((lv_obj_t *)lv_event_get_user_data(event), "hello"); }
static esp_err_t wrote(const esp_rmaker_device_t *device, const esp_rmaker_param_t *param,
                       const esp_rmaker_param_val_t val, void *data, esp_rmaker_write_ctx_t *ctx) {
    (void)device;
    (void)data;
    return ctx ? esp_rmaker_param_update_and_report(param, val) : ESP_FAIL;
}
void on_init(void) {
    lv_init();
    lvgl_lock();
    lv_obj_t *button = lv_button_create(lv_screen_active());
    lv_obj_t *label = lv_label_create(button);
    lv_obj_set_style_bg_color(button, lv_color_hex(0xff8001), LV_PART_MAIN);
    lv_obj_align_to(label, button, LV_ALIGN_CENTER, -3, 4);
    lv_obj_add_event_cb(button, clicked, LV_EVENT_CLICKED, label);
    lvgl_unlock();
    wifi_prov_mgr_config_t config = {0};
    config.scheme = wifi_prov_scheme_ble;
    config.scheme_event_handler = WIFI_PROV_SCHEME_BLE_EVENT_HANDLER_FREE_BTDM;
    wifi_prov_mgr_init(config);
    config.scheme = wifi_prov_scheme_softap;
    wifi_prov_mgr_init(config);
    wifi_prov_mgr_start_provisioning(WIFI_PROV_SECURITY_1, "abcd1234", "PROV_1", 0);
    esp_rmaker_node_t *node = esp_rmaker_node_init(0, "Node", "Switch");
    esp_rmaker_device_t *lamp = esp_rmaker_switch_device_create("Lamp", 0, true);
    esp_rmaker_device_add_cb(lamp, wrote, 0);
    esp_rmaker_node_add_device(node, lamp);
    esp_rmaker_start();
}
"""
CPLUSPLUS = SOURCE.replace("{0}", "{}").replace("void on_init(void) {", 'extern "C" void on_init(void) {')


@pytest.fixture
def with_all(board: BoardProfile) -> BoardProfile:
    return parse_firmware(["natives=+lvgl,+wifi_prov,+rainmaker"]).applied(board)


@pytest.mark.parametrize(("compiler", "language"), [*((one, "c") for one in COMPILERS), (COMPILERS[0], "c++")])
async def test_programs_with_the_vendors_names_compile(
    compile_c: Any, with_all: BoardProfile, compiler: str, language: str
) -> None:
    with compiler_chosen(compiler):
        image = await compile_c(SOURCE if language == "c" else CPLUSPLUS, board=with_all, language=language)
    assert image.warnings == ()
    names = {wanted.name for wanted in image.imports}
    assert {"esp_lvgl_init", "wasm_wifi_prov_mgr_init", "wasm_rmaker_call_native_func"} <= names


class Board(Instance):
    """The natives of one instance: each call with what its argv held; handles count up from 100."""

    def __init__(self, wasm: bytes) -> None:
        self.calls: list[tuple[str, int, tuple[int, ...]]] = []
        self.plain: list[tuple[str, tuple[int, ...]]] = []
        self.start(wasm)

    def from_table(self, index: int, *args: int) -> Any:
        table = self.exports["__indirect_function_table"]
        assert isinstance(table, wasmtime.Table)
        function = table.get(self.store, index)
        assert isinstance(function, wasmtime.Func)
        return function(self.store, *args)

    def native(self, wanted: wasmtime.ImportType) -> Callable[..., int | None]:
        name, kind = wanted.name or "", wanted.type
        assert isinstance(kind, wasmtime.FuncType)

        def answer(*args: int) -> int | None:
            result = 0
            if name.endswith("_call_native_func") or name == "wasm_wifi_prov_mgr_init":
                number, count, argv = args
                words = struct.unpack(f"<{count}I", self.bytes_at(argv, 4 * count))
                self.calls.append((name, number, words))
                result = 100 + len(self.calls)
                if name == "esp_lvgl_call_native_func":
                    self.write(argv, struct.pack("<I", result))
                elif number == 23:  # RainMaker: the value that somebody wrote
                    self.write(words[2], struct.pack("<i", 1))
                    self.write(words[3], b"\1")
            else:
                self.plain.append((name, args))
            return result if kind.results else None

        return answer


async def test_the_natives_get_what_their_tables_say(compile_c: Any, with_all: BoardProfile) -> None:
    board = Board((await compile_c(SOURCE, board=with_all)).wasm)
    board.call("on_init")
    lvgl = [(number, words) for name, number, words in board.calls if name.startswith("esp_lvgl")]
    screen, button, label = 101, 102, 103
    assert [number for number, _ in lvgl] == [316, 89, 31, 28, 10, 96]
    assert [len(words) for _, words in lvgl] == [1, 1, 1, 3, 5, 4]
    assert lvgl[1][1] == (screen,)
    assert lvgl[2][1] == (button,)
    assert lvgl[3][1] == (button, 0xFF8001, 0)
    assert lvgl[4][1] == (label, button, 9, 2**32 - 3, 4)
    assert (lvgl[5][1][0], *lvgl[5][1][2:]) == (button, 10, label)
    assert ("esp_lvgl_init", (0x090300,)) in board.plain
    schemes = [(number, words) for name, number, words in board.calls if name == "wasm_wifi_prov_mgr_init"]
    assert schemes == [(2, (0, 0)), (1, (0, 0))]
    rainmaker = [(number, words) for name, number, words in board.calls if name.startswith("wasm_rmaker")]
    assert [number for number, _ in rainmaker] == [0, 8, 18, 20, 12, 12, 14, 4]
    assert [len(words) for _, words in rainmaker] == [3, 3, 5, 3, 3, 3, 4, 3]
    assert [board.text_at(word) for word in rainmaker[2][1][:2]] == ["Power", "esp.param.power"]
    assert rainmaker[2][1][2:] == (1, 1, 3)
    assert ("wasm_rmaker_run", (6,)) in board.plain
    device, on_write, write, _ = rainmaker[6][1]
    board.calls.clear()
    board.from_table(lvgl[5][1][1], 55)
    assert [number for _, number, _ in board.calls] == [151, 32]
    board.calls.clear()
    assert board.from_table(on_write, device, 77, 88, write, 0, 1) == 102
    assert [number for _, number, _ in board.calls] == [23, 22]
    assert board.calls[0][2][:2] == (0, 88)
    assert board.calls[1][2] == (5, 77, 1, 1)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("lvgl", "it needs LVGL (lv_label_set_text and 11 more), which the firmware of virtual ESP32-S3 does not have"),
        ("wifi_prov", "it needs Wi-Fi provisioning (wifi_prov_mgr_init and 1 more), which"),
        ("rainmaker", "it needs RainMaker (esp_rmaker_param_update_and_report and 5 more), which"),
    ],
)
async def test_a_firmware_without_them_refuses_by_what_is_called(
    compile_c: Any, board: BoardProfile, group: str, said: str
) -> None:
    others = ",".join(f"+{one}" for one in ("lvgl", "wifi_prov", "rainmaker") if one != group)
    with pytest.raises(BuildError) as caught:
        await compile_c(SOURCE, board=parse_firmware([f"natives={others}"]).applied(board))
    (found,) = caught.value.diagnostics
    assert found.message.startswith(said)
    assert found.line is not None
