"""How many schedules are played."""

SCHEDULES = 500
"""In a run of the tests; `make soak` plays forty times as many."""
SEEDS = 1_000
"""With a mistake planted, at most: by then it has to be noticed."""
