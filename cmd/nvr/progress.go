package main

import (
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress returns what draws a bar on stderr, or nil where nobody sees it.
// What is done within a moment draws none.
func (c *console) progress(what string) func(done, total int64) {
	if !c.errIsTerminal {
		return nil
	}
	const moment = 500 * time.Millisecond
	began := c.now()
	var bar *progressbar.ProgressBar
	return func(done, total int64) {
		if bar == nil && (done >= total || c.now().Sub(began) < moment) {
			return
		}
		if bar == nil {
			bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(c.err), progressbar.OptionSetDescription(what),
				progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
		}
		_ = bar.Set64(done)
	}
}
