"""What a person holds: queue, job, task; submit, wait, collect."""
