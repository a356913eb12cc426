/* The rows have pull-ups; the columns are low one after the other, and let go in between. */
#include <Keypad.h>

enum { MOST_ROWS = 16, MOST_COLUMNS = 16 };

Keypad::Keypad(char *keymap, byte *rows, byte *columns, byte row_count, byte column_count)
    : keymap_(keymap), rows_(rows), columns_(columns), row_count_(row_count), column_count_(column_count) {
    if (row_count_ > MOST_ROWS) {
        row_count_ = MOST_ROWS;
    }
    if (column_count_ > MOST_COLUMNS) {
        column_count_ = MOST_COLUMNS;
    }
}

void Keypad::scan() {
    for (int row = 0; row < row_count_; row++) {
        pinMode(rows_[row], INPUT_PULLUP);
        closed_[row] = 0;
    }
    for (int column = 0; column < column_count_; column++) {
        pinMode(columns_[column], OUTPUT);
        digitalWrite(columns_[column], LOW);
        for (int row = 0; row < row_count_; row++) {
            if (digitalRead(rows_[row]) == LOW) {
                closed_[row] |= (uint16_t)(1u << column);
            }
        }
        digitalWrite(columns_[column], HIGH);
        pinMode(columns_[column], INPUT);
    }
}

/* Takes a key to its next state; returns whether it has another one now. */
bool Keypad::move(Key &key, bool is_closed, unsigned long now_ms) {
    KeyState next = key.kstate;
    switch (key.kstate) {
    case IDLE:
        next = is_closed ? PRESSED : IDLE;
        held_ms_ = now_ms;
        break;
    case PRESSED:
        if (!is_closed) {
            next = RELEASED;
        } else if (now_ms - held_ms_ > hold_ms_) {
            next = HOLD;
        }
        break;
    case HOLD:
        next = is_closed ? HOLD : RELEASED;
        break;
    case RELEASED:
        next = IDLE;
        break;
    }
    key.stateChanged = next != key.kstate;
    key.kstate = next;
    if (key.stateChanged && listener_ && &key == &this->key[0]) {
        listener_(key.kchar);
    }
    return key.stateChanged;
}

bool Keypad::getKeys() {
    unsigned long now_ms = millis();
    if (now_ms - scanned_ms_ <= debounce_ms_) {
        return false;
    }
    scanned_ms_ = now_ms;
    scan();
    bool has_changed = false;
    for (Key &key : this->key) {
        key.stateChanged = false;
        if (key.kstate == IDLE) {
            key.kchar = NO_KEY;
            key.kcode = -1;
        }
    }
    for (int row = 0; row < row_count_; row++) {
        for (int column = 0; column < column_count_; column++) {
            int code = row * column_count_ + column;
            bool is_closed = closed_[row] >> column & 1;
            int place = findInList(code);
            if (place < 0 && is_closed) {
                place = findInList(-1);
                if (place >= 0) {
                    key[place].kchar = keymap_[code];
                    key[place].kcode = code;
                }
            }
            if (place >= 0) {
                has_changed |= move(key[place], is_closed, now_ms);
            }
        }
    }
    return has_changed;
}

char Keypad::getKey() {
    if (getKeys() && key[0].stateChanged && key[0].kstate == PRESSED) {
        return key[0].kchar;
    }
    return NO_KEY;
}

char Keypad::waitForKey() {
    char character = getKey();
    while (character == NO_KEY) {
        delay(1);
        character = getKey();
    }
    return character;
}

bool Keypad::isPressed(char character) {
    int place = findInList(character);
    return place >= 0 && key[place].stateChanged && key[place].kstate == PRESSED;
}

int Keypad::findInList(char character) const {
    for (int place = 0; place < LIST_MAX; place++) {
        if (key[place].kchar == character) {
            return place;
        }
    }
    return -1;
}

int Keypad::findInList(int code) const {
    for (int place = 0; place < LIST_MAX; place++) {
        if (key[place].kcode == code) {
            return place;
        }
    }
    return -1;
}
