package mark

import "nvr/internal/media"

// What the package knows of the codecs. It is written from the standards
// and shares nothing with the recorder's own parsers: a mistake there must not
// cancel itself here.

const (
	payloadUserData = 5    // user_data_unregistered: ITU-T H.264 §D.1.7, H.265 §D.2.7
	rbspStop        = 0x80 // rbsp_trailing_bits of a SEI that ends on a byte: H.264 §7.3.2.11

	seiH264 = 6  // nal_unit_type: H.264 table 7-1
	seiH265 = 39 // PREFIX_SEI_NUT: H.265 table 7-1
)

// seiHeader is the NAL unit header of a SEI (H.264 §7.3.1, H.265 §7.3.1.2).
func seiHeader(codec media.Codec) []byte {
	if codec == media.H265 {
		return []byte{seiH265 << 1, 1} // nuh_layer_id 0, nuh_temporal_id_plus1 1
	}
	return []byte{seiH264}
}

// textPrefix is what stands before a mark's text.
func textPrefix(codec media.Codec) []byte {
	switch codec {
	case media.AV1:
		return []byte{obuMetadata, metadataT35, countryCode}
	case media.MJPEG:
		return []byte{0xff, jpegComment, 0, 2 + TextSize}
	}
	return append(seiHeader(codec), payloadUserData, TextSize)
}

// headerSize is the size of the codec's NAL unit header.
func headerSize(codec media.Codec) int {
	if codec == media.H265 {
		return 2
	}
	return 1
}

// isSlice reports whether a NAL unit holds coded picture data: types 1 to 5
// in H.264 (table 7-1), below 32 in H.265 (table 7-1).
func isSlice(codec media.Codec, nal []byte) bool {
	if len(nal) < headerSize(codec) {
		return false
	}
	if codec == media.H265 {
		return nal[0]>>1&0x3f < 32
	}
	t := nal[0] & 0x1f
	return t >= 1 && t <= 5
}
