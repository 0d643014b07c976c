"""From a CSV file on disk to typed rows in a scratch DuckDB file, with every row accounted for; it publishes nothing."""
