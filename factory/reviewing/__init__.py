"""Reviewing pairs by people: a page on this machine, a journal per person, a table of labels."""
