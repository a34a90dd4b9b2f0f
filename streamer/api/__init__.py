"""How a person or a program asks the daemon: the control socket, and changes of the configuration."""
