#define LED 4
