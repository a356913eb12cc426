#include <screen_layout.h>
#include <string.h>

#define GAP "   "

static int least_of(int first, int second) { return first < second ? first : second; }

bool microclaw_has_digit(const char *text, int length) {
    for (int i = 0; i < length; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            return true;
        }
    }
    return false;
}

static bool is_in_word(char character) { return character != ' ' && character != '\n' && character != 0; }

static void end_line(ScreenLines *lines) {
    if (lines->count < SCREEN_ROWS) {
        lines->count++;
    }
}

/* Adds characters to the last line, or after it if they have no room there. */
static void add_word(ScreenLines *lines, const char *word, int length, int columns) {
    char *line = lines->rows[least_of(lines->count, SCREEN_ROWS - 1)];
    int used = (int)strlen(line);
    if (used && used + 1 + length > columns) {
        end_line(lines);
        line = lines->rows[least_of(lines->count, SCREEN_ROWS - 1)];
        used = 0;
    }
    if (used) {
        line[used++] = ' ';
    }
    memcpy(line + used, word, (size_t)length);
    line[used + length] = 0;
}

static void add_long_word(ScreenLines *lines, const char *word, int length, int columns) {
    char dashes[SCREEN_COLUMNS];
    if (microclaw_has_digit(word, length)) {
        memset(dashes, '-', sizeof dashes);
        add_word(lines, dashes, columns, columns);
        return;
    }
    while (length > 0) {
        int piece = least_of(length, columns);
        add_word(lines, word, piece, columns);
        word += piece;
        length -= piece;
    }
}

bool microclaw_wrap(const char *text, int columns, bool may_break, ScreenLines *lines) {
    memset(lines, 0, sizeof *lines);
    while (*text) {
        int length = 0;
        while (is_in_word(text[length])) {
            length++;
        }
        if (length > columns && !may_break) {
            return false;
        }
        if (length > columns) {
            add_long_word(lines, text, length, columns);
        } else if (length) {
            add_word(lines, text, length, columns);
        }
        text += length;
        if (*text == '\n') {
            end_line(lines);
        }
        text += *text != 0;
    }
    end_line(lines);
    return true;
}

void microclaw_label(const char *label, int columns, char *line) {
    static ScreenLines lines;
    microclaw_wrap(label, columns, true, &lines);
    strcpy(line, lines.rows[0]);
}

void microclaw_join(const char *first, const char *second, int columns, char *line) {
    int first_size = (int)strlen(first), second_size = (int)strlen(second);
    bool has_both = first_size && second_size;
    if (first_size + has_both + second_size <= columns) {
        strcpy(line, first);
        strcat(line, has_both ? " " : "");
        strcat(line, second);
        return;
    }
    const char *number = microclaw_has_digit(second, second_size) ? second : first;
    if ((int)strlen(number) <= columns) {
        strcpy(line, number);
        return;
    }
    memset(line, '-', (size_t)columns);
    line[columns] = 0;
}

int ScreenLayout::columns(int size) const { return least_of(width_ / (cell_width_ * size), SCREEN_COLUMNS); }

void ScreenLayout::clear() {
    begin();
    end();
}

void ScreenLayout::put_centred(const char *text, int y, int size) {
    put(text, (width_ - (int)strlen(text) * cell_width_ * size) / 2, y, size);
}

/* Returns the largest size in which a text fits with whole words, or 0. */
int ScreenLayout::fit(const char *text, int most_rows, ScreenLines *lines) const {
    for (int size = sizes_; size > 0; size--) {
        int rows = least_of(most_rows, height_ / (cell_height_ * size));
        if (microclaw_wrap(text, columns(size), false, lines) && lines->count <= rows) {
            return size;
        }
    }
    return 0;
}

static int count_lines(const char *text) {
    int count = 1;
    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

/* A single line is wrapped. Several lines stay as they are if they fit so. What does not fit in size 1 is left out. */
void ScreenLayout::text(const char *text) {
    static ScreenLines lines;
    int line_count = count_lines(text);
    int size = line_count > 1 ? fit(text, line_count, &lines) : 0;
    if (!size) {
        size = fit(text, SCREEN_ROWS, &lines);
    }
    if (!size) {
        size = 1;
        microclaw_wrap(text, columns(size), true, &lines);
    }
    int edge = cell_height_ * size;
    int row_count = least_of(lines.count, height_ / edge);
    int y = (height_ - row_count * edge) / 2;
    begin();
    for (int row = 0; row < row_count; row++) {
        put_centred(lines.rows[row], y, size);
        y += edge;
    }
    end();
}

/* Puts spaces in the place of a number that is cut at the ends of a window of a tape. */
static void hide_cut_numbers(char *window, int size, char before, char after) {
    int head = 0, tail = size;
    while (is_in_word(window[head])) {
        head++;
    }
    if (is_in_word(before) && microclaw_has_digit(window, head)) {
        memset(window, ' ', (size_t)head);
    }
    while (tail > 0 && is_in_word(window[tail - 1])) {
        tail--;
    }
    if (is_in_word(after) && microclaw_has_digit(window + tail, size - tail)) {
        memset(window + tail, ' ', (size_t)(size - tail));
    }
}

void ScreenLayout::scroll(const char *text) {
    static char tape[2 * (SCREEN_TEXT + sizeof GAP)];
    int rows = height_ / cell_height_, size = least_of(least_of(sizes_, rows / 2), columns(1) / 8);
    size = size < 1 ? 1 : size;
    int shown = columns(size), length = (int)strlen(text);
    if (length <= shown) {
        ScreenLayout::text(text);
        return;
    }
    if (strcmp(text, moved_) != 0) {
        strcpy(moved_, text);
        step_ = 0;
    }
    int turn = length + (int)strlen(GAP);
    for (int half = 0; half < 2; half++) {
        strcpy(tape + half * turn, text);
        strcat(tape, GAP);
    }
    char window[SCREEN_COLUMNS + 1] = "";
    shown = least_of(shown, turn);
    memcpy(window, tape + step_, (size_t)shown);
    hide_cut_numbers(window, shown, step_ ? tape[step_ - 1] : ' ', tape[step_ + shown]);
    step_ = (step_ + 1) % turn;
    begin();
    put(window, 0, (height_ - cell_height_ * size) / 2, size);
    end();
}
