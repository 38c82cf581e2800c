package simulate

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// session is what one connection has asked for so far. Its fields belong to
// the connection's reader; a viewer, once it plays, belongs to the sender.
type session struct {
	server *Server
	conn   *conn
	peer   netip.Addr
	log    *slog.Logger
	nonce  string
	count  uint64 // highest nonce count seen

	id        string  // empty: nothing set up
	camera    *camera // of the session
	tracks    [2]*flow
	viewer    *viewer // nil: not playing, or
	listens   bool    // to the camera's groups
	tunnelled bool
}

func newSession(s *Server, k *conn) *session {
	peer := k.tcp.RemoteAddr().(*net.TCPAddr).AddrPort()
	return &session{
		server: s, conn: k, peer: peer.Addr().Unmap(), nonce: rand.Text(),
		log: s.o.Log.With("client", peer.String()),
	}
}

// serve answers until the client is gone, silent or incomprehensible.
func (n *session) serve(r *bufio.Reader) {
	defer n.teardown()
	for {
		if err := n.next(r); err != nil {
			var bad *requestError
			if errors.As(err, &bad) {
				n.conn.reply([]byte("RTSP/1.0 " + bad.status + "\r\nConnection: close\r\n\r\n"))
			}
			if !goodbye(err) {
				n.log.Info("connection ends", "error", err)
			}
			return
		}
	}
}

// goodbye reports whether an error is how clients usually leave.
func goodbye(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET)
}

// next reads an interleaved frame or answers a request.
func (n *session) next(r *bufio.Reader) error {
	b, err := r.Peek(1)
	if err != nil {
		return err
	}
	switch b[0] {
	case '$':
		return n.frame(r)
	case '\r', '\n': // empty lines between requests: RFC 2068 §4.1
		_, err := r.Discard(1)
		return err
	}
	req, err := readRequest(r)
	if err != nil {
		return err
	}
	n.conn.alive()
	if !n.answer(req) {
		return net.ErrClosed
	}
	return nil
}

// frame reads the client's RTCP: RFC 2326 §10.12.
func (n *session) frame(r *bufio.Reader) error {
	head, err := r.Peek(frameHeader)
	if err != nil {
		return unexpected(err)
	}
	channel, size := uint16(head[1]), int(binary.BigEndian.Uint16(head[2:]))
	if _, err := r.Discard(frameHeader); err != nil {
		return err
	}
	b, err := r.Peek(min(size, 8))
	if err != nil {
		return unexpected(err)
	}
	for _, f := range n.tracks {
		if f != nil && !f.udp && f.rtcp == channel && isReport(b) {
			n.conn.alive()
		}
	}
	_, err = r.Discard(size)
	return unexpected(err)
}

// response is an answer without CSeq.
type response struct {
	status string
	header []string // whole lines
	body   string
}

func refusal(s string) response { return response{status: s} }

func success(header ...string) response { return response{status: "200 OK", header: header} }

const methods = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, SET_PARAMETER, TEARDOWN"

// answer handles a request; false: the connection is to be closed.
func (n *session) answer(req *request) bool {
	n.log.Debug("request", "method", req.method, "url", req.url)
	switch {
	case req.header["cseq"] == "":
		return n.reply(req, refusal(statusBadRequest))
	case req.header["require"] != "": // RFC 2326 §12.32
		return n.reply(req, response{status: "551 Option not supported", header: []string{"Unsupported: " + req.header["require"]}})
	case req.method == "OPTIONS":
		return n.reply(req, success("Public: "+methods))
	case !n.server.guard.admits(req, n.nonce, &n.count):
		return n.reply(req, response{status: "401 Unauthorized", header: []string{"WWW-Authenticate: " + n.server.guard.challenge(n.nonce)}})
	}
	if id := req.header["session"]; id != "" {
		if id, _, _ = strings.Cut(id, ";"); n.id == "" || strings.TrimSpace(id) != n.id {
			return n.reply(req, refusal("454 Session Not Found"))
		}
	}
	switch req.method {
	case "DESCRIBE":
		return n.describe(req)
	case "SETUP":
		return n.setup(req)
	case "GET_PARAMETER", "SET_PARAMETER":
		return n.reply(req, success(n.sessionLine()...))
	case "PLAY":
		return n.play(req)
	case "TEARDOWN":
		if req.header["session"] == "" {
			return n.reply(req, refusal("454 Session Not Found"))
		}
		n.teardown()
		return n.reply(req, success())
	case "ANNOUNCE", "RECORD", "PAUSE", "REDIRECT":
		return n.reply(req, response{status: "405 Method Not Allowed", header: []string{"Allow: " + methods}})
	}
	return n.reply(req, refusal("501 Not Implemented"))
}

// format puts an answer into bytes.
func (req *request) format(a response) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "RTSP/1.0 %s\r\n", a.status)
	if cseq := req.header["cseq"]; cseq != "" {
		fmt.Fprintf(&b, "CSeq: %s\r\n", cseq)
	}
	b.WriteString("Server: nvr-simulate\r\n")
	for _, line := range a.header {
		b.WriteString(line + "\r\n")
	}
	if a.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(a.body))
	}
	b.WriteString("\r\n" + a.body)
	return []byte(b.String())
}

// reply sends an answer; false: the client does not read its answers.
func (n *session) reply(req *request, a response) bool {
	return n.conn.reply(req.format(a)) && n.drained()
}

// drained reports whether the answers are on their way. While nothing plays
// nobody would send them later.
func (n *session) drained() bool { return n.viewer != nil || n.conn.flush() }

// find is the camera that a URL names, and what to do where there is none.
func (n *session) find(url string) (c *camera, track int, p power) {
	number, track, valid := target(url)
	if !valid || number > len(n.server.cameras) {
		return nil, 0, notFound
	}
	c = n.server.cameras[number-1]
	return c, track, c.state()
}

func (n *session) describe(req *request) bool {
	_, _, p := n.find(req.url)
	switch p {
	case hungUp:
		return false
	case notFound:
		return n.reply(req, refusal("404 Not Found"))
	}
	return n.reply(req, response{
		status: "200 OK",
		header: []string{"Content-Base: " + strings.TrimSuffix(req.url, "/") + "/", "Content-Type: application/sdp"},
		body:   n.server.sdp,
	})
}

func (n *session) setup(req *request) bool {
	c, track, p := n.find(req.url)
	sounds := n.server.sound != nil
	switch {
	case p == hungUp:
		return false
	case p == notFound, track == 1 && !sounds:
		return n.reply(req, refusal("404 Not Found"))
	case n.viewer != nil || n.listens:
		return n.reply(req, refusal("455 Method Not Valid in This State"))
	case n.id != "" && req.header["session"] == "", n.id != "" && n.camera != c:
		return n.reply(req, refusal("454 Session Not Found")) // one session a connection, one camera a session
	case track < 0 && sounds:
		return n.reply(req, refusal("459 Aggregate operation not allowed"))
	}
	track = max(track, 0)
	t, valid := parseTransport(req.header["transport"], uint16(2*track), func(t transport) bool { return n.server.offers(n.kind(t)) })
	if !valid {
		return n.reply(req, refusal("461 Unsupported Transport"))
	}
	if t.multicast {
		group := n.server.groupOf(c.number, track)
		t.group, t.rtp, t.rtcp = group.Addr(), group.Port(), group.Port()+1
	}
	if other := n.tracks[1-track]; other != nil && t.clashes(other.transport) {
		return n.reply(req, refusal(statusBadRequest))
	}
	if n.id == "" {
		if p := c.attach(n.conn); p == notFound || p == hungUp {
			return false
		}
		n.id, n.camera = rand.Text(), c
	}
	n.expectNoReports(n.tracks[track])
	f := n.newFlow(t, track)
	n.tracks[track] = f
	return n.reply(req, success(append(n.sessionLine(), "Transport: "+t.header(n.server.rtpPort(), f.ssrc))...))
}

// kind is what a transport is called.
func (n *session) kind(t transport) Transport {
	switch {
	case t.multicast:
		return TransportMulticast
	case t.udp:
		return TransportUDP
	case n.tunnelled:
		return TransportHTTP
	}
	return TransportTCP
}

// newFlow chooses a track's numbers: RFC 3550 §5.1 wants them random.
func (n *session) newFlow(t transport, track int) *flow {
	f := &flow{transport: t, sequence: uint16(mathrand.Uint32()), timestamp: mathrand.Uint32(), ssrc: mathrand.Uint32()}
	if fixed := n.server.o.RTPStart; fixed != nil {
		f.sequence, f.timestamp, f.ssrc = fixed.Sequence, fixed.Timestamp, fixed.SSRC+uint32(track)
	}
	if t.udp && !t.multicast {
		f.rtpTo, f.rtcpTo = netip.AddrPortFrom(n.peer, t.rtp), netip.AddrPortFrom(n.peer, t.rtcp)
		n.server.expectReports(f.rtcpTo, n.conn)
	}
	return f
}

func (n *session) expectNoReports(f *flow) {
	if f != nil && f.udp && !f.multicast {
		n.server.expectNoReports(f.rtcpTo, n.conn)
	}
}

func (n *session) play(req *request) bool {
	c, track, p := n.find(req.url)
	switch {
	case n.id == "":
		return n.reply(req, refusal("455 Method Not Valid in This State"))
	case req.header["session"] == "":
		return n.reply(req, refusal("454 Session Not Found"))
	case p == hungUp:
		return false
	case c != n.camera:
		return n.reply(req, refusal("404 Not Found"))
	case track >= 0 && n.tracks[0] != nil && n.tracks[1] != nil:
		return n.reply(req, refusal("460 Only aggregate operation allowed"))
	case n.viewer != nil || n.listens:
		return n.reply(req, success(n.sessionLine()...)) // some clients keep the session alive so
	case n.tracks[0] != nil && n.tracks[0].multicast || n.tracks[1] != nil && n.tracks[1].multicast:
		answer := req.format(success(append(n.sessionLine(), "Range: npt=now-")...))
		n.listens = c.joinGroup(n.server, func() { n.conn.enqueue(answer) })
		return n.listens && n.conn.flush()
	}
	n.viewer = &viewer{camera: c, conn: n.conn, server: n.server, video: n.tracks[0], audio: n.tracks[1]}
	answer := req.format(success(append(n.sessionLine(), "Range: npt=now-", "RTP-Info: "+n.rtpInfo(req.url))...))
	joined := c.join(n.viewer, func() { n.conn.enqueue(answer) }) // the answer comes before the first packet
	if !joined {
		n.viewer = nil
		return false
	}
	n.conn.flush()
	return true
}

// rtpInfo says which packets and which instant the sample after PLAY has:
// RFC 2326 §12.33.
func (n *session) rtpInfo(url string) string {
	base := strings.TrimSuffix(url, "/")
	for _, control := range []string{videoControl, audioControl} {
		base = strings.TrimSuffix(base, "/"+control)
	}
	var parts []string
	for i, control := range []string{videoControl, audioControl} {
		if f := n.tracks[i]; f != nil {
			parts = append(parts, fmt.Sprintf("url=%s/%s;seq=%d;rtptime=%d", base, control, f.sequence, f.timestamp))
		}
	}
	return strings.Join(parts, ",")
}

// sessionLine is the Session header, where there is a session.
func (n *session) sessionLine() []string {
	if n.id == "" {
		return nil
	}
	return []string{"Session: " + n.id + ";timeout=" + strconv.Itoa(int(n.server.o.SessionTimeout.Seconds()))}
}

// teardown ends the session; the connection may begin another.
func (n *session) teardown() {
	if n.viewer != nil {
		n.camera.leave(n.viewer)
	}
	if n.listens {
		n.camera.leaveGroup()
	}
	if n.camera != nil {
		n.camera.detach(n.conn)
	}
	for _, f := range n.tracks {
		n.expectNoReports(f)
	}
	n.id, n.camera, n.viewer, n.listens, n.tracks = "", nil, nil, false, [2]*flow{}
}
