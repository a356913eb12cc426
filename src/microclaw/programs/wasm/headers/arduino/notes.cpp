/* The notes of the eighth octave; each one below halves them. */
#include <Arduino.h>

static const double EIGHTH_OCTAVE_HZ[NOTE_MAX] = {4186, 4435, 4699, 4978, 5274, 5588, 5920, 6272, 6645, 7040, 7459, 7902};

double ledcWriteNote(uint8_t pin_or_channel, note_t note, uint8_t octave) {
    if (note >= NOTE_MAX || octave > 8) {
        return 0;
    }
    return ledcWriteTone(pin_or_channel, EIGHTH_OCTAVE_HZ[note] / (1 << (8 - octave)));
}
