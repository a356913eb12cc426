/* arduino/ledc.h: the ESP32 core's PWM on pwm_open: at most 3 pins, 1 to 9000 Hz. In core 2 it goes by channel (0 to 15), in
 * core 3 by pin; a number that ledcAttach got is a pin. */
#pragma once
double ledcSetup(uint8_t channel, double frequency_hz, uint8_t bits); /* the frequency, or 0 */
void ledcAttachPin(uint8_t pin, uint8_t channel) PIN_MARKS_(pin, "pwm");
void ledcDetachPin(uint8_t pin);
bool ledcAttach(uint8_t pin, uint32_t frequency_hz, uint8_t bits) PIN_MARKS_(pin, "pwm");
bool ledcAttachChannel(uint8_t pin, uint32_t frequency_hz, uint8_t bits, uint8_t channel) PIN_MARKS_(pin, "pwm");
bool ledcDetach(uint8_t pin);
bool ledcWrite(uint8_t pin_or_channel, uint32_t duty);
bool ledcWriteChannel(uint8_t channel, uint32_t duty);
uint32_t ledcRead(uint8_t pin_or_channel);
uint32_t ledcReadFreq(uint8_t pin_or_channel);
double ledcWriteTone(uint8_t pin_or_channel, double frequency_hz);
uint32_t ledcChangeFrequency(uint8_t pin_or_channel, uint32_t frequency_hz, uint8_t bits);
typedef enum {
    NOTE_C,
    NOTE_Cs,
    NOTE_D,
    NOTE_Eb,
    NOTE_E,
    NOTE_F,
    NOTE_Fs,
    NOTE_G,
    NOTE_Gs,
    NOTE_A,
    NOTE_Bb,
    NOTE_B,
    NOTE_MAX
} note_t;
double ledcWriteNote(uint8_t pin_or_channel, note_t note, uint8_t octave); /* up to octave 8 */
