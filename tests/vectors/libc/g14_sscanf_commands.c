#include <stdio.h>
#include <string.h>

static void command(const char *line)
{
    char name[16], mode[8];
    int pin, value, used = 0;
    float volts;
    unsigned address;

    if (sscanf(line, "set %d %d%n", &pin, &value, &used) == 2)
        printf("set pin %d to %d, %d read\n", pin, value, used);
    else if (sscanf(line, "mode %d %7[a-z]", &pin, mode) == 2)
        printf("mode of %d is %s\n", pin, mode);
    else if (sscanf(line, "dac %f", &volts) == 1)
        printf("dac %.3f V\n", volts);
    else if (sscanf(line, "i2c %x", &address) == 1)
        printf("i2c at 0x%02X\n", address);
    else if (sscanf(line, "%15s", name) == 1)
        printf("unknown: %s\n", name);
    else
        printf("empty\n");
}

int main(void)
{
    command("set 13 1");
    command("set  4   -5 trailing");
    command("mode 7 outputopendrain");
    command("dac 1.65e0");
    command("i2c 0x76");
    command("reboot now");
    command("   ");
    int h, m, s;
    char zone;
    int n = sscanf("12:34:56Z", "%2d:%2d:%2d%c", &h, &m, &s, &zone);
    printf("%d %d:%d:%d%c\n", n, h, m, s, zone);
    long long big;
    double exact;
    n = sscanf("1234567890123 / 2.5", "%lld / %lf", &big, &exact);
    printf("%d %lld %.2f\n", n, big, exact);
    return 0;
}
