"""Which columns a pair is made of: its prompt, what says which reply is better, and what follows the pair."""
