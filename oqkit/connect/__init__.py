"""The queue as people and programs use it: open one, submit, find, work."""
