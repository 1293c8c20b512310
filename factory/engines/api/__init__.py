"""Any OpenAI-compatible server: pacing, faults told apart, the Batch API, and an answer cache across runs."""
