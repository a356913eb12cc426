#pragma once

void lamp_begin(int pin);
void lamp_toggle(void);
