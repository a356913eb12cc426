/* esp_err_to_name of esp_err.h. */
#include <esp_err.h>

const char *esp_err_to_name(esp_err_t code) {
    static const char *const names[] = {"NO_MEM", "INVALID_ARG", "INVALID_STATE", "INVALID_SIZE", "NOT_FOUND", "NOT_SUPPORTED", "TIMEOUT"};
    static char name[32];
    if (code == ESP_OK) {
        return "ESP_OK";
    }
    if (code == ESP_FAIL) {
        return "ESP_FAIL";
    }
    unsigned place = (unsigned)code - ESP_ERR_NO_MEM;
    if (place >= sizeof names / sizeof names[0]) {
        return "UNKNOWN ERROR";
    }
    snprintf(name, sizeof name, "ESP_ERR_%s", names[place]);
    return name;
}
