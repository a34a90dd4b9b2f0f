"""The configuration: its keys, the YAML files that hold them, secrets, atomic writes."""
