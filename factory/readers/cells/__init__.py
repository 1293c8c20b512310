"""What one cell holds: a JSON value, messages, a chat template, a transcript, an object; as turns, text or JSON."""
