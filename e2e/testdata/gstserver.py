#!/usr/bin/env python3
# An RTSP server written by others (GStreamer's), for the tests: each mount
# point sends COUNT pictures from the first PLAY on, and then nothing more.
#
# usage: gstserver.py COUNT     prints its port, then serves until it is ended
import sys
import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

Gst.init(None)
count = int(sys.argv[1])
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
for path, launch in mounts.items():
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(launch)
    server.get_mount_points().add_factory(path, factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
