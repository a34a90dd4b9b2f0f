"""What is computed from tracks and their crossings besides lines and zones: one analytic a file."""
