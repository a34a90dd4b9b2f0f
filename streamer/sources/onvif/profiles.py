"""A device's media profiles, of Media 1 (`tt:Profile`) and Media 2 (`tr2:MediaProfile`); which is read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from xml.etree.ElementTree import Element

from streamer.errors import NoSuchStream, one_line
from streamer.sources.onvif.hostile_xml import first, value

MAX_PROFILES = 64  # a recorder of 16 channels has 32 to 48
MAX_SHOWN = 64  # characters of a name
MAX_SIDE = 1 << 16
WIDTH = 640  # of the analysed picture, where nobody says otherwise


@dataclass(frozen=True, slots=True)
class Profile:
    """`fps` is the limit that the camera is set to, 0 where it says none; `source` its video source."""

    token: str
    name: str
    codec: str  # "H264", "H265", "JPEG", …
    width: int
    height: int
    fps: float
    source: str

    @property
    def load(self) -> float:
        """Pixels a second, which is what decoding costs."""
        return self.width * self.height * (self.fps or 25.0)

    def __str__(self) -> str:
        rate = f", {self.fps:g} frames/s" if self.fps else ""
        name = f" ({self.name})" if self.name and self.name != self.token else ""
        return one_line(f"{self.token}{name} {self.codec} {self.width}x{self.height}{rate}")


def read_profiles(answer: Element) -> list[Profile]:
    """Those with a video encoder, in the device's order, MAX_PROFILES at most."""
    found = (_profile(element) for element in answer.iter("Profiles"))
    return [profile for profile in found if profile is not None][:MAX_PROFILES]


def _profile(element: Element) -> Profile | None:
    encoder = first(element, "VideoEncoderConfiguration")
    encoder = first(element, "Configurations", "VideoEncoder") if encoder is None else encoder
    token = element.get("token", "")
    if encoder is None or not token or len(token) > MAX_SHOWN:
        return None
    own_name = next((child.text or "" for child in element if child.tag == "Name"), "")
    return Profile(
        token,
        one_line(own_name.strip()[:MAX_SHOWN]),
        one_line(value(encoder, "Encoding").upper()[:16]),
        int(_number(value(encoder, "Resolution", "Width"))),
        int(_number(value(encoder, "Resolution", "Height"))),
        _number(value(encoder, "RateControl", "FrameRateLimit")),
        one_line(value(element, "SourceToken")[:MAX_SHOWN]),
    )


def _number(text: str) -> float:
    """0 for what is none, or none that a camera can mean."""
    with suppress(ValueError):
        number = float(text)
        if isfinite(number) and 0 <= number <= MAX_SIDE:
            return number
    return 0.0


def choose(profiles: Sequence[Profile], wanted: str, width: int = WIDTH) -> Profile:
    """The profile of the token or name `wanted`; without one the cheapest to decode that is as wide as the
    analysed picture (`width`), else the widest. Raise NoSuchStream, also where several video sources (a
    recorder's channels) leave open which camera is meant.
    """
    if wanted:
        by_token = [profile for profile in profiles if profile.token == wanted]
        named = by_token or [profile for profile in profiles if profile.name.lower() == wanted.lower()]
        if len(named) != 1:
            raise NoSuchStream(f"no profile {one_line(wanted[:MAX_SHOWN])!r}: name {_listed(profiles)}")
        return named[0]
    if not profiles:
        raise NoSuchStream(
            "the camera has no profile with video: make one in its web page, under ONVIF or Media"
        )
    if len({profile.source for profile in profiles}) > 1:
        raise NoSuchStream(
            f"several cameras are behind this address: name the profile of one, {_listed(profiles)}"
        )
    return _cheapest([p for p in profiles if p.codec != "JPEG"] or profiles, width)


def _cheapest(profiles: Sequence[Profile], width: int) -> Profile:
    enough = [profile for profile in profiles if profile.width >= width]
    if enough:
        return min(enough, key=lambda profile: profile.load)
    return max(profiles, key=lambda profile: profile.width)


def _listed(profiles: Sequence[Profile]) -> str:
    return "one of " + "; ".join(map(str, profiles)) if profiles else "none: there is none with video"
