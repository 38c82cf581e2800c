package aac

import (
	"errors"
	"fmt"

	"nvr/internal/codec/bits"
)

// Object types of ISO/IEC 14496-3 table 1.17.
const (
	lc      = 2
	ltp     = 4
	sbr     = 5
	ps      = 29
	escaped = 31
)

// MaxConfigBytes bounds an AudioSpecificConfig.
const MaxConfigBytes = 64

// config is what we need of an AudioSpecificConfig.
type config struct {
	objectType uint32 // of the core coder
	rate       uint32 // of the core coder, Hz
	extended   uint32 // what the decoder puts out after spectral band replication; 0: the same
	layout     byte   // channelConfiguration
	short      bool   // 960 samples instead of 1024
}

var rates = [...]uint32{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// readConfig reads an AudioSpecificConfig (§1.6.2.1) of the kinds that have
// access units of 1024 or 960 samples: LC, SSR and LTP, alone or below SBR and
// PS. (Cameras that say Main send LC, whose number in ADTS is Main's here.) It
// stops behind it, as a StreamMuxConfig needs. A hint at SBR behind it that older
// decoders pass over is passed over.
func readConfig(r *bits.Reader) (c config, err error) {
	c.objectType = objectType(r)
	c.rate = rate(r)
	c.layout = byte(r.U(4))
	if c.objectType == sbr || c.objectType == ps {
		c.extended = rate(r)
		c.objectType = objectType(r)
	}
	switch {
	case r.Short:
		return c, errors.New("cut short")
	case c.objectType < lc || c.objectType > ltp:
		return c, fmt.Errorf("object type %d", c.objectType)
	case c.rate == 0:
		return c, errors.New("no sample rate")
	case c.layout == 0 || c.layout > 7:
		return c, fmt.Errorf("channel configuration %d", c.layout)
	}
	c.short = r.Flag() // GASpecificConfig, §4.4.1
	if r.Flag() {
		r.Skip(14) // coreCoderDelay
	}
	if r.Flag() {
		r.Skip(1) // extensionFlag3
	}
	if r.Short {
		return c, errors.New("cut short")
	}
	return c, nil
}

// skipHint steps over the hint at SBR and PS that may stand behind an
// AudioSpecificConfig (§1.6.5.2, syncExtensionType). Where nothing says how long
// the config is, its first bits tell: as a frameLengthType they are speech.
func skipHint(r *bits.Reader) {
	const sbrHint, psHint = 0x2b7, 0x548
	if peek := *r; peek.U(11) != sbrHint || peek.Short {
		return
	}
	r.Skip(11)
	if objectType(r) != sbr || !r.Flag() {
		return
	}
	rate(r)
	if peek := *r; peek.U(11) == psHint && !peek.Short {
		r.Skip(11 + 1)
	}
}

func objectType(r *bits.Reader) uint32 {
	if t := r.U(5); t != escaped {
		return t
	}
	return 32 + r.U(6)
}

func rate(r *bits.Reader) uint32 {
	switch i := r.U(4); {
	case i == 15:
		return r.U(24)
	case int(i) < len(rates):
		return rates[i]
	}
	return 0
}
