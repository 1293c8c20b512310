"""Models behind an API: one file per vendor, pacing, faults told apart, the Batch API, an answer cache across runs."""
