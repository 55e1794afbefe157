"""What part of which paths a kernel call computes, the same layout for every time loop: indices into ``span``."""

FIRST_PATH, FIRST_STEP, LAST_STEP, SAVE_EVERY = 0, 1, 2, 3
