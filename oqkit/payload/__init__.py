"""A job's objects: inputs by reference, results and errors in Parquet."""
