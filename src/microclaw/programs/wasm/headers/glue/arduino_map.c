/* Arduino.h's map; a range of nothing gives its low end. */
__attribute__((weak)) long map(long value, long from_low, long from_high, long to_low, long to_high) {
    if (from_high == from_low) {
        return to_low;
    }
    return (long)((long long)(value - from_low) * (to_high - to_low) / (from_high - from_low)) + to_low;
}
