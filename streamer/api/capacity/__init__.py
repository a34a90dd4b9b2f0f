"""What this box can carry: what its cameras take now, and what more would."""
