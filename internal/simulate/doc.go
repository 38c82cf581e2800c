// Package simulate is a fleet of RTSP cameras on loopback that do not exist:
// for demonstrations, for sizing a machine, and for tests.
//
// It shares nothing with the recorder's own RTSP client, depacketizers and
// codec parsers: a mistake there must not cancel itself here. It is written
// from the standards on the standard library.
//
// # Time
//
// Each camera has one timeline, which begins with Run and goes on whether or
// not anybody watches: sample n is due at its epoch + n/FPS and shows picture
// n mod the clip's length. A connection joins at the next sync sample and then
// gets every n in order. So a number means the same on every connection, and
// numbers missing from a recording are what was lost or not connected. Package
// mark writes the number into each access unit and finds it again.
//
// Cameras are spread over a GOP, so that their sync samples do not come at
// once; a camera's first number is therefore not 0.
//
// # Bytes
//
// The clips are embedded (clips/gen.sh makes them), packetized once when the
// server is made, and shared by all cameras. One goroutine sends for all:
// it patches channel, sequence number, timestamp, SSRC and mark into the
// template and hands it to the socket with one write, without allocating.
//
// Options.Bitrate is reached with filler SEI in every access unit, exact to
// the byte over one turn of the clip. Counted is what a recorder keeps: NAL
// units behind 4 bytes of length, without parameter sets and RTP.
//
// # Goroutines
//
// All end before Run returns: one sends, one accepts, one reads RTCP over UDP,
// one closes the sockets at the end, and one reads each connection.
package simulate
