"""The types of the events that pipelines make, each written once; those of analytics lie beside these
(pipelines/analytics), those of the daemon itself in streamer/events/cloudevents.py.
"""

LINE_CROSSED = "streamer.line.crossed.v1"
ZONE_ENTERED = "streamer.zone.entered.v1"
ZONE_EXITED = "streamer.zone.exited.v1"
ZONE_OCCUPANCY = "streamer.zone.occupancy.v1"
TRACK_ENDED = "streamer.track.ended.v1"
ACTION_DETECTED = "streamer.action.detected.v1"
SCENE_CHANGED = "streamer.scene.changed.v1"
ALERT = "streamer.alert.v1"
JOURNEY = "streamer.journey.v1"
