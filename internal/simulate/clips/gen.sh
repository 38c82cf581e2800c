#!/bin/sh
# Makes the clips that package simulate embeds. Needs ffmpeg with libx264,
# libx265, libaom and libopus; the same ffmpeg gives the same bytes (one thread,
# bitexact).
#
#   sh gen.sh
#
# A clip of H.264 or H.265 is Annex B with access unit delimiters (the loader cuts there), 15
# pictures a second, closed GOPs of 2 s, no B-pictures. testsrc2 shows a moving
# picture and the running time, so that a person sees whether a player stutters.
set -eu
cd "$(dirname "$0")"

fps=15 gop=30 gops=4
source="testsrc2=size=320x180:rate=$fps"
common="-hide_banner -loglevel error -y -threads 1 -filter_threads 1"
exact="-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1"

ffmpeg $common -f lavfi -i "$source" -frames:v $((gop * gops)) -pix_fmt yuv420p \
	-c:v libx264 -threads 1 -preset slow -profile:v high -bf 0 -g $gop -b:v 250k -maxrate 300k -bufsize 500k \
	-x264-params "aud=1:keyint=$gop:min-keyint=$gop:scenecut=0:open-gop=0:threads=1:lookahead-threads=1:sliced-threads=0" \
	$exact -bsf:v filter_units=remove_types=6 -f h264 picture.h264

ffmpeg $common -f lavfi -i "$source" -frames:v $((gop * gops)) -pix_fmt yuv420p \
	-c:v libx265 -preset medium -b:v 250k -maxrate 300k -bufsize 500k \
	-x265-params "log-level=error:aud=1:keyint=$gop:min-keyint=$gop:scenecut=0:open-gop=0:bframes=0:repeat-headers=1:info=0:pools=none:frame-threads=1:wpp=0" \
	$exact -bsf:v filter_units=remove_types=39-40 -f hevc picture.h265

# AV1 as OBUs with temporal delimiters, two GOPs, no hidden frames; JPEG one
# behind the other, a second, with the Huffman tables that RTP takes for granted.
ffmpeg $common -f lavfi -i "$source" -frames:v $((gop * 2)) -pix_fmt yuv420p \
	-c:v libaom-av1 -usage realtime -cpu-used 6 -lag-in-frames 0 -b:v 200k -g $gop -keyint_min $gop -threads 1 -row-mt 0 \
	$exact -f obu picture.obu
ffmpeg $common -f lavfi -i "$source" -frames:v $fps -pix_fmt yuvj420p \
	-c:v mjpeg -huffman default -q:v 14 $exact -f mjpeg picture.mjpeg

# A quiet tone, and a beep at the start of every second.
ffmpeg $common -f lavfi -i "aevalsrc=0.1*sin(2*PI*440*t)+0.3*sin(2*PI*1000*t)*lt(mod(t\,1)\,0.1):s=16000:d=4" -ac 1 \
	-c:a aac -b:a 32k $exact -f adts tone.aac
ffmpeg $common -f lavfi -i "aevalsrc=0.1*sin(2*PI*440*t)+0.3*sin(2*PI*1000*t)*lt(mod(t\,1)\,0.1):s=48000:d=4" -ac 1 \
	-c:a libopus -b:a 16k -frame_duration 20 $exact -f ogg tone.opus

# The judge: every picture decodes, and there are as many as there should be.
for clip in picture.h264 picture.h265; do
	ffmpeg -hide_banner -v error -xerror -i $clip -f null -
	n=$(ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 $clip | tr -d ',')
	test "$n" = $((gop * gops)) || { echo "$clip: $n pictures, want $((gop * gops))" >&2; exit 1; }
done
for clip in "picture.obu $((gop * 2))" "picture.mjpeg $fps"; do
	n=$(ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 ${clip% *} | tr -d ',')
	test "$n" = ${clip#* } || { echo "${clip% *}: $n pictures, want ${clip#* }" >&2; exit 1; }
done
ffmpeg -hide_banner -v error -xerror -i tone.aac -f null -
ffmpeg -hide_banner -v error -xerror -i tone.opus -f null -
ls -l picture.* tone.*
