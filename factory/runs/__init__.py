"""A whole run otherwise than carried out: what it would take, how fast it went, and carried out again."""
