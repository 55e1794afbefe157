/* TestU01's batteries on 64-bit words from standard input, of which TestU01 sees 32 bits at a time.

       cc -O2 scripts/bench/testu01.c -ltestu01 -ltestu01probdist -ltestu01mylib -lm -o testu01
       python scripts/check_noise.py --raw step | ./testu01 crush high

   Batteries: small, crush, big. Views of a word: both (high half, then low half), high, low, reversed (the low half
   from its lowest bit on: the high half of the word read backwards). */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <testu01/bbattery.h>
#include <testu01/swrite.h>
#include <testu01/unif01.h>

static uint64_t words[1 << 16];
static size_t used, filled;
static enum { BOTH, HIGH, LOW, REVERSED } view;

static uint64_t next_word(void)
{
    if (used == filled) {
        used = 0;
        filled = fread(words, sizeof *words, sizeof words / sizeof *words, stdin);
        if (!filled) {
            fputs("testu01: standard input ended\n", stderr);
            _Exit(1);
        }
    }
    return words[used++];
}

static uint32_t reversed(uint32_t x)
{
    uint32_t y = 0;
    for (int i = 0; i < 32; i++, x >>= 1) y = y << 1 | (x & 1);
    return y;
}

static unsigned int next_bits(void)
{
    static uint64_t word;
    static int second;
    if (view == BOTH) {
        if (!second) word = next_word();
        second = !second;
        return (unsigned int)(second ? word >> 32 : word);
    }
    word = next_word();
    return view == HIGH ? (unsigned int)(word >> 32) : view == LOW ? (unsigned int)word : reversed((uint32_t)word);
}

int main(int argc, char **argv)
{
    const char *views[] = {"both", "high", "low", "reversed"};
    int chosen = -1;
    for (int i = 0; argc == 3 && i < 4; i++)
        if (!strcmp(argv[2], views[i])) chosen = i;
    if (chosen < 0) {
        fprintf(stderr, "usage: %s small|crush|big both|high|low|reversed < words\n", argv[0]);
        return 2;
    }
    view = chosen;
    swrite_Basic = FALSE; /* the summary only */
    unif01_Gen *generator = unif01_CreateExternGenBits(argv[2], next_bits);
    if (!strcmp(argv[1], "small")) bbattery_SmallCrush(generator);
    else if (!strcmp(argv[1], "crush")) bbattery_Crush(generator);
    else bbattery_BigCrush(generator);
    printf("p-values");
    for (int i = 0; i < bbattery_NTests; i++) printf(" %.6g", bbattery_pVal[i]);
    printf("\n");
    return 0;
}
