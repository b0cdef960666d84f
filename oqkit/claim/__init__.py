"""How a worker finds and claims rows: poll, choose a job, choose a part."""
