/* Keypad.h: a matrix of keys that is scanned when the program asks; our own code behind the names of the library. */
#pragma once
#include <Arduino.h>
#define makeKeymap(x) ((char *)(x))
#define LIST_MAX 10
#define OPEN LOW
#define CLOSED HIGH
const char NO_KEY = '\0';
typedef char KeypadEvent;
typedef enum { IDLE, PRESSED, HOLD, RELEASED } KeyState;
struct Key {
    char kchar = NO_KEY;
    int kcode = -1; /* row * columns + column; -1: no key */
    KeyState kstate = IDLE;
    bool stateChanged = false;
};
class Keypad {
  public:
    Key key[LIST_MAX];
    Keypad(char *keymap, byte *rows, byte *columns, byte row_count, byte column_count);
    void begin(char *keymap) { keymap_ = keymap; }
    char getKey();  /* the key that was pressed since the last call, or NO_KEY */
    bool getKeys(); /* looks at all keys, and returns whether one of them changed */
    char waitForKey();
    bool isPressed(char character);
    KeyState getState() const { return key[0].kstate; }
    bool keyStateChanged() const { return key[0].stateChanged; }
    byte numKeys() const { return LIST_MAX; }
    int findInList(char character) const;
    int findInList(int code) const;
    void setDebounceTime(unsigned ms) { debounce_ms_ = ms < 1 ? 1 : ms; }
    void setHoldTime(unsigned ms) { hold_ms_ = ms; }
    void addEventListener(void (*listener)(char)) { listener_ = listener; }

  private:
    void scan();
    bool move(Key &key, bool is_closed, unsigned long now_ms);
    char *keymap_;
    byte *rows_, *columns_;
    byte row_count_, column_count_;
    unsigned debounce_ms_ = 10, hold_ms_ = 500;
    unsigned long scanned_ms_ = 0, held_ms_ = 0;
    uint16_t closed_[16] = {}; /* the closed keys of each row, a bit a column */
    void (*listener_)(char) = nullptr;
};
