package ingest

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// A compressed message may become as large as any other, but not out of nothing: what people send shrinks to a
// twentieth, perhaps a hundredth. What shrank more was made to keep us busy.
const (
	maxRatio   = 250
	freeBytes  = 64 << 10 // that a small message may become, whatever its ratio
	maxWindow  = MaxPayload
	framedHead = "\xff\x06\x00\x00sNaPpY"
)

// inflater undoes a Content-Encoding. Its decoders and its buffer are used again.
type inflater struct {
	gzip   *gzip.Reader
	zstd   *zstd.Decoder
	snappy *snappy.Reader
	in     bytes.Reader
	buf    bytes.Buffer
}

var errTooMuch = errors.New("too much")

// inflate returns what the message at hand is without its encoding; the bytes are good until the next call. It
// refuses the message and returns false where there is no such thing.
func (d *Decoder) inflate(encoding string, payload []byte) ([]byte, bool) {
	limit := min(MaxPayload, max(freeBytes, maxRatio*len(payload)))
	d.buf, d.binary = payload, true // positions are bytes until it can be read
	b, err := d.inflater.inflate(encoding, payload, limit)
	switch {
	case errors.Is(err, errUnknownEncoding):
		d.refuse(0, "the Content-Encoding %q is not known; send gzip, zstd or snappy, or leave the header out", short(encoding))
	case errors.Is(err, errTooMuch) && limit < MaxPayload:
		d.refuse(0, "the message grows from %d bytes to more than %d, %d times as much; this is no telemetry", len(payload), limit, maxRatio)
	case errors.Is(err, errTooMuch):
		d.refuse(0, "the message has more than %d bytes when it is not compressed; send smaller batches", MaxPayload)
	case err != nil:
		d.refuse(0, "the message says that it is compressed with %s, and is not: %v", encoding, err)
	}
	d.binary = false
	return b, err == nil
}

var errUnknownEncoding = errors.New("unknown encoding")

func (z *inflater) inflate(encoding string, payload []byte, limit int) ([]byte, error) {
	z.in.Reset(payload)
	defer z.in.Reset(nil)
	switch encoding {
	case "identity":
		return payload, nil
	case "gzip", "x-gzip":
		if z.gzip == nil {
			z.gzip = new(gzip.Reader)
		}
		if err := z.gzip.Reset(&z.in); err != nil {
			return nil, err
		}
		return z.read(z.gzip, limit)
	case "zstd":
		if z.zstd == nil {
			var err error
			// One at a time: no goroutines, and no memory kept for them.
			if z.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow)); err != nil {
				return nil, err
			}
		}
		if err := z.zstd.Reset(&z.in); err != nil {
			return nil, err
		}
		return z.read(z.zstd, limit)
	case "snappy", "x-snappy-framed":
		if bytes.HasPrefix(payload, []byte(framedHead)) {
			if z.snappy == nil {
				z.snappy = snappy.NewReader(nil)
			}
			z.snappy.Reset(&z.in)
			return z.read(z.snappy, limit)
		}
		switch n, err := snappy.DecodedLen(payload); {
		case err != nil:
			return nil, err
		case n > limit:
			return nil, errTooMuch
		default:
			z.buf.Reset()
			z.buf.Grow(n)
			return snappy.Decode(z.buf.AvailableBuffer()[:n], payload)
		}
	default:
		return nil, errUnknownEncoding
	}
}

func (z *inflater) read(r io.Reader, limit int) ([]byte, error) {
	z.buf.Reset()
	n, err := z.buf.ReadFrom(io.LimitReader(r, int64(limit)+1))
	switch {
	case n > int64(limit): // what comes after it need not be right
		return nil, errTooMuch
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, errTooMuch
	case err != nil:
		return nil, err
	}
	return z.buf.Bytes(), nil
}
