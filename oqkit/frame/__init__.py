"""The only place that knows Parquet and dataframes: user's frame ↔ Arrow table ↔ objects in a store."""
