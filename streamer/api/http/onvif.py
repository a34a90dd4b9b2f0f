"""onvif:// in a request for a camera: the device is asked once, and its rtsp:// address taken."""

from __future__ import annotations

import os
from typing import Any

from streamer.api.apply_change import take_credentials, validated
from streamer.api.arguments import read_arguments
from streamer.api.callers import Caller
from streamer.api.changes import WithCredentials
from streamer.api.http.site import Site
from streamer.api.source_urls import check_source
from streamer.api.tokens import Token
from streamer.sources.onvif.address import is_onvif, read_address, stand_in
from streamer.sources.onvif.lookup_process import look_up_apart


def names_device(body: dict[str, Any]) -> bool:
    """Whether the camera of a request is to be asked where its stream is."""
    camera = body.get("camera")
    url = camera.get("url") if isinstance(camera, dict) else None
    return isinstance(url, str) and is_onvif(url)


def with_stream(site: Site, token: Token, body: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`body` with the address of the device's stream, and what there is to know of it. Takes seconds.

    Raise ConfigError for what may not be named, SourceError where the device names no stream.
    """
    settings = dict(body["camera"])
    rest = {key: value for key, value in body.items() if key != "camera"}
    credentials = take_credentials(settings, read_arguments(WithCredentials, rest))
    url = settings["url"]
    source = settings.get("source")
    ca = source.get("ca") if isinstance(source, dict) else ""
    camera = validated({**settings, "url": stand_in(read_address(url), ca)})
    caller = Caller(os.geteuid(), at_most=token.role, behalf=f"token {token.name}")
    check_source(site.config, None, camera, caller)
    user, password = (credentials.username, credentials.password) if credentials else (None, None)
    limits, width = site.config.sources.limits, camera.source.analysis_width
    found = look_up_apart(url, user, password, limits, width, camera.source.ca)
    source = {**settings.get("source", {}), "onvif": found.endpoint, "ca": found.ca}
    resolved = {**rest, "camera": {**settings, "url": found.url, "source": source}}
    if credentials:
        resolved |= {"username": user, "password": password}
    return resolved, [f"by ONVIF: profile {found.profile}, at {found.url}", *found.notes]
