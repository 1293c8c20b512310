"""What may be said from counts, votes and labels: intervals, estimates, agreement. Pure functions, no model."""
