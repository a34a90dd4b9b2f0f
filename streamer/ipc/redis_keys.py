"""Every Redis key (DESIGN section 4): the braces keep one camera's keys in one Cluster slot."""

from __future__ import annotations


def events_key(node: str, camera: str) -> str:
    return f"streamer:{{{node}/{camera}}}:events"


def totals_key(node: str, camera: str) -> str:
    return f"streamer:{{{node}/{camera}}}:totals"


def state_key(node: str, camera: str) -> str:
    return f"streamer:{{{node}/{camera}}}:state"


CAMERAS_KEY = "streamer:cameras"


def terms_key(site: str, camera: str) -> str:
    """Of a site's camera: which box owns it from when on."""
    return f"streamer:{{{site}/{camera}}}:terms"


def term_events_key(site: str, camera: str, term: int) -> str:
    return f"streamer:{{{site}/{camera}}}:{term}:events"


def term_totals_key(site: str, camera: str, term: int) -> str:
    return f"streamer:{{{site}/{camera}}}:{term}:totals"


def term_state_key(site: str, camera: str, term: int) -> str:
    return f"streamer:{{{site}/{camera}}}:{term}:state"


def site_cameras_key(site: str) -> str:
    """The cameras that have, or had, a term in the site."""
    return f"streamer:site:{site}:cameras"


def site_configuration_key(site: str) -> str:
    """The site's cameras as they are configured: what boxes read, and `streamer site` writes."""
    return f"streamer:site:{site}:configuration"


def site_boxes_key(site: str) -> str:
    """What each box of the site said last, and when."""
    return f"streamer:site:{site}:boxes"


def site_drained_key(site: str) -> str:
    """The boxes of the site that are to have no cameras."""
    return f"streamer:site:{site}:drained"
