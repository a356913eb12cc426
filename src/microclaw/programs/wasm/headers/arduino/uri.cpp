/* Uri.h. */
#include <Uri.h>

bool Uri::is_for(const String &path, String *values, int room) const {
    if (!has_braces_) {
        return path == text_;
    }
    unsigned at = 0, from = 0;
    for (int count = 0;; count++) {
        int brace = text_.indexOf("{}", from);
        String between = brace < 0 ? text_.substring(from) : text_.substring(from, (unsigned)brace);
        if (!path.startsWith(between, at)) {
            return false;
        }
        at += between.length();
        if (brace < 0) {
            return at == path.length();
        }
        int end = path.indexOf('/', at);
        unsigned value_end = end < 0 ? path.length() : (unsigned)end;
        if (value_end == at) {
            return false;
        }
        if (count < room) {
            values[count] = path.substring(at, value_end);
        }
        at = value_end;
        from = (unsigned)brace + 2;
    }
}
