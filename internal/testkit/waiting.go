package testkit

// Waiting lists the entries that are not handled yet, each with what it waits
// for. An entry that is handled must be taken off.
var Waiting = map[string]string{}
