"""The address of a sink: of a scheme of its kind, whatever else it says."""

from __future__ import annotations

import pytest

from streamer.errors import ConfigError
from streamer.sinks.sink_address import hosts_of, parse_address

PORTS = {"http": 80, "https": 443}


@pytest.mark.parametrize(
    "address", ["htps://hook.example:8443/x", "htps://hook.example/x", "mqtt://a:1", "a:1"]
)
def test_another_scheme_is_refused_with_a_port_as_without(address: str) -> None:
    assert hosts_of(address, PORTS) == []
    with pytest.raises(ConfigError, match="write http://HOST or https://HOST"):
        parse_address(address, PORTS)


def test_a_scheme_of_the_kind_gives_the_usual_port_or_the_one_that_is_named() -> None:
    assert hosts_of("https://hook.example/x", PORTS) == [("hook.example", 443)]
    assert hosts_of("HTTPS://[::1]:8443/x", PORTS) == [("::1", 8443)]
