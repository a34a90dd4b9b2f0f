"""What commands say of the sinks that are configured."""

from __future__ import annotations

from streamer.config.store import ConfigStore
from tests.streamer.cli.conftest import Run


def test_run_check_tells_of_the_older_key_and_lists_the_sinks(
    run: Run, store: ConfigStore, redis_binary: str
) -> None:
    del redis_binary
    whole = store.file.read_text()
    store.file.write_text(whole + "redis: {max_memory_mb: 64}\n")
    result = run("run", "--check")
    assert "note: redis: is the older way of sinks: [{kind: redis, max_memory_mb: 64}]" in result.stderr
    store.file.write_text(whole + "sinks: [{kind: redis}, {kind: redis, name: hall, url: 'redis://h/0'}]\n")
    result = run("run", "--check")
    assert "note" not in result.stderr
    assert [line.split() for line in result.stdout.splitlines() if line.startswith("sink ")] == [
        ["sink", "redis", "redis"],
        ["sink", "hall", "redis", "redis://h/0"],
    ]
