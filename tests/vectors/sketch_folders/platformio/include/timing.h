#pragma once

#define LAMP_PIN 4

void wait_half_a_period();
