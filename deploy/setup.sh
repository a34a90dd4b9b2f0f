#!/bin/sh
# Installs the system packages that are missing, and nothing else: `deploy/setup.sh [--tests] [--check]`.
#
#   --tests  also what the tests use: ffmpeg, a GStreamer RTSP server, an MQTT broker, promtool and Chromium
#   --check  install nothing; say what is missing and fail if something is
#
# What is already there in any form (another distribution, own builds) is left alone: the check looks for the
# program or library, not for the package. Debian's own Redis service is neither started nor enabled, since the
# daemon runs a private redis-server; a Redis that was installed before is not touched.
set -eu

tests=no
check=no
for option in "$@"; do
    case "$option" in
        --tests) tests=yes ;;
        --check) check=yes ;;
        *) echo "usage: $0 [--tests] [--check]" >&2; exit 2 ;;
    esac
done

here=$(dirname "$0")
missing=""  # packages, in Debian's names
fatal=""    # those without which nothing can be installed or imported
need() { missing="$missing $1"; if [ "${2:-}" = fatal ]; then fatal="$fatal $1"; fi; }

look() {
    missing=""
    fatal=""
    if ! python=$("$here/find-python.sh" 2>/dev/null); then
        need python3 fatal
        need python3-venv fatal
        python=/usr/bin/python3
    elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        need "$("$python" -c 'import os, sys
own = os.path.realpath(sys.executable) == os.path.realpath("/usr/bin/python3")
print("python3-venv" if own else "python%d.%d-venv" % sys.version_info[:2])')" fatal
    fi
    loads libGL.so.1 || need libgl1 fatal
    loads libglib-2.0.so.0 || need libglib2.0-0 fatal
    command -v redis-server >/dev/null || command -v valkey-server >/dev/null || need redis-server
    if [ "$tests" = yes ]; then look_for_test_parts; fi
}

loads() { "$python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1" >/dev/null 2>&1; }

look_for_test_parts() {
    command -v ffmpeg >/dev/null || need ffmpeg
    command -v promtool >/dev/null || need prometheus  # judges the metrics; its server is not started
    command -v chromium >/dev/null || need chromium  # the tests of the page
    PATH="$PATH:/usr/sbin" command -v mosquitto >/dev/null || need mosquitto  # Debian's keeps it in /usr/sbin
    command -v systemd-analyze >/dev/null || need systemd  # judges the unit; it does not become init by this
    # The RTSP server of the tests runs under the system's Python, where python3-gi lives.
    if ! /usr/bin/python3 - >/dev/null 2>&1 <<'PYTHON'
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
elements = ("appsink", "qtdemux", "rtph264pay", "h264parse")  # base, good, good, bad
sys.exit(0 if all(Gst.ElementFactory.find(name) for name in elements) else 1)
PYTHON
    then
        for package in python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base \
            gstreamer1.0-plugins-good gstreamer1.0-plugins-bad; do
            need "$package"
        done
    fi
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

may_be_root() {
    [ "$(id -u)" = 0 ] && return 0
    command -v sudo >/dev/null || return 1
    sudo -n true 2>/dev/null || [ -t 0 ]  # with a terminal, sudo may ask for the password
}

install_packages() {
    echo "installing system packages:$missing"
    fresh=""  # services that come with what is installed, and that nobody asked for
    guard=/usr/sbin/policy-rc.d
    for service in redis-server mosquitto prometheus; do
        case " $missing " in *" $service "*) fresh="$fresh $service" ;; esac
    done
    if [ -n "$fresh" ] && [ ! -e "$guard" ]; then
        trap 'as_root rm -f "$guard"' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$guard" >/dev/null  # start no service while we install
        as_root chmod 755 "$guard"
    fi
    as_root apt-get update -qq
    # shellcheck disable=SC2086  # one word a package
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
    if [ -n "$fresh" ] && command -v systemctl >/dev/null; then
        for service in $fresh; do as_root systemctl disable --quiet "$service.service"; done
    fi
}

look
if [ -z "$missing" ]; then exit 0; fi
if [ "$check" = no ] && command -v apt-get >/dev/null && may_be_root; then
    install_packages
    look
    if [ -z "$missing" ]; then exit 0; fi
fi
if [ -n "$fatal" ] || [ "$check" = yes ]; then
    echo "error: missing on this system:$missing (Debian package names). Install them, for example:" \
        "sudo apt-get install$missing" >&2
    exit 1
fi
echo "warning: missing on this system:$missing (Debian package names); going on without" >&2
