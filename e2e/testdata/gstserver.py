#!/usr/bin/env python3
# An RTSP server written by others (GStreamer's), for the tests: each mount
# point sends COUNT pictures from the first PLAY on, and then nothing more.
#
# usage: gstserver.py COUNT [--auth basic|digest] [--certificate FILE]
# prints its port, then serves until it is ended. The user is "user", the password
# "pass word"; FILE has the certificate and the key for TLS, in PEM.
import argparse
import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstRtsp", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer

Gst.init(None)
parser = argparse.ArgumentParser()
parser.add_argument("count", type=int)
parser.add_argument("--auth", choices=["basic", "digest"])
parser.add_argument("--certificate")
args = parser.parse_args()
count = args.count
video = f"videotestsrc is-live=true num-buffers={count} pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1"
# 25 pictures a second, 44 100 / 1024 AAC access units: as many as last as long.
audio = f"audiotestsrc is-live=true num-buffers={count * 44100 // 1024 // 25} samplesperbuffer=1024 wave=ticks ! audio/x-raw,rate=44100,channels=1"
# Of the ball's empty scans ffmpeg says "EOI missing", be they in a file of GStreamer's own.
jpeg = video.replace("ball", "smpte")
mounts = {
    "/h264aac": f"( {video} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96 "
    f"{audio} ! avenc_aac ! rtpmp4gpay name=pay1 pt=97 )",
    "/h265": f"( {video} ! x265enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph265pay name=pay0 pt=96 )",
    "/h264pcmu": f"( {video} ! x264enc bframes=2 speed-preset=ultrafast key-int-max=25 ! video/x-h264,profile=main ! rtph264pay name=pay0 pt=96 "
    f"audiotestsrc is-live=true num-buffers={count * 2} samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay name=pay1 )",
    "/h264latm": f"( {video} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! rtph264pay name=pay0 pt=96 "
    f"{audio} ! avenc_aac ! rtpmp4apay name=pay1 pt=97 )",
    "/jpegopus": f"( {jpeg},format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26 "
    f"audiotestsrc is-live=true num-buffers={count * 2} samplesperbuffer=960 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay name=pay1 pt=97 )",
    "/jpegl16": f"( {jpeg},format=Y42B ! jpegenc quality=60 ! rtpjpegpay name=pay0 pt=26 "  # 4:2:2
    f"audiotestsrc is-live=true num-buffers={count * 2} samplesperbuffer=882 ! audio/x-raw,format=S16BE,rate=44100,channels=2 ! rtpL16pay name=pay1 pt=10 )",
    # More than 2040 pixels: their number is in the SDP.
    "/bigjpeg": f"( videotestsrc is-live=true num-buffers={count // 5} ! video/x-raw,width=2560,height=1440,framerate=5/1,format=I420 ! jpegenc ! rtpjpegpay name=pay0 pt=26 "
    f"audiotestsrc is-live=true num-buffers={count * 2} samplesperbuffer=160 ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 )",
}
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
if args.auth or args.certificate:
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if args.auth == "basic":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic("user", "pass word"), token)
    elif args.auth == "digest":
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest("user", "pass word", token)
    else:
        auth.set_default_token(token)
    if args.certificate:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(args.certificate))
    server.set_auth(auth)


def count_pictures(factory, media, path):
    """Prints how many pictures went out, when there are no more."""
    sent = 0

    def probe(pad, info):
        nonlocal sent
        if info.type & Gst.PadProbeType.BUFFER:
            sent += info.get_buffer().has_flags(Gst.BufferFlags.MARKER)
        elif info.type & Gst.PadProbeType.BUFFER_LIST:
            packets = info.get_buffer_list()
            sent += sum(packets.get(i).has_flags(Gst.BufferFlags.MARKER) for i in range(packets.length()))
        elif info.get_event().type == Gst.EventType.EOS:
            print(f"{path} {sent}", flush=True)
        return Gst.PadProbeReturn.OK

    kinds = Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST | Gst.PadProbeType.EVENT_DOWNSTREAM
    media.get_element().get_by_name("pay0").get_static_pad("src").add_probe(kinds, probe)


for path, launch in mounts.items():
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    factory.connect("media-configure", count_pictures, path)
    if server.get_auth():
        permissions = GstRtspServer.RTSPPermissions()
        for what in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", what, True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory(path, factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
