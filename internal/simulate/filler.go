package simulate

import (
	"nvr/internal/media"
	"nvr/internal/simulate/mark"
)

// fillerSizes spreads extra bytes over the pictures of a clip as evenly as
// filler NAL units can have sizes (mark.Filler): what one picture cannot take
// goes to the next. The sizes, each with nalLengthSize where it is not 0, add
// up to extra exactly, unless extra is less than the smallest filler.
func fillerSizes(codec media.Codec, pictures, extra int) []int {
	sizes := make([]int, pictures)
	if extra <= 0 {
		return sizes
	}
	carry := 0
	for i := range sizes {
		carry += extra*(i+1)/pictures - extra*i/pictures
		sizes[i] = largestFiller(codec, carry-nalLengthSize)
		if sizes[i] > 0 {
			carry -= nalLengthSize + sizes[i]
		}
	}
	if carry > 0 {
		placeRest(codec, sizes, carry)
	}
	return sizes
}

// placeRest adds what the last picture left over to one that can take it,
// together with a byte or two of another's where none can take it alone.
func placeRest(codec media.Codec, sizes []int, rest int) {
	for moved := range 3 {
		for i, from := range sizes {
			if from == 0 || !mark.Fillable(codec, from-moved) {
				continue
			}
			sizes[i] -= moved
			for j, to := range sizes {
				if to > 0 && (j != i || moved == 0) && mark.Fillable(codec, to+rest+moved) {
					sizes[j] += rest + moved
					return
				}
			}
			sizes[i] += moved
		}
	}
}

// largestFiller is the size of the largest filler of at most limit bytes, or 0.
func largestFiller(codec media.Codec, limit int) int {
	for size := limit; size >= mark.FillerMin(codec) && size >= limit-1; size-- {
		if mark.Fillable(codec, size) {
			return size
		}
	}
	return 0
}
