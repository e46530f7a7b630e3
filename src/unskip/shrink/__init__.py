"""From a budget to a proven file."""
