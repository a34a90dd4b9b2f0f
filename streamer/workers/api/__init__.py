"""The API worker: HTTP, in a process of its own beside the frames' way."""
