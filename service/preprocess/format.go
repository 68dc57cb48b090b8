package preprocess

// FormatOf is the format of a picture that begins with data, as in [Picture.Format], or "" where it begins as none that is read. A few
// bytes are enough; whether the picture is whole shows only when it is decoded.
func FormatOf(data []byte) string {
	format, err := sniff(data)
	if err != nil {
		return ""
	}
	return format
}
