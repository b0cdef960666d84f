"""How many schedules a run of the tests plays; `make soak` plays twenty times as many."""

SEEDS = 1_000
