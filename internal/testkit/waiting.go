package testkit

// Waiting lists the entries that are not handled yet, each with what it waits
// for. An entry that is handled must be taken off.
var Waiting = map[string]string{
	"dollar-in-junk":        "mending",
	"sections-40":           "mending",
	"keepalive-hangs-up":    "mending",
	"keepalive-not-counted": "mending",
	"auth-hangs-up-wrong":   "mending",
	"auth-wrong-stale":      "mending",
	"auth-403":              "mending",
	"auth-downgrade":        "mending",
	"junk-random":           "mending",
	"junk-zeros":            "mending",
	"junk-text":             "mending",
	"header-malformed":      "mending",
	"fu-never-ends":         "mending",
	"sequence-zero":         "mending",
	"stamps-twice":          "mending",
	"stamps-zero":           "mending",
	"rtcp-foreign":          "mending",
	"audio-clock-slow":      "mending",
	"picture-huge":          "mending",
	"sps-huge":              "mending",
}
