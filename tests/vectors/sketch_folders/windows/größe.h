#pragma once
#define LED 4
void toggle();
