#pragma once

constexpr int LED = 4;

void toggle();
