"""How a person or a program asks the daemon: the control socket, HTTP, and changes of the configuration."""
