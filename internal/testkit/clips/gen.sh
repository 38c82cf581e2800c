#!/bin/sh
# Makes the clips that package testkit embeds beside those of package simulate.
# Needs ffmpeg with libx264 and libx265; the same ffmpeg gives the same bytes
# (one thread, bitexact).
#
#   sh gen.sh
#
# A clip is Annex B with access unit delimiters (the loader cuts there), 15
# pictures a second, 30 pictures. Beside it lies its order: for each picture, in
# the order in which they are decoded, the place at which it is shown.
set -eu
cd "$(dirname "$0")"

source="testsrc2=size=160x96:rate=15"
common="-hide_banner -loglevel error -y -threads 1 -filter_threads 1"
exact="-fflags +bitexact -flags:v +bitexact -map_metadata -1"
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# order FILE: the pictures' places in the order of decoding. ffmpeg writes a
# container from the encoder, so these are the encoder's own times.
order() {
	ffprobe -v error -select_streams v -show_entries packet=pts -of csv=p=0 "$1" | tr -d ',' >"$work/pts"
	sort -n "$work/pts" | awk 'NR == FNR { place[$1] = NR - 1; next } { print place[$1] }' - "$work/pts"
}

# make NAME EXTENSION PIXELS ARGUMENTS…
make() {
	name=$1 kind=$2
	shift 2
	ffmpeg $common -f lavfi -i "$source" -frames:v 30 -pix_fmt yuv420p "$@" $exact -f nut "$work/$name.nut"
	case $kind in
	h264) ffmpeg $common -i "$work/$name.nut" -c copy $exact -bsf:v dump_extra=freq=keyframe -f h264 "$name.h264" ;;
	h265) ffmpeg $common -i "$work/$name.nut" -c copy $exact -bsf:v filter_units=remove_types=39-40 -f hevc "$name.h265" ;;
	esac
	order "$work/$name.nut" >"$name.$kind.order"
}

x264="-c:v libx264 -threads 1 -preset fast -profile:v high -b:v 60k"
same="aud=1:scenecut=0:threads=1:lookahead-threads=1:sliced-threads=0"
make slices h264 $x264 -x264-params "$same:keyint=15:min-keyint=15:bframes=0:slices=3"
make bframes h264 $x264 -x264-params "$same:keyint=15:min-keyint=15:bframes=2:b-adapt=0:open-gop=0"
make opengop h264 $x264 -x264-params "$same:keyint=10:min-keyint=10:bframes=2:b-adapt=0:open-gop=1"
make refresh h264 $x264 -x264-params "$same:keyint=10:min-keyint=10:bframes=0:intra-refresh=1"

x265="-c:v libx265 -preset fast -b:v 60k"
same="log-level=error:aud=1:scenecut=0:repeat-headers=1:info=0:pools=none:frame-threads=1:wpp=0"
make bframes h265 $x265 -x265-params "$same:keyint=15:min-keyint=15:bframes=2:b-adapt=0:open-gop=0"
make opengop h265 $x265 -x265-params "$same:keyint=10:min-keyint=10:bframes=2:b-adapt=0:open-gop=1"
make lists h265 $x265 -x265-params "$same:keyint=15:min-keyint=15:bframes=0:open-gop=0:scaling-list=default:temporal-layers=1"

# The judge: every picture decodes.
for clip in *.h26?; do
	ffmpeg -hide_banner -v error -xerror -i "$clip" -f null -
	n=$(ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 "$clip" | tr -d ',')
	test "$n" = 30 || { echo "$clip: $n pictures, want 30" >&2; exit 1; }
done
ls -l
