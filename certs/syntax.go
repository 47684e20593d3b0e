package certs

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Outcomes of ParseDER and Decode.
var (
	// ErrEmpty: there are no bytes at all.
	ErrEmpty = errors.New("empty: no certificate in it")
	// ErrTooLarge: more than MaxSize bytes.
	ErrTooLarge = errors.New("too large for a certificate")
	// ErrTrailing: a certificate is followed by more bytes.
	ErrTrailing = errors.New("bytes after the certificate")
	// ErrMalformed: the bytes are not one DER certificate.
	ErrMalformed = errors.New("malformed certificate")
	// ErrPrivateKey: the input holds a private key; its certificate is wanted.
	ErrPrivateKey = errors.New("this is a private key: give its certificate")
	// ErrNotCertificate: the input is something else, which the message names.
	ErrNotCertificate = errors.New("not a certificate")
)

// SyntaxError says what is wrong with the DER, and where. Its Unwrap gives ErrMalformed or ErrTrailing.
type SyntaxError struct {
	// Offset is in bytes from the start of the certificate.
	Offset int
	// What is the field that was being read, Why what is wrong with it.
	What, Why string

	outcome error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%v: %s at offset %d: %s", e.outcome, e.What, e.Offset, e.Why)
}

func (e *SyntaxError) Unwrap() error { return e.outcome }

func tooLarge(size int) error {
	return fmt.Errorf("%w: %d bytes, the kernel reads at most %d", ErrTooLarge, size, MaxSize)
}

// cursor reads DER elements one after the other and knows where in the certificate it stands.
type cursor struct {
	rest cryptobyte.String
	at   int
}

func (c *cursor) empty() bool { return c.rest.Empty() }

func (c *cursor) bad(what, why string) error {
	return &SyntaxError{Offset: c.at, What: what, Why: why, outcome: ErrMalformed}
}

// next reads an element of any tag: its tag, the whole element, and a cursor over its content.
func (c *cursor) next(what string) (asn1.Tag, []byte, cursor, error) {
	var content, element cryptobyte.String
	var tag asn1.Tag
	whole := c.rest
	if !whole.ReadAnyASN1Element(&element, &tag) {
		return 0, nil, cursor{}, c.bad(what, c.whyNot())
	}
	whole = element
	whole.ReadAnyASN1(&content, &tag)
	inner := cursor{content, c.at + len(element) - len(content)}
	c.rest = c.rest[len(element):]
	c.at += len(element)
	return tag, element, inner, nil
}

// want reads an element of this tag.
func (c *cursor) want(tag asn1.Tag, what string) ([]byte, cursor, error) {
	if c.empty() {
		return nil, cursor{}, c.bad(what, "missing")
	}
	if got := asn1.Tag(c.rest[0]); got != tag {
		return nil, cursor{}, c.bad(what, fmt.Sprintf("tag %#02x where %#02x belongs", uint8(got), uint8(tag)))
	}
	_, element, inner, err := c.next(what)
	return element, inner, err
}

// has tells whether the next element has this tag.
func (c *cursor) has(tag asn1.Tag) bool { return c.rest.PeekASN1Tag(tag) }

// end is an error when something is left.
func (c *cursor) end(what string) error {
	if c.empty() {
		return nil
	}
	return c.bad(what, fmt.Sprintf("%d bytes too many", len(c.rest)))
}

// whyNot finds words for an element that cryptobyte did not read: it checks all of this but says nothing.
func (c *cursor) whyNot() string {
	b := c.rest
	switch {
	case len(b) == 0:
		return "missing"
	case b[0]&0x1f == 0x1f:
		return "multi-byte tag"
	case len(b) == 1:
		return "cut short"
	case b[1] == 0x80:
		return "indefinite length, which DER forbids"
	case b[1] > 0x84:
		return "length of more than four bytes"
	}
	n := int(b[1])
	header := 2
	if n >= 0x80 {
		octets := n & 0x7f
		if len(b) < 2+octets {
			return "cut short in the length"
		}
		var long uint64
		for _, o := range b[2 : 2+octets] {
			long = long<<8 | uint64(o)
		}
		header += octets
		if long < 0x80 || b[2] == 0 {
			return "length not in its shortest form, which DER demands"
		}
		if long > uint64(len(b)-header) {
			return fmt.Sprintf("says %d bytes, %d are left", long, len(b)-header)
		}
		return "unreadable length"
	}
	return fmt.Sprintf("says %d bytes, %d are left", n, len(b)-header)
}
