"""One file per command: each is a function that takes plain values, and knows no terminal."""
