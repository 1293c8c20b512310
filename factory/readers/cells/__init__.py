"""What one cell holds: a JSON value, messages, a chat template, a transcript, an object, or a word for a reply."""
