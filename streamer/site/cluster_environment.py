"""How Ray's processes are to run: with the site's token and TLS, and telling nobody anything."""

from __future__ import annotations

from streamer.site import keys
from streamer.site.settings import SiteFolder

# A box that says nothing for about 2.5 s is taken for dead: 3 looks, half a second apart, of 1 s at most. A
# shorter one would take a busy box for a dead one, a longer one is blind time of all its cameras.
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


def ray_environment(folder: SiteFolder) -> dict[str, str]:
    """For every process of Ray on a box of the site; the token itself stays in its file."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder.keys / keys.TOKEN),
        "RAY_USE_TLS": "1",
        "RAY_TLS_CA_CERT": str(folder.keys / keys.CA),
        "RAY_TLS_SERVER_CERT": str(folder.keys / keys.CERTIFICATE),
        "RAY_TLS_SERVER_KEY": str(folder.keys / keys.KEY),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        # Ray's helpers are Python: on a busy box they take longer than Ray gives them to start
        "RAY_agent_register_timeout_ms": "180000",
        # a raylet that lost its head waits for it, rather than to end
        "RAY_gcs_rpc_server_reconnect_timeout_s": "86400",
    }


def tls_files(folder: SiteFolder) -> tuple[bytes, bytes, bytes]:
    """(ca, certificate, key) as PEM. Raises StorageError."""
    names = (keys.CA, keys.CERTIFICATE, keys.KEY)
    ca, certificate, key = (folder.key(name).encode() + b"\n" for name in names)
    return ca, certificate, key
