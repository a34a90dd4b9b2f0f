"""Where a worker process begins: `python -m streamer.workers.main PROGRAM NAME RUNTIME STATE SHARED BEAT`.

PROGRAM is "module:function", as daemon/topology.py has it; BEAT is the worker's place among the heartbeats.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from streamer.ipc.counters import COUNTERS_FILE, FrameCounters
from streamer.logs import setup_daemon
from streamer.workers.allocator import give_large_buffers_pages_of_their_own, take_room_for_passing_names
from streamer.workers.loop import Worker, run

# How long a thread may keep the interpreter while another waits for it: frames pass between threads.
SWITCH_S = 0.0005


def main(argv: list[str]) -> int:
    program, name = argv[0], argv[1]
    runtime_dir, state_dir, shared_dir = (Path(text) for text in argv[2:5])
    beat = int(argv[5])
    setup_daemon(name)
    sys.setswitchinterval(SWITCH_S)
    counters = FrameCounters.attach(shared_dir / COUNTERS_FILE)
    counters.beat(beat)
    module, _, function = program.partition(":")
    create = getattr(importlib.import_module(module), function)
    worker: Worker = create(name, runtime_dir, state_dir, shared_dir)
    give_large_buffers_pages_of_their_own()
    take_room_for_passing_names()
    return run(worker, lambda: counters.beat(beat))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
