"""Bytes in a bucket."""
