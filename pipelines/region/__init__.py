"""Region of interest: the part of a camera's picture that is inferred, where that is not all of it."""
