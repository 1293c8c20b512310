"""What a run is made of: its stages and rounds, what is checked before them, and who is told of them."""
