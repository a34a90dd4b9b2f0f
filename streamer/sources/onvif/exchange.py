"""One request to a device and its answer: bounded in time and size, to one address, without redirects.

Whoever answers there gets a password as a digest at most, and never one that was typed for another host: all
requests go to the address that was judged (sources/limits.py), whatever the device says of where it is. What
began over TLS goes on over TLS, with the certificate checked at each request (sources/tls.py).
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from dataclasses import dataclass

from streamer.errors import PortClosed, SourceError, SourceStalled, one_line
from streamer.ipc.timed_http import TimedConnection
from streamer.sources.onvif.address import OnvifAddress, default_port
from streamer.sources.onvif.hostile_xml import MAX_XML_BYTES
from streamer.sources.tls import refused

HOW_ON = "is ONVIF switched on in the camera's web page, and at which port?"
_HEADERS = {"Content-Type": "application/soap+xml; charset=utf-8", "Connection": "close"}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    challenges: tuple[str, ...]  # its WWW-Authenticate headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """To the device at `address`, which its host was resolved to; all is over at `end_s` (monotonic).
    `context`: how its certificate is checked; None: it is asked in the clear."""

    device: OnvifAddress
    address: str
    end_s: float
    context: ssl.SSLContext | None = None

    def post(self, port: int, path: str, body: bytes, authorization: str = "") -> HttpAnswer:
        """Raise SourceError where nothing of use comes back."""
        plain = self.device.host.partition("%")[0]  # what the interface is called is nobody else's (RFC 6874)
        host = (f"[{plain}]" if ":" in plain else plain) + (
            "" if port == default_port(self.device) else f":{port}"
        )
        headers = _HEADERS | {"Host": host} | ({"Authorization": authorization} if authorization else {})
        connection = TimedConnection(self.address, port, self.context, plain)
        connection.end_s = self.end_s
        try:
            return self._exchange(connection, path, body, headers)
        except TimeoutError:
            raise SourceStalled(f"{self.device}: no answer from port {port} in time: {HOW_ON}") from None
        except ConnectionRefusedError:
            raise PortClosed(f"{self.device}: nothing listens on port {port}: {HOW_ON}") from None
        except ssl.SSLCertVerificationError as error:
            raise refused(error, str(self.device)) from None
        except ssl.SSLError as error:
            raise self._no_tls(port, error.reason or "broken off") from None
        except OSError as error:
            if isinstance(error, ConnectionResetError):
                self._refuse_https(port)
            said = error.strerror or "cut off"
            raise SourceError(f"{self.device}: is not reached ({said}): is it on?") from None
        except (http.client.HTTPException, ValueError):
            self._refuse_https(port)
            raise SourceError(f"{self.device}: port {port} answers in no HTTP: {HOW_ON}") from None
        finally:
            connection.close()

    def _exchange(
        self, connection: TimedConnection, path: str, body: bytes, headers: dict[str, str]
    ) -> HttpAnswer:
        connection.request("POST", path, body, headers)
        with connection.getresponse() as response:
            return self._read(response)

    def _read(self, response: http.client.HTTPResponse) -> HttpAnswer:
        if 300 <= response.status < 400:
            location = response.headers.get("Location", "").lower()
            if location.startswith("https:") and not self.device.secure:
                raise SourceError(f"{self.device}: answers with a redirect to HTTPS: {self._how_secure()}")
            raise SourceError(f"{self.device}: answers with a redirect, which is not followed: {HOW_ON}")
        raw = response.read(MAX_XML_BYTES + 1)
        if len(raw) > MAX_XML_BYTES:
            most = f"{MAX_XML_BYTES >> 10} KiB"
            raise SourceError(f"{self.device}: answers with over {most}: is this an ONVIF camera?")
        if response.status == 400 and b"HTTPS port" in raw:  # as nginx says it
            raise SourceError(f"{self.device}: speaks HTTPS at this port: {self._how_secure()}")
        challenges = tuple(response.headers.get_all("WWW-Authenticate") or ())
        return HttpAnswer(response.status, challenges, raw)

    def _refuse_https(self, port: int) -> None:
        """Raise SourceError where a TLS server is on the port, which cuts off who speaks HTTP to it. Nothing
        is told to it, so that its certificate is not looked at."""
        if self.device.secure:
            return
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            with socket.create_connection((self.address, port), max(0.1, self.left_s())) as plain:
                context.wrap_socket(plain).close()
        except OSError:
            return  # it speaks no TLS either
        raise SourceError(f"{self.device}: port {port} speaks HTTPS: {self._how_secure()}")

    def _how_secure(self) -> str:
        return (
            f"ask it as onvifs://{self.device.bracketed}[:PORT], with its certificate or its authority's "
            "(source.ca, --ca)"
        )

    def _no_tls(self, port: int, why: str) -> SourceError:
        return PortClosed(
            f"{self.device}: port {port} speaks no TLS ({one_line(why)}): check the port; onvif:// asks "
            "without encryption, if that is meant"
        )

    def left_s(self) -> float:
        return self.end_s - time.monotonic()
