"""Asking a camera by ONVIF, once: where its streams are; and which cameras there are (decision 026).

Commands and the API's child process do it; no process that reads cameras imports this.
"""
