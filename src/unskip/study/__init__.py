"""Studies: what varies over runs, what is read from them, and what is printed beside it."""
