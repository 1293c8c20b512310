"""Files as they lie on disk, whatever they are about: JSON, YAML, gzip, a table that grows."""
