"""HTTP: what a program may ask over it, with a token, and the limits that keep one client from costing the
others."""
