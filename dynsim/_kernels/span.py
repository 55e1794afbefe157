"""What part of which paths a kernel call computes, the same layout for every time loop: indices into ``span``."""

FIRST_PATH, FIRST_STEP, LAST_STEP, SAVE_EVERY, DRAW = 0, 1, 2, 3, 4

# Values of span[DRAW]: how a chain draws its terms
BY_FIELD, FIXED, EQUAL = 0, 1, 2
