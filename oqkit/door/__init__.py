"""Familiar doors to the queue: `concurrent.futures`, joblib, tqdm, and accessors of frames."""
