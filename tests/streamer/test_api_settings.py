"""The section `api`: what is listened at, and under which names."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from streamer.config.api_settings import ApiConfig
from streamer.config.schema import Config
from streamer.daemon.topology import plan

TLS = {"tls_cert": "/c.pem", "tls_key": "/k.pem"}


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ({"listen": "127.0.0.1:8380"}, {"localhost", "127.0.0.1", "::1"}),
        (
            {"listen": "[::1]:8380", "hosts": ["Box.Example"]},
            {"localhost", "127.0.0.1", "::1", "box.example"},
        ),
        ({"listen": "/run/streamer/http.sock"}, {"localhost", "127.0.0.1", "::1"}),
        ({"listen": "192.168.1.5:443", **TLS}, {"192.168.1.5"}),
        ({"listen": "192.168.1.5:80", "behind_proxy": True}, {"192.168.1.5"}),
        ({"listen": "0.0.0.0:443", "hosts": ["box.example"], **TLS}, {"box.example"}),
    ],
)
def test_what_is_safe_is_taken_with_the_names_it_may_be_asked_under(
    settings: dict[str, Any], hosts: set[str]
) -> None:
    assert ApiConfig.model_validate(settings).allowed_hosts == hosts


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"listen": "192.168.1.5:8380"}, "clear text"),
        ({"listen": "0.0.0.0:8380", "hosts": ["x"]}, "clear text"),
        ({"listen": "[::]:8380", "hosts": ["x"]}, "clear text"),
        ({"listen": "0.0.0.0:443", **TLS}, "under which names"),
        ({"listen": "127.0.0.1:80", "tls_cert": "/c.pem"}, "go together"),
        ({"listen": "/run/x.sock", **TLS}, "UNIX socket needs none"),
        ({"listen": "/" + "x" * 107}, "107 bytes"),
        ({"listen": "127.0.0.1"}, "no port"),
        ({"listen": "127.0.0.1:99999"}, "no port"),
        ({"listen": "127.0.0.1:８"}, "no port"),
        ({"listen": "example.org:80"}, "no address"),
        ({"listen": "::1:80"}, "write 127"),
        ({"listen": ":80"}, "no address"),
        ({"listen": "http.sock"}, "no port"),
        ({"hosts": ["box.example:443"]}, "without a port"),
        ({"hosts": ["*"]}, "without a port"),
        ({"hosts": ["a b"]}, "without a port"),
        ({"tls_cert": "c.pem", "tls_key": "k.pem"}, "absolute path"),
        ({"cors": "*"}, "cors"),
    ],
)
def test_what_is_not_is_refused_with_what_to_do(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ApiConfig.model_validate(settings)


def test_nothing_is_served_unless_it_is_asked_for() -> None:
    assert Config().api.listen is None
    assert "api" not in plan(Config()).workers
    assert "api" in plan(Config(api=ApiConfig(listen="127.0.0.1:8380"))).workers
