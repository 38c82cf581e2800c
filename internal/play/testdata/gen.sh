#!/bin/sh
# Makes the clips of this folder with ffmpeg (libx264, libx265, aac). A clip is
# NAME.bin, its samples one behind the other, and NAME.txt: a line for the track
# (codec clock width height channels rate config), then a line per sample
# (decode time, composition offset, duration, size, 1 if sync).
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

clip() { # name codec, then ffmpeg's arguments
	name=$1 codec=$2
	shift 2
	ffmpeg -v error -y "$@" -flags +bitexact -fflags +bitexact -movflags +negative_cts_offsets -use_editlist 0 "$tmp/$name.mp4"
	ffmpeg -v error -y -i "$tmp/$name.mp4" -map 0:0 -c copy -f data "$name.bin"
	config=$(ffprobe -v error -show_streams -show_data "$tmp/$name.mp4" | sed -n '/^extradata=/,/^$/p' |
		sed -n 's/^[0-9a-f]\{8\}: \([0-9a-f ]\{39\}\).*/\1/p' | tr -d ' \n')
	get() { ffprobe -v error -show_entries "stream=$1" -of csv=p=0 "$tmp/$name.mp4" | head -1; }
	base=$(get time_base)
	echo "$codec ${base#*/} $(get width | tr -cd 0-9 | grep . || echo 0) $(get height | tr -cd 0-9 | grep . || echo 0) $(get channels | tr -cd 0-9 | grep . || echo 0) $(get sample_rate | tr -cd 0-9 | grep . || echo 0) $config" >"$name.txt"
	ffprobe -v error -show_entries packet=pts,dts,duration,size,flags -of compact=p=0 "$tmp/$name.mp4" | awk -F'[=|]' '
		/pts=/ { for (i = 1; i < NF; i += 2) v[$i] = $(i + 1)
			if (first == "") first = v["dts"]
			print v["dts"] - first, v["pts"] - v["dts"], v["duration"], v["size"], (v["flags"] ~ /K/) ? 1 : 0 }' >>"$name.txt"
}

src() { echo "testsrc=size=$1:rate=25:duration=$2"; }
x264="-pix_fmt yuv420p -video_track_timescale 90000 -c:v libx264 -preset veryslow -x264-params keyint=25:scenecut=0:open-gop=0"
clip h264 h264 -f lavfi -i "$(src 64x48 10)" $x264 -crf 40 -bf 0
clip h264b h264 -f lavfi -i "$(src 64x48 10)" $x264 -crf 40 -bf 3 -b_strategy 0
clip h264wide h264 -f lavfi -i "$(src 96x64 2)" $x264 -crf 40 -bf 0
clip h265 h265 -f lavfi -i "$(src 64x64 4)" -pix_fmt yuv420p -video_track_timescale 90000 -c:v libx265 -crf 40 -tag:v hvc1 \
	-x265-params "log-level=error:keyint=25:min-keyint=25:scenecut=0:bframes=0:info=0"
clip av1 av1 -f lavfi -i "$(src 64x64 1)" -pix_fmt yuv420p -video_track_timescale 90000 -c:v libaom-av1 -crf 50 -b:v 0 -cpu-used 6
clip aac aac -f lavfi -i "sine=440:sample_rate=16000:duration=10" -ac 1 -c:a aac -b:a 8k
ls -l
