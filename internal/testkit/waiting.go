package testkit

// Waiting lists the entries that are not handled yet, each with what it waits
// for. An entry that is handled must be taken off.
var Waiting = map[string]string{
	"fu-never-ends":    "mending",
	"sequence-zero":    "mending",
	"stamps-twice":     "mending",
	"stamps-zero":      "mending",
	"audio-clock-slow": "mending",
	"picture-huge":     "mending",
	"sps-huge":         "mending",
}
