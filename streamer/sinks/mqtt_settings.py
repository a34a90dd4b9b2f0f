"""What the configuration says of an MQTT broker."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from streamer.sinks.sink_address import NetworkSettings

PORTS = {"mqtt": 1883, "mqtts": 8883}
_TOPIC = r"^[^+#\x00-\x1f/][^+#\x00-\x1f]*$"


class MqttSettings(NetworkSettings):
    """`vocabulary`: whether events are told as CloudEvents or in ONVIF's words (sinks/onvif.py).
    `commands` lets whoever may publish on the broker turn cameras on and off."""

    usual_ports: ClassVar[dict[str, int]] = PORTS
    url: str = Field(default="mqtt://localhost", min_length=1, max_length=2048)
    topic_prefix: str = Field(default="streamer", pattern=_TOPIC, max_length=64)
    vocabulary: Literal["cloudevents", "onvif"] = "cloudevents"
    commands: bool = False
    home_assistant: bool = False
    discovery_prefix: str = Field(default="homeassistant", pattern=_TOPIC, max_length=64)

    @model_validator(mode="after")
    def _tls_goes_together(self) -> MqttSettings:
        if self.url.startswith("mqtt://") and (self.tls_ca or self.tls_cert):
            raise ValueError("tls_ca, tls_cert and tls_key belong to an mqtts:// url: change the url")
        return self
