"""Ways to make a pair, one file each: what writes the two replies to a prompt, and which of them is chosen."""
