"""What is computed on frames: detection, tracking, counting. No sockets, processes, threads or clocks."""
