"""The stages: each takes tables, an engine and its configuration, and returns a table."""
