int main(void) {
    uint8_t x = 3;
    bool on = true;
    uint32_t y = x;
    return NULL == 0;
}
