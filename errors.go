package alertd

import "errors"

// Errors that callers tell apart with errors.Is; the text around them says what is wrong.
var (
	// ErrNotFound says that there is no such thing.
	ErrNotFound = errors.New("not found")
	// ErrInvalid says that what was asked for makes no sense, whoever asks.
	ErrInvalid = errors.New("not valid")
	// ErrStandby says that this node could answer if it led.
	ErrStandby = errors.New("standing by: another node leads")
)
