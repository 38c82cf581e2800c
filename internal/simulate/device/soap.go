package device

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

const maxRequest = 64 << 10

const head = `<?xml version="1.0" encoding="utf-8" ?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tr2="http://www.onvif.org/ver20/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:ter="http://www.onvif.org/ver10/error">
<SOAP-ENV:Body>
`

const tail = `
</SOAP-ENV:Body>
</SOAP-ENV:Envelope>
`

func send(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/soap+xml; charset=utf-8")
	io.WriteString(w, head+body+tail) // a client that is gone does not mind
}

func fault(w http.ResponseWriter, status int, code, subcode, reason string) {
	w.Header().Set("Content-Type", "application/soap+xml; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, head+`<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:`+code+`</SOAP-ENV:Value><SOAP-ENV:Subcode><SOAP-ENV:Value>`+subcode+
		`</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code><SOAP-ENV:Reason><SOAP-ENV:Text xml:lang="en">`+html.EscapeString(reason)+`</SOAP-ENV:Text></SOAP-ENV:Reason></SOAP-ENV:Fault>`+tail)
}

// The element after Body says what is asked.
var asked = regexp.MustCompile(`Body>\s*<(?:\w+:)?(\w+)`)

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest))
	if err != nil {
		return
	}
	request := string(body)
	if r.Header.Get("Authorization") != "" || strings.Contains(request, "UsernameToken") {
		s.signed.Add(1)
	}
	c, n, service := s.camera(r.URL.Path)
	m := asked.FindStringSubmatch(request)
	switch {
	case c == nil:
		http.NotFound(w, r)
		return
	case m == nil:
		fault(w, http.StatusBadRequest, "Sender", "ter:WellFormed", "no action")
		return
	}
	action := m[1]
	if c.Answer != nil && c.Answer(w, r, action) {
		return
	}
	if action != "GetSystemDateAndTime" || c.LockedClock {
		if c.LockedClock {
			w.Header().Set("Date", time.Now().Add(c.ClockAhead).UTC().Format(http.TimeFormat))
		}
		if !s.admits(c, w, r, request) {
			s.refused.Add(1)
			return
		}
	}
	switch service {
	case "device_service":
		s.deviceService(w, c, n, action)
	case "media_service":
		s.media(w, c, action, request)
	case "media2_service":
		s.media2(w, c, action, request)
	default:
		http.NotFound(w, r)
	}
}

func unknown(w http.ResponseWriter, action string) {
	fault(w, http.StatusInternalServerError, "Receiver", "ter:ActionNotSupported", "Optional Action Not Implemented: "+action)
}

func (s *Server) deviceService(w http.ResponseWriter, c *Camera, n int, action string) {
	switch {
	case action == "GetSystemDateAndTime":
		t := time.Now().Add(c.ClockAhead).UTC()
		send(w, fmt.Sprintf(`<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType><tt:DaylightSavings>false</tt:DaylightSavings><tt:TimeZone><tt:TZ>UTC0</tt:TZ></tt:TimeZone><tt:UTCDateTime><tt:Time><tt:Hour>%d</tt:Hour><tt:Minute>%d</tt:Minute><tt:Second>%d</tt:Second></tt:Time><tt:Date><tt:Year>%d</tt:Year><tt:Month>%d</tt:Month><tt:Day>%d</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>`,
			t.Hour(), t.Minute(), t.Second(), t.Year(), t.Month(), t.Day()))
	case action == "GetDeviceInformation":
		e := html.EscapeString
		send(w, `<tds:GetDeviceInformationResponse><tds:Manufacturer>`+e(c.Maker)+`</tds:Manufacturer><tds:Model>`+e(c.Model)+`</tds:Model><tds:FirmwareVersion>`+e(c.Firmware)+
			`</tds:FirmwareVersion><tds:SerialNumber>`+e(c.Serial)+`</tds:SerialNumber><tds:HardwareId>1.0</tds:HardwareId></tds:GetDeviceInformationResponse>`)
	case action == "GetServices" && !c.NoServices:
		services := service("http://www.onvif.org/ver10/device/wsdl", s.xaddr(n, "device_service")) + service("http://www.onvif.org/ver10/media/wsdl", s.xaddr(n, "media_service"))
		if !c.NoMedia2 {
			services += service("http://www.onvif.org/ver20/media/wsdl", s.xaddr(n, "media2_service"))
		}
		send(w, `<tds:GetServicesResponse>`+services+`</tds:GetServicesResponse>`)
	case action == "GetCapabilities":
		send(w, `<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Device><tt:XAddr>`+s.xaddr(n, "device_service")+`</tt:XAddr></tt:Device><tt:Media><tt:XAddr>`+s.xaddr(n, "media_service")+
			`</tt:XAddr><tt:StreamingCapabilities><tt:RTP_RTSP_TCP>true</tt:RTP_RTSP_TCP></tt:StreamingCapabilities></tt:Media></tds:Capabilities></tds:GetCapabilitiesResponse>`)
	case action == "GetEndpointReference" && !c.NoReference && c.UUID != "":
		send(w, `<tds:GetEndpointReferenceResponse><tds:GUID>urn:uuid:`+c.UUID+`</tds:GUID></tds:GetEndpointReferenceResponse>`)
	default:
		unknown(w, action)
	}
}

func service(namespace, xaddr string) string {
	return `<tds:Service><tds:Namespace>` + namespace + `</tds:Namespace><tds:XAddr>` + xaddr + `</tds:XAddr><tds:Version><tt:Major>2</tt:Major><tt:Minor>60</tt:Minor></tds:Version></tds:Service>`
}

// media is the Media service, which has no word for H.265.
func (s *Server) media(w http.ResponseWriter, c *Camera, action, request string) {
	e := html.EscapeString
	switch action {
	case "GetProfiles":
		var b strings.Builder
		b.WriteString(`<trt:GetProfilesResponse>`)
		for _, p := range c.Profiles {
			if p.Codec == "H265" {
				continue
			}
			fmt.Fprintf(&b, `<trt:Profiles fixed="true" token="%s"><tt:Name>%s</tt:Name><tt:VideoSourceConfiguration token="vsc"><tt:Name>vsc</tt:Name><tt:UseCount>1</tt:UseCount><tt:SourceToken>src</tt:SourceToken><tt:Bounds x="0" y="0" width="%d" height="%d"/></tt:VideoSourceConfiguration>`, e(p.Token), e(p.Name), p.Width, p.Height)
			fmt.Fprintf(&b, `<tt:VideoEncoderConfiguration token="vec"><tt:Name>vec</tt:Name><tt:UseCount>1</tt:UseCount><tt:Encoding>%s</tt:Encoding><tt:Resolution><tt:Width>%d</tt:Width><tt:Height>%d</tt:Height></tt:Resolution><tt:Quality>4</tt:Quality><tt:RateControl><tt:FrameRateLimit>%d</tt:FrameRateLimit><tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>%d</tt:BitrateLimit></tt:RateControl>`, p.Codec, p.Width, p.Height, p.FPS, p.Kbps)
			if p.Codec == "H264" {
				fmt.Fprintf(&b, `<tt:H264><tt:GovLength>%d</tt:GovLength><tt:H264Profile>Main</tt:H264Profile></tt:H264>`, p.GOP)
			}
			b.WriteString(`</tt:VideoEncoderConfiguration>`)
			if p.Audio != "" {
				b.WriteString(`<tt:AudioEncoderConfiguration token="aec"><tt:Encoding>` + p.Audio + `</tt:Encoding></tt:AudioEncoderConfiguration>`)
			}
			b.WriteString(`</trt:Profiles>`)
		}
		send(w, b.String()+`</trt:GetProfilesResponse>`)
	case "GetStreamUri":
		if p := c.profile(w, request); p != nil {
			send(w, `<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>`+e(p.URI)+`</tt:Uri><tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot><tt:Timeout>PT60S</tt:Timeout></trt:MediaUri></trt:GetStreamUriResponse>`)
		}
	default:
		unknown(w, action)
	}
}

func (s *Server) media2(w http.ResponseWriter, c *Camera, action, request string) {
	e := html.EscapeString
	switch {
	case c.NoMedia2:
		http.Error(w, "not found", http.StatusNotFound)
	case action == "GetProfiles":
		var b strings.Builder
		b.WriteString(`<tr2:GetProfilesResponse>`)
		for _, p := range c.Profiles {
			fmt.Fprintf(&b, `<tr2:Profiles token="%s" fixed="true"><tr2:Name>%s</tr2:Name><tr2:Configurations><tr2:VideoSource token="vsc"><tt:SourceToken>src</tt:SourceToken></tr2:VideoSource>`, e(p.Token), e(p.Name))
			fmt.Fprintf(&b, `<tr2:VideoEncoder token="vec" GovLength="%d" Profile="Main"><tt:Name>vec</tt:Name><tt:Encoding>%s</tt:Encoding><tt:Resolution><tt:Width>%d</tt:Width><tt:Height>%d</tt:Height></tt:Resolution><tt:RateControl ConstantBitRate="false"><tt:FrameRateLimit>%d</tt:FrameRateLimit><tt:BitrateLimit>%d</tt:BitrateLimit></tt:RateControl></tr2:VideoEncoder>`, p.GOP, p.Codec, p.Width, p.Height, p.FPS, p.Kbps)
			if p.Audio != "" {
				b.WriteString(`<tr2:AudioEncoder token="aec"><tt:Encoding>` + p.Audio + `</tt:Encoding></tr2:AudioEncoder>`)
			}
			b.WriteString(`</tr2:Configurations></tr2:Profiles>`)
		}
		send(w, b.String()+`</tr2:GetProfilesResponse>`)
	case action == "GetStreamUri":
		if p := c.profile(w, request); p != nil {
			send(w, `<tr2:GetStreamUriResponse><tr2:Uri>`+e(p.URI)+`</tr2:Uri></tr2:GetStreamUriResponse>`)
		}
	default:
		unknown(w, action)
	}
}

var profileToken = regexp.MustCompile(`ProfileToken>([^<]*)<`)

// profile is the one that the request names. Where there is none it has answered.
func (c *Camera) profile(w http.ResponseWriter, request string) *Profile {
	if m := profileToken.FindStringSubmatch(request); m != nil {
		token := html.UnescapeString(m[1])
		for i := range c.Profiles {
			if c.Profiles[i].Token == token {
				return &c.Profiles[i]
			}
		}
	}
	fault(w, http.StatusBadRequest, "Sender", "ter:NoProfile", "The requested profile token does not exist")
	return nil
}

var messageID = regexp.MustCompile(`MessageID[^>]*>([^<]*)<`)

// answerProbes answers WS-Discovery probes with all cameras, each in an answer of
// its own, until the socket is closed.
func (s *Server) answerProbes() {
	buf := make([]byte, 16<<10)
	for {
		size, from, err := s.probes.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		request := string(buf[:size])
		id := messageID.FindStringSubmatch(request)
		if id == nil || !strings.Contains(request, "NetworkVideoTransmitter") {
			continue
		}
		for n := range s.cameras {
			s.probes.WriteToUDPAddrPort([]byte(s.match(n+1, id[1])), from)
		}
	}
}

func (s *Server) match(n int, relatesTo string) string {
	c := &s.cameras[n-1]
	scopes := "onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/Profile/Streaming"
	for _, v := range [][2]string{{"name", c.Name}, {"hardware", c.Model}, {"location", c.Location}} {
		if v[1] != "" {
			scopes += " onvif://www.onvif.org/" + v[0] + "/" + url.PathEscape(v[1])
		}
	}
	reference := "urn:uuid:" + c.UUID
	if c.UUID == "" {
		reference = ""
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:wsd="http://schemas.xmlsoap.org/ws/2005/04/discovery" xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><env:Header><wsa:MessageID>urn:uuid:0a6dc791-2be6-4991-9af1-454778a1917a</wsa:MessageID><wsa:RelatesTo>` + relatesTo + `</wsa:RelatesTo><wsa:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa:To><wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</wsa:Action><wsd:AppSequence InstanceId="1" MessageNumber="1"/></env:Header>
<env:Body><wsd:ProbeMatches><wsd:ProbeMatch><wsa:EndpointReference><wsa:Address>` + reference + `</wsa:Address></wsa:EndpointReference><wsd:Types>dn:NetworkVideoTransmitter</wsd:Types><wsd:Scopes>` + html.EscapeString(scopes) + `</wsd:Scopes><wsd:XAddrs>` + s.xaddr(n, "device_service") + `</wsd:XAddrs><wsd:MetadataVersion>1</wsd:MetadataVersion></wsd:ProbeMatch></wsd:ProbeMatches></env:Body></env:Envelope>`
}
