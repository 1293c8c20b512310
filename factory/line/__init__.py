"""What a run is made of: its stages and rounds, what is checked, forecast and counted before and beside them."""
