"""An ONVIF camera for tests: a device and media service over HTTP, and WS-Discovery, in threads.

It checks what it is sent by itself, as cameras do: the digest of a UsernameToken, whose time must be near its
own clock and whose nonce is new, and HTTP Digest with a count that rises.
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import socket
import ssl
import struct
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

GROUP = "239.255.255.250"
TOLERANCE_S = 60.0  # of the time in a UsernameToken
REALM = "camera"
_ANSWER = (
    '<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope '
    'xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" xmlns:tt="http://www.onvif.org/ver10/schema" '
    'xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl" '
    'xmlns:tr2="http://www.onvif.org/ver20/media/wsdl" xmlns:ter="http://www.onvif.org/ver10/error">'
    "<SOAP-ENV:Body>{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>"
)
_FAULT = (
    "<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value><SOAP-ENV:Subcode>"
    "<SOAP-ENV:Value>ter:{code}</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code>"
    '<SOAP-ENV:Reason><SOAP-ENV:Text xml:lang="en">{text}</SOAP-ENV:Text></SOAP-ENV:Reason></SOAP-ENV:Fault>'
)
_MATCH = (
    '<?xml version="1.0" encoding="UTF-8"?><e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing" '
    'xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery" '
    'xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><e:Header><w:RelatesTo>{relates}</w:RelatesTo>'
    "</e:Header><e:Body><d:ProbeMatches><d:ProbeMatch><w:EndpointReference><w:Address>{endpoint}</w:Address>"
    "</w:EndpointReference><d:Types>{types}</d:Types><d:Scopes>{scopes}</d:Scopes>"
    "<d:XAddrs>{xaddrs}</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion></d:ProbeMatch></d:ProbeMatches>"
    "</e:Body></e:Envelope>"
)
_TAG = re.compile(r"\{(.*)\}(.*)")


@dataclass(frozen=True)
class CameraProfile:
    token: str
    uri: str
    name: str = ""
    codec: str = "H264"
    size: tuple[int, int] = (640, 360)
    fps: int = 12
    source: str = "video_0"


@dataclass
class OnvifCamera:
    """`auth`: how it wants the password, "both" takes either. `clock_ahead_s` is its clock's error.
    `raw` answers an operation with (status, headers, body) instead; `silent` are not answered until close.
    `asked` holds (operation, headers, body). `host` is an address of 127.0.0.0/8, so that several can be told
    apart, or ::1, where it cannot be discovered; `discovery_port` 0: it cannot be discovered. With a
    `certificate` and its key it speaks HTTPS; `xaddr_scheme` is what it says that it speaks.
    """

    profiles: Sequence[CameraProfile]
    auth: Literal["", "token", "digest", "both"] = ""
    user: str = "operator"
    password: str = "s3same & öl"
    clock_ahead_s: float = 0.0
    services: bool = True
    media2: bool = False
    xaddr_host: str = ""
    xaddr_scheme: str = ""
    certificate: tuple[Path, Path] | None = None
    host: str = "127.0.0.1"
    discovery_port: int = 0
    answers: int = 1  # to one probe; over one, each has an endpoint of its own
    types: str = "dn:NetworkVideoTransmitter"
    raw: Mapping[str, tuple[int, Mapping[str, str], bytes]] = field(default_factory=dict)
    silent: Sequence[str] = ()
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    endpoint: str = field(default_factory=lambda: f"urn:uuid:{uuid.uuid4()}")

    def __post_init__(self) -> None:
        self._closed = threading.Event()
        self._seen: set[str] = set()
        self._counts: dict[str, int] = {}  # by nonce of HTTP Digest
        self._server = (_Server6 if ":" in self.host else _Server)((self.host, 0), _handler(self))
        self.port = self._server.server_address[1]
        if self.certificate:
            self._server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._server.context.load_cert_chain(*self.certificate)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._sockets = self._listen() if self.discovery_port else []

    @property
    def url(self) -> str:
        return f"{'onvifs' if self.certificate else 'onvif'}://{self._bracketed}:{self.port}"

    @property
    def _xaddr(self) -> str:
        scheme = self.xaddr_scheme or ("https" if self.certificate else "http")
        return f"{scheme}://{self.xaddr_host or self._bracketed}:{self.port}/onvif"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def operations(self) -> list[str]:
        return [operation for operation, _, _ in self.asked]

    def __enter__(self) -> OnvifCamera:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # wakes its thread
            each.close()

    # ---- the services

    def answer(self, headers: dict[str, str], text: str) -> tuple[int, Mapping[str, str], bytes]:
        root = ElementTree.fromstring(text)
        body = next(element for element in root if element.tag.endswith("}Body"))
        match = _TAG.fullmatch(body[0].tag)
        assert match is not None
        namespace, operation = match.groups()
        self.asked.append((operation, headers, text))
        if operation in self.silent:
            self._closed.wait()
        if operation in self.raw:
            return self.raw[operation]
        free = ("GetSystemDateAndTime", "GetServices", "GetCapabilities")
        if self.auth and operation not in free and not self._knows(headers, root):
            nonce = uuid.uuid4().hex
            self._counts[nonce] = 0
            asks = f'Digest realm="{REALM}", nonce="{nonce}", qop="auth", algorithm=MD5'
            if self.auth == "token":
                return _fault(400, "NotAuthorized", "Sender not Authorized")
            return 401, {"WWW-Authenticate": asks}, b""
        return self._do(operation, "ver20" in namespace, body[0])

    def _do(
        self, operation: str, second: bool, request: ElementTree.Element
    ) -> tuple[int, Mapping[str, str], bytes]:
        base = self._xaddr
        if operation == "GetSystemDateAndTime":
            return _ok(_clock(datetime.now(UTC) + timedelta(seconds=self.clock_ahead_s)))
        if operation == "GetServices" and self.services:
            return _ok(_services(base, self.media2))
        if operation == "GetCapabilities":
            media = f"<tt:Media><tt:XAddr>{base}/media_service</tt:XAddr></tt:Media>"
            return _ok(f"<tds:Capabilities><tt:Device/>{media}</tds:Capabilities>")
        if operation == "GetDeviceInformation":
            return _ok(
                "<tds:Manufacturer>ACME</tds:Manufacturer><tds:Model>IPC-42</tds:Model>"
                "<tds:FirmwareVersion>1.2</tds:FirmwareVersion><tds:SerialNumber>4711</tds:SerialNumber>"
            )
        if operation == "GetProfiles":
            show = _media2_profile if second else _media1_profile
            return _ok("".join(show(profile) for profile in self.profiles))
        if operation == "GetStreamUri":
            token = next(element.text for element in request.iter() if element.tag.endswith("ProfileToken"))
            uri = next((profile.uri for profile in self.profiles if profile.token == token), None)
            if uri is None:
                return _fault(400, "NoProfile", "Profile token does not exist")
            uri = uri.replace("&", "&amp;")
            return _ok(
                f"<tr2:Uri>{uri}</tr2:Uri>"
                if second
                else f"<trt:MediaUri><tt:Uri>{uri}</tt:Uri></trt:MediaUri>"
            )
        return _fault(400, "ActionNotSupported", "Optional Action Not Implemented")

    def _knows(self, headers: Mapping[str, str], root: ElementTree.Element) -> bool:
        ways: list[Callable[[], bool]] = []
        if self.auth in ("token", "both"):
            ways.append(lambda: self._token_is_right(root))
        if self.auth in ("digest", "both"):
            ways.append(lambda: self._digest_is_right(headers.get("authorization", "")))
        return any(way() for way in ways)

    def _token_is_right(self, root: ElementTree.Element) -> bool:
        found = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
        if found.get("Username") != self.user or found["Nonce"] in self._seen:
            return False
        self._seen.add(found["Nonce"])
        raw = base64.b64decode(found["Nonce"]) + found["Created"].encode() + self.password.encode()
        right = base64.b64encode(hashlib.sha1(raw).digest()).decode() == found["Password"]
        theirs = datetime.strptime(found["Created"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        ours = datetime.now(UTC) + timedelta(seconds=self.clock_ahead_s)
        return right and abs((theirs - ours).total_seconds()) < TOLERANCE_S

    def _digest_is_right(self, header: str) -> bool:
        said = {
            key: quoted or plain
            for key, quoted, plain in re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', header)
        }
        name = re.sub(r"\\(.)", r"\1", said.get("username", "")).encode("latin-1").decode()
        if name != self.user or int(said["nc"], 16) <= self._counts[said["nonce"]]:
            return False
        self._counts[said["nonce"]] = int(said["nc"], 16)
        inner = _md5(f"{self.user}:{REALM}:{self.password}")
        outer = _md5(f"POST:{said['uri']}")
        return said["response"] == _md5(f"{inner}:{said['nonce']}:{said['nc']}:{said['cnonce']}:auth:{outer}")

    # ---- discovery

    def _listen(self) -> list[socket.socket]:
        """One for the group and one for the camera itself, which also answers, from its own address."""
        own = _udp((self.host, self.discovery_port))
        group = _udp((GROUP, self.discovery_port))
        membership = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton("127.0.0.1"))
        group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        for listening in (own, group):
            threading.Thread(target=self._match, args=(listening, own), daemon=True).start()
        return [own, group]

    def _match(self, listening: socket.socket, own: socket.socket) -> None:
        while not self._closed.is_set():
            try:
                raw, asker = listening.recvfrom(65536)
            except OSError:
                return
            wanted = re.search(rb"MessageID>([^<]*)<", raw)
            for _ in range(self.answers if wanted else 0):
                if self.answers > 1:
                    self.endpoint = f"urn:uuid:{uuid.uuid4()}"
                with suppress(OSError):
                    own.sendto(self.match(wanted[1].decode()).encode(), asker)

    def match(self, relates: str) -> str:
        """Its answer to a probe of the id `relates`."""
        scopes = ("type/video_encoder", "name/ACME%20Door", "hardware/IPC-42", "location/hall")
        return _MATCH.format(
            relates=relates,
            endpoint=self.endpoint,
            types=self.types,
            scopes=" ".join(f"onvif://www.onvif.org/{scope}" for scope in scopes),
            xaddrs=f"{self._xaddr}/device_service",
        )


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own; who does not trust us ends the handshake."""
        with suppress(OSError):
            if self.context:
                request = self.context.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
            request.close()  # where it was wrapped, nobody else does


class _Server6(_Server):
    address_family = socket.AF_INET6


def _handler(camera: OnvifCamera) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, body = camera.answer({**headers, ":path": self.path}, text)
            with suppress(OSError):
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **more}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _ok(body: str) -> tuple[int, Mapping[str, str], bytes]:
    return 200, {}, _ANSWER.format(body=f"<tds:Response>{body}</tds:Response>").encode()


def _fault(status: int, code: str, text: str) -> tuple[int, Mapping[str, str], bytes]:
    return status, {}, _ANSWER.format(body=_FAULT.format(code=code, text=text)).encode()


def _clock(now: datetime) -> str:
    time = (
        f"<tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}</tt:Second>"
    )
    date = f"<tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day>"
    utc = f"<tt:UTCDateTime><tt:Time>{time}</tt:Time><tt:Date>{date}</tt:Date></tt:UTCDateTime>"
    return f"<tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>{utc}</tds:SystemDateAndTime>"


def _services(base: str, media2: bool) -> str:
    places = {"10/device": "device_service", "10/media": "media_service"}
    places |= {"20/media": "media2_service"} if media2 else {}
    return "".join(
        f"<tds:Service><tds:Namespace>http://www.onvif.org/ver{name}/wsdl</tds:Namespace>"
        f"<tds:XAddr>{base}/{path}</tds:XAddr></tds:Service>"
        for name, path in places.items()
    )


def _encoder(profile: CameraProfile) -> str:
    width, height = profile.size
    return (
        f"<tt:Encoding>{profile.codec}</tt:Encoding><tt:Resolution><tt:Width>{width}</tt:Width>"
        f"<tt:Height>{height}</tt:Height></tt:Resolution><tt:RateControl>"
        f"<tt:FrameRateLimit>{profile.fps}</tt:FrameRateLimit></tt:RateControl>"
    )


def _media1_profile(profile: CameraProfile) -> str:
    return (
        f'<trt:Profiles token="{profile.token}" fixed="true"><tt:Name>{profile.name}</tt:Name>'
        f'<tt:VideoSourceConfiguration token="v"><tt:Name>v</tt:Name><tt:SourceToken>{profile.source}'
        "</tt:SourceToken></tt:VideoSourceConfiguration>"
        f'<tt:VideoEncoderConfiguration token="e"><tt:Name>e</tt:Name>{_encoder(profile)}'
        "</tt:VideoEncoderConfiguration></trt:Profiles>"
    )


def _media2_profile(profile: CameraProfile) -> str:
    return (
        f'<tr2:Profiles token="{profile.token}"><tr2:Name>{profile.name}</tr2:Name><tr2:Configurations>'
        f'<tr2:VideoSource token="v"><tt:Name>v</tt:Name><tt:SourceToken>{profile.source}</tt:SourceToken>'
        "</tr2:VideoSource>"
        f'<tr2:VideoEncoder token="e" GovLength="30"><tt:Name>e</tt:Name>{_encoder(profile)}'
        "</tr2:VideoEncoder></tr2:Configurations></tr2:Profiles>"
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def _udp(place: tuple[str, int]) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(place)
    return made
