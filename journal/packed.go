package journal

import (
	"fmt"

	"github.com/klauspost/compress/s2"
)

// packFrom is from how many bytes on a commit's text is packed. What a turn decides in calm is shorter, and stays readable for whoever
// looks at the stream.
const packFrom = 16 << 10

// pack writes the text of a commit in a fifth of its bytes, which in a storm saves the server more than it costs: it copies a message
// half a dozen times, and keeps those of the last seconds in memory. Where that does not make it shorter, the text stays as it is.
func pack(text []byte) (format string, body []byte) {
	if len(text) < packFrom {
		return formatWhole, text
	}
	if body = s2.Encode(nil, text); len(body) >= len(text) {
		return formatWhole, text
	}
	return formatPacked, body
}

// unpack reads what pack wrote, or says that it is something else.
func unpack(body []byte) ([]byte, error) {
	n, err := s2.DecodedLen(body)
	if err != nil {
		return nil, fmt.Errorf("packed commit: %w", err)
	}
	if n > MaxMessage {
		return nil, fmt.Errorf("packed commit: %d bytes, of at most %d", n, MaxMessage)
	}
	text, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("packed commit: %w", err)
	}
	return text, nil
}

// textLen is how long the text is that a message holds.
func textLen(format string, body []byte) int {
	if format == formatPacked {
		if n, err := s2.DecodedLen(body); err == nil {
			return n
		}
	}
	return len(body)
}
