"""What the whole picture shows."""
