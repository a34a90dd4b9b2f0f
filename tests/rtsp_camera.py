"""A camera: GStreamer's RTSP server on loopback. Run by the system's Python, which has gi.

    /usr/bin/python3 rtsp_camera.py '{"mounts": {"/live": "( … name=pay0 )"}, "port": 0, "auth": null,
    "transports": ["tcp", "udp"]}'

Prints `port N` when it listens and serves until it is killed. `auth` is ["basic" or "digest", user,
password]. A path that is not mounted answers 404.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402


def add_auth(server, factories, method, user, password):
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    if method == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)
    for factory in factories:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        permissions.add_permission_for_role("viewer", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
        factory.set_permissions(permissions)


def main():
    wanted = json.loads(sys.argv[1])
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(wanted["port"]))
    kinds = {"tcp": GstRtsp.RTSPLowerTrans.TCP, "udp": GstRtsp.RTSPLowerTrans.UDP}
    protocols = GstRtsp.RTSPLowerTrans(0)
    for name in wanted["transports"]:
        protocols |= kinds[name]
    factories = []
    for path, launch in wanted["mounts"].items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch)
        factory.set_shared(False)
        factory.set_protocols(protocols)
        server.get_mount_points().add_factory(path, factory)
        factories.append(factory)
    if wanted["auth"]:
        add_auth(server, factories, *wanted["auth"])
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {wanted['port']}")
    print("port", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
