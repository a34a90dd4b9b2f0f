"""Alerts: rules about what should not happen, over everything that is told of a camera."""
