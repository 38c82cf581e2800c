package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
)

// cleanups undo mounts, loop devices and scratch directories, newest first,
// however the program ends: one that is left over blocks the next run.
var cleanups struct {
	mu   sync.Mutex
	list []func()
}

func atExit(f func()) {
	cleanups.mu.Lock()
	defer cleanups.mu.Unlock()
	cleanups.list = append(cleanups.list, f)
}

func cleanUp() {
	cleanups.mu.Lock()
	list := cleanups.list
	cleanups.list = nil
	cleanups.mu.Unlock()
	for _, f := range slices.Backward(list) {
		f()
	}
}

func die(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "faults: "+format+"\n", a...)
	cleanUp()
	os.Exit(2)
}

// dieOnSignal is for verbs that end by themselves; also when whoever reads what
// they print is gone.
func dieOnSignal() {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	go func() { die("%v", <-ch) }()
}

func waitSignal() {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM)
	<-ch
}
