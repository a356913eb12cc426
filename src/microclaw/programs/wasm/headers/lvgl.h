/* lvgl.h: the firmware's LVGL 9 display, with LVGL's own names, as far as its native has them: objects, labels, buttons, bars,
 * sliders, arcs, styles, events and timers. Only firmware that was built with LVGL has it (group lvgl): the check says so.
 * Begin with lv_init. Call the rest between lvgl_lock and lvgl_unlock, but not in callbacks: these run in the firmware's own
 * task, beside the program, and hold the lock already. Objects stay when the program is taken off: delete them in on_destroy. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
int esp_lvgl_init(uint32_t version); /* -1: another major version than the firmware's, or no display */
int esp_lvgl_deinit(void);
void lvgl_lock(void);
void lvgl_unlock(void);
void esp_lvgl_call_native_func(int32_t func_id, uint32_t argc, uint32_t *argv);
#define LVGL_VERSION_MAJOR 9
#define LVGL_VERSION_MINOR 3
#define LVGL_VERSION_PATCH 0

typedef struct _lv_obj_t lv_obj_t;
typedef struct _lv_display_t lv_display_t;
typedef struct _lv_event_t lv_event_t;
typedef struct _lv_event_dsc_t lv_event_dsc_t;
typedef struct _lv_timer_t lv_timer_t;
typedef struct _lv_font_t lv_font_t;
typedef struct {
    uint8_t blue, green, red;
} lv_color_t;
typedef uint8_t lv_opa_t;
typedef uint32_t lv_style_selector_t;
typedef void (*lv_event_cb_t)(lv_event_t *event);
typedef void (*lv_timer_cb_t)(lv_timer_t *timer);
typedef enum { LV_ANIM_OFF, LV_ANIM_ON } lv_anim_enable_t;
typedef enum {
    LV_ALIGN_DEFAULT, LV_ALIGN_TOP_LEFT, LV_ALIGN_TOP_MID, LV_ALIGN_TOP_RIGHT, LV_ALIGN_BOTTOM_LEFT, LV_ALIGN_BOTTOM_MID,
    LV_ALIGN_BOTTOM_RIGHT, LV_ALIGN_LEFT_MID, LV_ALIGN_RIGHT_MID, LV_ALIGN_CENTER
} lv_align_t;
typedef enum {
    LV_EVENT_ALL, LV_EVENT_PRESSED, LV_EVENT_PRESSING, LV_EVENT_PRESS_LOST, LV_EVENT_SHORT_CLICKED, LV_EVENT_SINGLE_CLICKED,
    LV_EVENT_DOUBLE_CLICKED, LV_EVENT_TRIPLE_CLICKED, LV_EVENT_LONG_PRESSED, LV_EVENT_LONG_PRESSED_REPEAT, LV_EVENT_CLICKED,
    LV_EVENT_RELEASED, LV_EVENT_VALUE_CHANGED = 35
} lv_event_code_t;
typedef enum { LV_OBJ_FLAG_HIDDEN = 1, LV_OBJ_FLAG_CLICKABLE = 2 } lv_obj_flag_t;
typedef enum { LV_STATE_DEFAULT = 0, LV_STATE_CHECKED = 1, LV_STATE_DISABLED = 0x80 } lv_state_t;
typedef uint32_t lv_label_long_mode_t; /* LVGL's own number of it */
typedef uint32_t lv_flex_flow_t;       /* as well */
enum { LV_PART_MAIN = 0, LV_OPA_TRANSP = 0, LV_OPA_COVER = 255 };

static inline lv_color_t lv_color_make(uint8_t red, uint8_t green, uint8_t blue) {
    lv_color_t color = {blue, green, red};
    return color;
}
static inline lv_color_t lv_color_hex(uint32_t rgb) { return lv_color_make((uint8_t)(rgb >> 16), (uint8_t)(rgb >> 8), (uint8_t)rgb); }
static inline lv_color_t lv_color_black(void) { return lv_color_hex(0); }
static inline lv_color_t lv_color_white(void) { return lv_color_hex(0xffffff); }
static inline uint32_t lv_color_to_u32(lv_color_t color) {
    return 0xff000000u | (uint32_t)color.red << 16 | (uint32_t)color.green << 8 | color.blue;
}
static inline uint32_t microclaw_lvgl(int32_t id, uint32_t argc, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) {
    uint32_t argv[] = {a, b, c, d, e};
    esp_lvgl_call_native_func(id, argc, argv);
    return argv[0];
}
static inline int lvgl_init(void) { return esp_lvgl_init(LVGL_VERSION_MAJOR << 16 | LVGL_VERSION_MINOR << 8 | LVGL_VERSION_PATCH); }
static inline int lvgl_deinit(void) { return esp_lvgl_deinit(); }
static inline void lv_init(void) { lvgl_init(); }
static inline void lv_deinit(void) { esp_lvgl_deinit(); }
/* Montserrat of 8 to 48, even sizes; only those that the firmware was built with: another one is NULL or worse. */
static inline const lv_font_t *microclaw_lv_font(int size) {
    return (const lv_font_t *)(uintptr_t)microclaw_lvgl(0, 1, (uint32_t)(size - 8) / 2, 0, 0, 0, 0);
}
#define LV_FONT_DEFAULT microclaw_lv_font(14)

static inline lv_display_t *lv_display_get_default(void) { return (lv_display_t *)(uintptr_t)microclaw_lvgl(2, 1, 0, 0, 0, 0, 0); }
static inline lv_obj_t *lv_screen_active(void) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(316, 1, 0, 0, 0, 0, 0); }
static inline void lv_screen_load(lv_obj_t *obj) { microclaw_lvgl(428, 1, (uint32_t)(uintptr_t)obj, 0, 0, 0, 0); }
static inline int32_t lv_display_get_horizontal_resolution(lv_display_t *display) { return (int32_t)microclaw_lvgl(4, 1, (uint32_t)(uintptr_t)display, 0, 0, 0, 0); }
static inline int32_t lv_display_get_vertical_resolution(lv_display_t *display) { return (int32_t)microclaw_lvgl(5, 1, (uint32_t)(uintptr_t)display, 0, 0, 0, 0); }
static inline lv_obj_t *lv_obj_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(11, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline lv_obj_t *lv_label_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(31, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline lv_obj_t *lv_button_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(89, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline lv_obj_t *lv_slider_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(100, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline lv_obj_t *lv_switch_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(102, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline lv_obj_t *lv_bar_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(196, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline lv_obj_t *lv_arc_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(64, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline lv_obj_t *lv_image_create(lv_obj_t *parent) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(67, 1, (uint32_t)(uintptr_t)parent, 0, 0, 0, 0); }
static inline void lv_obj_clean(lv_obj_t *obj) { microclaw_lvgl(17, 1, (uint32_t)(uintptr_t)obj, 0, 0, 0, 0); }
static inline void lv_obj_delete(lv_obj_t *obj) { microclaw_lvgl(173, 1, (uint32_t)(uintptr_t)obj, 0, 0, 0, 0); }
static inline void lv_label_set_text(lv_obj_t *label, const char *text) { microclaw_lvgl(32, 2, (uint32_t)(uintptr_t)label, (uint32_t)(uintptr_t)text, 0, 0, 0); }
static inline void lv_label_set_text_static(lv_obj_t *label, const char *text) { microclaw_lvgl(271, 2, (uint32_t)(uintptr_t)label, (uint32_t)(uintptr_t)text, 0, 0, 0); }
static inline char *lv_label_get_text(lv_obj_t *label) { return (char *)(uintptr_t)microclaw_lvgl(418, 1, (uint32_t)(uintptr_t)label, 0, 0, 0, 0); }
static inline void lv_label_set_long_mode(lv_obj_t *label, lv_label_long_mode_t mode) { microclaw_lvgl(88, 2, (uint32_t)(uintptr_t)label, (uint32_t)mode, 0, 0, 0); }
static inline void lv_obj_align(lv_obj_t *obj, lv_align_t align, int32_t x, int32_t y) { microclaw_lvgl(15, 4, (uint32_t)(uintptr_t)obj, (uint32_t)align, (uint32_t)x, (uint32_t)y, 0); }
static inline void lv_obj_align_to(lv_obj_t *obj, lv_obj_t *base, lv_align_t align, int32_t x, int32_t y) { microclaw_lvgl(10, 5, (uint32_t)(uintptr_t)obj, (uint32_t)(uintptr_t)base, (uint32_t)align, (uint32_t)x, (uint32_t)y); }
static inline void lv_obj_center(lv_obj_t *obj) { microclaw_lvgl(366, 1, (uint32_t)(uintptr_t)obj, 0, 0, 0, 0); }
static inline void lv_obj_set_pos(lv_obj_t *obj, int32_t x, int32_t y) { microclaw_lvgl(9, 3, (uint32_t)(uintptr_t)obj, (uint32_t)x, (uint32_t)y, 0, 0); }
static inline void lv_obj_set_x(lv_obj_t *obj, int32_t x) { microclaw_lvgl(25, 2, (uint32_t)(uintptr_t)obj, (uint32_t)x, 0, 0, 0); }
static inline void lv_obj_set_y(lv_obj_t *obj, int32_t y) { microclaw_lvgl(26, 2, (uint32_t)(uintptr_t)obj, (uint32_t)y, 0, 0, 0); }
static inline void lv_obj_set_size(lv_obj_t *obj, int32_t width, int32_t height) { microclaw_lvgl(14, 3, (uint32_t)(uintptr_t)obj, (uint32_t)width, (uint32_t)height, 0, 0); }
static inline void lv_obj_set_width(lv_obj_t *obj, int32_t width) { microclaw_lvgl(20, 2, (uint32_t)(uintptr_t)obj, (uint32_t)width, 0, 0, 0); }
static inline void lv_obj_set_height(lv_obj_t *obj, int32_t height) { microclaw_lvgl(87, 2, (uint32_t)(uintptr_t)obj, (uint32_t)height, 0, 0, 0); }
static inline int32_t lv_obj_get_width(lv_obj_t *obj) { return (int32_t)microclaw_lvgl(12, 1, (uint32_t)(uintptr_t)obj, 0, 0, 0, 0); }
static inline int32_t lv_obj_get_height(lv_obj_t *obj) { return (int32_t)microclaw_lvgl(13, 1, (uint32_t)(uintptr_t)obj, 0, 0, 0, 0); }
static inline void lv_obj_set_flex_flow(lv_obj_t *obj, lv_flex_flow_t flow) { microclaw_lvgl(18, 2, (uint32_t)(uintptr_t)obj, (uint32_t)flow, 0, 0, 0); }
static inline void lv_obj_set_style_bg_color(lv_obj_t *obj, lv_color_t color, lv_style_selector_t selector) { microclaw_lvgl(28, 3, (uint32_t)(uintptr_t)obj, lv_color_to_u32(color) & 0xffffffu, (uint32_t)selector, 0, 0); }
static inline void lv_obj_set_style_text_color(lv_obj_t *obj, lv_color_t color, lv_style_selector_t selector) { microclaw_lvgl(24, 3, (uint32_t)(uintptr_t)obj, lv_color_to_u32(color) & 0xffffffu, (uint32_t)selector, 0, 0); }
static inline void lv_obj_set_style_bg_opa(lv_obj_t *obj, lv_opa_t opa, lv_style_selector_t selector) { microclaw_lvgl(8, 3, (uint32_t)(uintptr_t)obj, (uint32_t)opa, (uint32_t)selector, 0, 0); }
static inline void lv_obj_set_style_text_font(lv_obj_t *obj, const lv_font_t *font, lv_style_selector_t selector) { microclaw_lvgl(83, 3, (uint32_t)(uintptr_t)obj, (uint32_t)(uintptr_t)font, (uint32_t)selector, 0, 0); }
static inline void lv_obj_add_flag(lv_obj_t *obj, lv_obj_flag_t flag) { microclaw_lvgl(92, 2, (uint32_t)(uintptr_t)obj, (uint32_t)flag, 0, 0, 0); }
static inline void lv_obj_remove_flag(lv_obj_t *obj, lv_obj_flag_t flag) { microclaw_lvgl(145, 2, (uint32_t)(uintptr_t)obj, (uint32_t)flag, 0, 0, 0); }
static inline void lv_obj_add_state(lv_obj_t *obj, lv_state_t state) { microclaw_lvgl(90, 2, (uint32_t)(uintptr_t)obj, (uint32_t)state, 0, 0, 0); }
static inline void lv_obj_remove_state(lv_obj_t *obj, lv_state_t state) { microclaw_lvgl(157, 2, (uint32_t)(uintptr_t)obj, (uint32_t)state, 0, 0, 0); }
static inline bool lv_obj_has_state(lv_obj_t *obj, lv_state_t state) { return microclaw_lvgl(163, 2, (uint32_t)(uintptr_t)obj, (uint32_t)state, 0, 0, 0) != 0; }
static inline void lv_bar_set_value(lv_obj_t *bar, int32_t value, lv_anim_enable_t anim) { microclaw_lvgl(198, 3, (uint32_t)(uintptr_t)bar, (uint32_t)value, (uint32_t)anim, 0, 0); }
static inline void lv_bar_set_range(lv_obj_t *bar, int32_t min, int32_t max) { microclaw_lvgl(197, 3, (uint32_t)(uintptr_t)bar, (uint32_t)min, (uint32_t)max, 0, 0); }
static inline int32_t lv_bar_get_value(lv_obj_t *bar) { return (int32_t)microclaw_lvgl(164, 1, (uint32_t)(uintptr_t)bar, 0, 0, 0, 0); }
static inline void lv_slider_set_value(lv_obj_t *slider, int32_t value, lv_anim_enable_t anim) { microclaw_lvgl(392, 3, (uint32_t)(uintptr_t)slider, (uint32_t)value, (uint32_t)anim, 0, 0); }
static inline void lv_slider_set_range(lv_obj_t *slider, int32_t min, int32_t max) { microclaw_lvgl(393, 3, (uint32_t)(uintptr_t)slider, (uint32_t)min, (uint32_t)max, 0, 0); }
static inline int32_t lv_slider_get_value(lv_obj_t *slider) { return (int32_t)microclaw_lvgl(394, 1, (uint32_t)(uintptr_t)slider, 0, 0, 0, 0); }
static inline void lv_arc_set_value(lv_obj_t *arc, int32_t value) { microclaw_lvgl(283, 2, (uint32_t)(uintptr_t)arc, (uint32_t)value, 0, 0, 0); }
static inline int32_t lv_arc_get_value(lv_obj_t *arc) { return (int32_t)microclaw_lvgl(448, 1, (uint32_t)(uintptr_t)arc, 0, 0, 0, 0); }
static inline lv_event_dsc_t *lv_obj_add_event_cb(lv_obj_t *obj, lv_event_cb_t task, lv_event_code_t filter, void *user_data) { return (lv_event_dsc_t *)(uintptr_t)microclaw_lvgl(96, 4, (uint32_t)(uintptr_t)obj, (uint32_t)(uintptr_t)task, (uint32_t)filter, (uint32_t)(uintptr_t)user_data, 0); }
static inline lv_event_code_t lv_event_get_code(lv_event_t *event) { return (lv_event_code_t)microclaw_lvgl(149, 1, (uint32_t)(uintptr_t)event, 0, 0, 0, 0); }
static inline lv_obj_t *lv_event_get_target_obj(lv_event_t *event) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(150, 1, (uint32_t)(uintptr_t)event, 0, 0, 0, 0); }
static inline lv_obj_t *lv_event_get_current_target_obj(lv_event_t *event) { return (lv_obj_t *)(uintptr_t)microclaw_lvgl(170, 1, (uint32_t)(uintptr_t)event, 0, 0, 0, 0); }
static inline void *lv_event_get_user_data(lv_event_t *event) { return (void *)(uintptr_t)microclaw_lvgl(151, 1, (uint32_t)(uintptr_t)event, 0, 0, 0, 0); }
static inline void *lv_event_get_param(lv_event_t *event) { return (void *)(uintptr_t)microclaw_lvgl(162, 1, (uint32_t)(uintptr_t)event, 0, 0, 0, 0); }
static inline lv_timer_t *lv_timer_create(lv_timer_cb_t task, uint32_t period_ms, void *user_data) { return (lv_timer_t *)(uintptr_t)microclaw_lvgl(38, 3, (uint32_t)(uintptr_t)task, period_ms, (uint32_t)(uintptr_t)user_data, 0, 0); }
static inline void lv_timer_delete(lv_timer_t *timer) { microclaw_lvgl(287, 1, (uint32_t)(uintptr_t)timer, 0, 0, 0, 0); }
static inline void lv_timer_pause(lv_timer_t *timer) { microclaw_lvgl(246, 1, (uint32_t)(uintptr_t)timer, 0, 0, 0, 0); }
static inline void lv_timer_resume(lv_timer_t *timer) { microclaw_lvgl(253, 1, (uint32_t)(uintptr_t)timer, 0, 0, 0, 0); }
static inline void lv_timer_set_period(lv_timer_t *timer, uint32_t period_ms) { microclaw_lvgl(306, 2, (uint32_t)(uintptr_t)timer, period_ms, 0, 0, 0); }
static inline void lv_timer_set_repeat_count(lv_timer_t *timer, int32_t count) { microclaw_lvgl(39, 2, (uint32_t)(uintptr_t)timer, (uint32_t)count, 0, 0, 0); }
static inline void *lv_timer_get_user_data(lv_timer_t *timer) { return (void *)(uintptr_t)microclaw_lvgl(266, 1, (uint32_t)(uintptr_t)timer, 0, 0, 0, 0); }
/* lv_label_get_text gives a copy of your own: free it. These are LVGL 8's names of the same. */
#define lv_btn_create lv_button_create
#define lv_img_create lv_image_create
#define lv_scr_act lv_screen_active
#define lv_scr_load lv_screen_load
#define lv_obj_del lv_obj_delete
#define lv_timer_del lv_timer_delete
#define lv_obj_clear_flag lv_obj_remove_flag
#define lv_obj_clear_state lv_obj_remove_state
#define lv_event_get_target lv_event_get_target_obj
#define lv_event_get_current_target lv_event_get_current_target_obj
#ifdef __cplusplus
}
#endif
