"""Events in their public form: CloudEvents, and a JSON schema for each type."""
