"""The configuration: `streamer.yaml` and one file a camera in `cameras.d`. load() parses and validates.

Models are frozen pydantic models; a wrong value ends in ConfigError with file, line and key.
"""

from __future__ import annotations

import re
import zoneinfo
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializeAsAny,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from pipelines.camera_rules import CameraRules
from pipelines.journeys.spec import JourneySpec
from pipelines.rules import AbsolutePath, Name, PathText, Strict
from pipelines.spec import MAX_PAUSE_S, SceneSpec
from streamer.config.api_settings import ApiConfig
from streamer.config.audit_result import AuditResult
from streamer.config.clip_settings import ClipsConfig
from streamer.config.clip_settings import People as People
from streamer.config.opening_hours import OpeningHours
from streamer.config.validation_errors import explain, show_place
from streamer.errors import ConfigError
from streamer.ipc.choices import Decode, Frames, Transport
from streamer.sinks import SINKS, sink_class
from streamer.sinks.base import SinkSettings
from streamer.sinks.redis import RedisSettings
from streamer.sinks.redis_url import check_redis_url
from streamer.sources.limits import SourceLimits
from streamer.sources.urls import ALLOWED, check_choice, check_source_url, scheme_of, split_credentials

LEDGER_FILE = "ledger.sqlite"
_ACCOUNT = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\$?")
HealthFault = Literal["frozen", "black", "covered", "defocused", "moved"]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def _auto_or_number(value: Any, number: ValidatorFunctionWrapHandler) -> Any:
    return value if value == "auto" else number(value)


if TYPE_CHECKING:
    Fps = float | Literal["auto"]
else:  # not the union itself: what is wrong with a number is then said of the number alone
    Fps = Annotated[
        float,
        Field(ge=0, le=120),
        WrapValidator(_auto_or_number),
        PlainSerializer(lambda fps: fps),
        WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "number", "minimum": 0, "maximum": 120}]}),
    ]


class SourceOptions(Strict):
    """How a camera's stream is read."""

    fps: Fps = "auto"  # analysed frames a second: as many as what is followed needs; 0: as many as fit
    analysis_width: int = Field(default=640, ge=64, le=3840)
    loop: bool = False
    realtime: bool = True
    open_timeout_s: Seconds = 10.0
    read_timeout_s: Seconds = 5.0
    stream: int | None = Field(default=None, ge=0, le=10_000)  # None: the video that FFmpeg would take
    transport: Transport = "auto"
    ca: str = Field(default="", max_length=1024)  # who vouches for its certificate: sources/tls.py
    decode: Decode = "none"
    frames: Frames = "all"  # key: key frames alone are decoded
    gate: Literal["off", "auto"] = "off"  # auto: it rests while nothing moves in front of it
    onvif: str = Field(default="", max_length=128)  # the endpoint reference by which it is discovered


class HealthOptions(Strict):
    """Whether a camera's health is watched, and which states of it are as they should be at this camera."""

    enabled: bool = True
    ignore: tuple[HealthFault, ...] = ()


class CameraConfig(Strict):
    """`cameras.d/NAME.yaml`. The URL holds no credentials: those live in the secrets file.

    `model` names a model of the store, the one in the package (default) or motion, `actions` a model of what
    people do, `actions_pause_s` how long the same is not told again; None leaves the choice to the pipeline.
    `audit` is what a person found of its counts: it changes no count, only how sure one is told to be.
    """

    name: Name
    url: str = Field(min_length=1, max_length=2048)
    enabled: bool = True
    pipeline: Name = "default"
    model: PathText | None = Field(default=None, min_length=1, max_length=255)
    actions: PathText | None = Field(default=None, min_length=1, max_length=255)
    actions_pause_s: float | None = Field(default=None, ge=0, le=MAX_PAUSE_S)
    source: SourceOptions = SourceOptions()
    health: HealthOptions = HealthOptions()
    scene: SceneSpec | None = None
    audit: AuditResult | None = None
    rules: CameraRules = CameraRules()

    @property
    def wants_clips(self) -> bool:
        """Whether one of its alerts asks for a clip."""
        return any(alert.clip for alert in self.rules.alerts)

    @field_validator("url")
    @classmethod
    def _readable_and_clean(cls, url: str) -> str:
        try:
            url = check_source_url(url)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if scheme_of(url) == "file" and not url.startswith(("/", "~", "file:")):
            # of which folder? The daemon stands in another than who wrote it
            raise ValueError(
                f"is no URL, and no whole path of a file, which begins with /: write one; {ALLOWED}"
            )
        if split_credentials(url)[1:] != (None, None):
            raise ValueError(
                "holds a user name or password: leave them out and put them into secrets.yaml, "
                "or use `streamer camera set`, which does it for you"
            )
        return url

    @model_validator(mode="after")
    def _can_be_chosen(self) -> CameraConfig:
        try:
            check_choice(self.url, self.source.stream, self.source.transport, self.source.ca)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        if self.source.frames == "key" and self.source.gate == "auto":
            raise ValueError(
                "source: gate=auto and frames=key are two ways to decode less: leave one of them out"
            )
        return self


class InferenceConfig(Strict):
    engine: Literal["auto", "auto-int8", "openvino", "onnx", "torch", "motion"] = "auto"
    workers: int = Field(default=1, ge=1, le=16)
    threads: int = Field(default=0, ge=0, le=256)  # 0: all cores the process may use


class CaptureConfig(Strict):
    cameras_per_worker: int = Field(default=4, ge=1, le=32)
    slots: int = Field(default=4, ge=3, le=16)


class SourcesConfig(Strict):
    """What cameras may reach: `files` are folders, `networks` CIDR; None: as sources/limits.py has it."""

    files: tuple[Path, ...] | None = None
    networks: tuple[str, ...] | None = None

    @field_validator("files")
    @classmethod
    def _absolute(cls, folders: tuple[Path, ...] | None) -> tuple[Path, ...] | None:
        if wrong := next((folder for folder in folders or () if not folder.is_absolute()), None):
            raise ValueError(f"{str(wrong)[:64]!r} is no absolute path of a folder (beginning with /)")
        return folders

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for text in networks or ():
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(
                    f"{text[:64]!r} is no network such as 192.168.10.0/24 or fd12:3456::/48"
                ) from error
        return networks

    @property
    def limits(self) -> SourceLimits:
        files = None if self.files is None else tuple(map(str, self.files))
        return SourceLimits(files, self.networks)


class RedisConfig(Strict):
    """The older way of one sink: RedisSettings, or with `enabled: false` none."""

    enabled: bool = True
    url: str = ""
    stream_max_len: int = Field(default=100_000, ge=1000)
    max_memory_mb: int = Field(default=256, ge=16)

    @field_validator("url")
    @classmethod
    def _clean(cls, url: str) -> str:
        return check_redis_url(url)

    def as_sinks(self) -> tuple[RedisSettings, ...]:
        settings = self.model_dump(exclude={"enabled"})
        return (RedisSettings(kind="redis", name="redis", **settings),) if self.enabled else ()

    def in_the_newer_way(self) -> str:
        """The key `sinks` that says the same, as YAML."""
        keys = self.model_dump(exclude={"enabled"}, exclude_defaults=True)
        entry = ", ".join(f"{key}: {value}" for key, value in {"kind": "redis", **keys}.items())
        return f"sinks: [{{{entry}}}]" if self.enabled else "sinks: []"


def _of_its_kind(entry: Any) -> Any:
    """An entry of `sinks` as the settings of its kind. Raises ValueError in one line."""
    if not isinstance(entry, dict):
        return entry  # settings already, or refused by their model
    kind = entry.get("kind")
    if not isinstance(kind, str):
        raise ValueError(f"kind: says where events go: {', '.join(SINKS)}")
    if kind not in SINKS:
        raise ValueError(f"kind: {kind[:64]!r} is no kind of sink; known: {', '.join(SINKS)}")
    model = sink_class(kind).Settings
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        place, text = explain(error, model)
        raise ValueError(f"{show_place(place)}: {text}" if place else text) from None


# Serialised with the keys of their kinds, which are in what the ledger keeps of a configuration.
AnySink = Annotated[SerializeAsAny[SinkSettings], BeforeValidator(_of_its_kind)]


class RolesConfig(Strict):
    """Who may ask a running daemon for what: names of users, and of groups with an @ before them."""

    viewer: tuple[str, ...] = ()
    operator: tuple[str, ...] = ("@streamer",)
    admin: tuple[str, ...] = ()

    @field_validator("viewer", "operator", "admin")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for wrong in (name for name in names if not _ACCOUNT.fullmatch(name)):
            raise ValueError(f"{wrong[:64]!r} is no user's name, and no group's with an @ before it")
        return names


class ControlConfig(Strict):
    """The control socket. `roles` None: who may open it may ask for everything."""

    roles: RolesConfig | None = None


class PrivacyConfig(Strict):
    """What pictures show of people where the command that writes one does not say."""

    people: People = "show"


class LedgerConfig(Strict):
    max_mb: int = Field(default=2048, ge=16)
    retention_days: float = Field(default=400, gt=0)
    tracks_days: float | None = Field(default=None, gt=0)  # None: as long as events


class CountsConfig(Strict):
    bucket_s: int = Field(default=60, ge=1, le=3600)


class TracingConfig(Strict):
    """OpenTelemetry traces of frames, by OTLP over HTTP (extra otel). `endpoint` empty: none. `sample`: a
    share of all frames, or one a second of each camera."""

    endpoint: str = Field(default="", max_length=2048, pattern=r"^(https?://[^\s/@]+(/\S*)?)?$")
    sample: Annotated[float, Field(gt=0, le=1)] | Literal["1/s"] = "1/s"


class LoggingConfig(Strict):
    """How the daemon's processes log: `text`, or `json`, one object a line. Taken at the start."""

    format: Literal["text", "json"] = "text"


class Config(Strict):
    """The whole configuration. `cameras` are read from `cameras.d`, not from streamer.yaml.

    ConfigStore.load() fills in the two folders where the file names none.
    """

    display_name: str = Field(default="", max_length=255)
    timezone: str = "UTC"
    opening_hours: OpeningHours = Field(default_factory=dict)
    state_dir: AbsolutePath | None = None
    runtime_dir: AbsolutePath | None = None
    inference: InferenceConfig = InferenceConfig()
    capture: CaptureConfig = CaptureConfig()
    sources: SourcesConfig = SourcesConfig()
    control: ControlConfig = ControlConfig()
    privacy: PrivacyConfig = PrivacyConfig()
    clips: ClipsConfig = ClipsConfig()
    journeys: JourneySpec = JourneySpec()
    api: ApiConfig = ApiConfig()
    redis: RedisConfig | None = None  # the older way of `sinks`
    sinks: tuple[AnySink, ...] | None = None  # neither: the private Redis
    ledger: LedgerConfig = LedgerConfig()
    counts: CountsConfig = CountsConfig()
    tracing: TracingConfig = TracingConfig()
    logging: LoggingConfig = LoggingConfig()
    cameras: tuple[CameraConfig, ...] = ()

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
            raise ValueError(f"{name[:64]!r} is not a timezone name such as Europe/Berlin") from error
        return name

    @model_validator(mode="after")
    def _hidden_are_not_followed(self) -> Config:
        if self.journeys.cameras and self.privacy.people != "show":
            raise ValueError(
                "journeys: people are known again at other cameras, and privacy.people hides them: remove one"
            )
        return self

    @model_validator(mode="after")
    def _sinks_agree(self) -> Config:
        if self.sinks is None:
            return self
        if self.redis is not None:
            raise ValueError("redis: and sinks: are two ways of one thing: keep sinks, and remove redis")
        names = [sink.name for sink in self.sinks]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise ValueError(f"sinks: two have the name {twice}: give each a name of its own (name: …)")
        owned = [sink.own for sink in self.sinks if sink.own]
        if shared := next((target for target in owned if owned.count(target) > 1), ""):
            raise ValueError(f"sinks: two write to {shared}: give each a file of its own")
        if len([sink for sink in self.sinks if _is_private(sink)]) > 1:
            raise ValueError("sinks: two of kind redis have no url, and one private Redis is run at most")
        return self

    @model_validator(mode="after")
    def _clips_hide_people(self) -> Config:
        self.clips.check_bound(self.privacy.people)
        return self

    @property
    def clip_people(self) -> People:
        """How people look in clips."""
        return self.clips.people or self.privacy.people

    @property
    def clip_folder(self) -> Path:
        """Where clips are kept, where they are."""
        return self.clips.folder or self.state_path / "clips"

    @property
    def event_sinks(self) -> tuple[SinkSettings, ...]:
        """Where events go, whichever key says so."""
        if self.sinks is None:
            return (self.redis or RedisConfig()).as_sinks()
        return self.sinks

    @property
    def redis_sinks(self) -> list[RedisSettings]:
        """Those of kind redis; the first is what the command line reads events from."""
        return [sink for sink in self.event_sinks if isinstance(sink, RedisSettings)]

    @property
    def private_redis(self) -> RedisSettings | None:
        """The sink for which a private redis-server is run, if one is."""
        return next((sink for sink in self.redis_sinks if _is_private(sink)), None)

    @property
    def advice(self) -> list[str]:
        """What works and has a better way, a line each."""
        advice = []
        if self.redis is not None:
            advice.append(f"redis: is the older way of {self.redis.in_the_newer_way()}")
        if self.privacy.people != "show" and self.control.roles is None:
            advice.append(
                f"privacy.people is {self.privacy.people}, and whoever may open the control socket can still "
                "ask for pictures as they are: say who may in control.roles"
            )
        if not self.clips.enabled and (wanting := [c.name for c in self.cameras if c.wants_clips]):
            advice.append(
                f"alerts of {', '.join(wanting)} ask for clips, and clips.enabled is false: none is made"
            )
        known = {camera.name for camera in self.cameras}
        if strange := [name for name in self.journeys.cameras if name not in known]:
            advice.append(
                f"journeys.cameras names {', '.join(strange)}, and there is no such camera: nobody is known "
                "again there until it has the name of today"
            )
        return advice

    @property
    def state_path(self) -> Path:
        """Where the ledger, the models and the node's identity live."""
        return self.state_dir or Path("/var/lib/streamer")

    @property
    def runtime_path(self) -> Path:
        """Where the sockets live while the daemon runs."""
        return self.runtime_dir or Path("/run/streamer")

    @property
    def ledger_path(self) -> Path:
        return self.state_path / LEDGER_FILE

    @property
    def control_path(self) -> Path:
        """The socket on which a running daemon takes changes."""
        return self.runtime_path / "control.sock"

    def camera(self, name: str) -> CameraConfig | None:
        return next((c for c in self.cameras if c.name == name), None)

    def known_camera(self, name: str) -> CameraConfig:
        """Raises ConfigError with the names that exist."""
        camera = self.camera(name)
        if camera is None:
            known = ", ".join(c.name for c in self.cameras) or "there is none yet"
            raise ConfigError(f"no camera {name[:64]!r}; known: {known}")
        return camera


def _is_private(sink: SinkSettings) -> bool:
    return isinstance(sink, RedisSettings) and not sink.url
