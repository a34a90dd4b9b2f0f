"""Becomes a command that does not outlive its parent:
`python -I -S dies_with_parent.py PARENT SIGNAL COMMAND…` gets SIGNAL when the process PARENT dies.

The child arranges it itself, in a program of its own: nothing may run between fork and exec in a process with
threads, one of which may hold a lock for ever in the copy. The kernel keeps the arrangement over the exec
(prctl(2), PR_SET_PDEATHSIG); a parent that had died before it was made is seen by the parent's number.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_RUN = 127  # as a shell says it


def main(argv: list[str]) -> int:
    parent_pid, signum, command = int(argv[0]), int(argv[1]), argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent_pid:
        return 1
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, for itself; an exec would hand it on
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
    return NOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
