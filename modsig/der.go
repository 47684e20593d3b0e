package modsig

import (
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"
)

// reader reads DER elements one after the other and knows at which offset of the message it stands.
type reader struct {
	rest cryptobyte.String
	at   int
}

// has tells whether the next element has this tag.
func (r *reader) has(t tag.Tag) bool { return r.rest.PeekASN1Tag(t) }

func (r *reader) bad(what, format string, args ...any) error {
	return malformed(r.at, what, format, args...)
}

// loose is an element that is not DER and that the kernel may read all the same.
func (r *reader) loose(what, format string, args ...any) error {
	return &SyntaxError{Offset: r.at, What: what, Why: fmt.Sprintf(format, args...), outcome: ErrNotDER}
}

// looseLength tells whether an element that is not DER has a length that the kernel reads all the same: an indefinite one, or one of up to two bytes
// that is longer than need be (lib/asn1_decoder.c, asn1_ber_decoder).
func looseLength(element []byte) bool {
	if len(element) < 2 || element[0]&0x1f == 0x1f || element[1] < 0x80 {
		return false
	}
	n := int(element[1] & 0x7f)
	if n > 2 || len(element) < 2+n {
		return false
	}
	size := 0
	for _, b := range element[2 : 2+n] {
		size = size<<8 | int(b)
	}
	return n == 0 || size <= len(element)-2-n
}

// next reads an element of any tag: the whole, and a reader over its content.
func (r *reader) next(what string) (whole []byte, inner reader, err error) {
	var element, content cryptobyte.String
	var t tag.Tag
	rest := r.rest
	if !rest.ReadAnyASN1Element(&element, &t) {
		if looseLength(r.rest) {
			return nil, reader{}, r.loose(what, "its length is not written as in DER")
		}
		return nil, reader{}, r.bad(what, "no DER element, or cut short: %d bytes are left", len(r.rest))
	}
	whole = element
	element.ReadAnyASN1(&content, &t) // cannot fail: it was just read
	inner = reader{content, r.at + len(whole) - len(content)}
	r.rest, r.at = rest, r.at+len(whole)
	return whole, inner, nil
}

// want reads an element of this tag.
func (r *reader) want(t tag.Tag, what string) (reader, error) {
	switch {
	case r.rest.Empty():
		return reader{}, r.bad(what, "missing")
	case t == tag.SET && r.has(tag.SEQUENCE), r.has(context2), r.has(context3):
		// pkcs7.asn1 has a CHOICE of SET and SEQUENCE at some places; elsewhere the kernel refuses, too, and here that is only not known.
		return reader{}, r.loose(what, "tag %#02x where DER has %#02x", r.rest[0], uint8(t))
	case !r.has(t):
		return reader{}, r.bad(what, "tag %#02x where %#02x belongs", r.rest[0], uint8(t))
	}
	_, inner, err := r.next(what)
	return inner, err
}

// end is an error when something is left.
func (r *reader) end(what string) error {
	if r.rest.Empty() {
		return nil
	}
	return r.bad(what, "%d bytes too many", len(r.rest))
}

// oid reads an object identifier; nil stands for one that encoding/asn1 cannot hold, which equals none that is known.
func (r *reader) oid(what string) (asn1.ObjectIdentifier, error) {
	var oid asn1.ObjectIdentifier
	whole := r.rest
	if _, err := r.want(tag.OBJECT_IDENTIFIER, what); err != nil {
		return nil, err
	}
	if !whole.ReadASN1ObjectIdentifier(&oid) {
		return nil, nil
	}
	return oid, nil
}

// algorithm reads an AlgorithmIdentifier and where it stands. Whatever the parameters are, the kernel ignores them.
func (r *reader) algorithm(what string) (oid asn1.ObjectIdentifier, at int, err error) {
	at = r.at
	seq, err := r.want(tag.SEQUENCE, what)
	if err != nil {
		return nil, at, err
	}
	if oid, err = seq.oid(what); err != nil {
		return nil, at, err
	}
	if !seq.rest.Empty() {
		if _, _, err := seq.next(what + " parameters"); err != nil {
			return nil, at, err
		}
	}
	return oid, at, seq.end(what)
}

// version reads a version number, 1 or 3.
func (r *reader) version(what string) (uint8, error) {
	number, err := r.want(tag.INTEGER, what)
	if err != nil {
		return 0, err
	}
	if len(number.rest) != 1 || number.rest[0] != 1 && number.rest[0] != 3 {
		return 0, number.bad(what, "%#x, the kernel knows 1 and 3", []byte(number.rest))
	}
	return number.rest[0], nil
}

// name reads a Name down to its attributes, as the kernel does, and gives its content.
func (r *reader) name(what string) ([]byte, error) {
	rdns, err := r.want(tag.SEQUENCE, what)
	if err != nil {
		return nil, err
	}
	content := rdns.rest
	return content, rdns.each(what, func(rdns *reader) error {
		rdn, err := rdns.want(tag.SET, what)
		if err != nil {
			return err
		}
		return rdn.each(what, func(rdn *reader) error {
			attribute, err := rdn.want(tag.SEQUENCE, what)
			if err != nil {
				return err
			}
			if _, err := attribute.oid(what); err != nil {
				return err
			}
			if _, _, err := attribute.next(what); err != nil {
				return err
			}
			return attribute.end(what)
		})
	})
}

// each reads all elements of a SET OF or SEQUENCE OF. The kernel's decoder wants one at least, but in a set of certificates.
func (r *reader) each(what string, one func(*reader) error) error {
	for first := true; first || !r.rest.Empty(); first = false {
		if r.rest.Empty() {
			return r.bad(what, "none")
		}
		if err := one(r); err != nil {
			return err
		}
	}
	return nil
}

// attributes reads a SET OF Attribute, RFC 5652 5.3, as far as the kernel looks at those that are not signed.
func (r *reader) attributes(what string) error {
	return r.each(what, func(r *reader) error {
		attribute, err := r.want(tag.SEQUENCE, what)
		if err != nil {
			return err
		}
		if _, err := attribute.oid(what); err != nil {
			return err
		}
		values, err := attribute.want(tag.SET, what)
		if err != nil {
			return err
		}
		if err := values.each(what, func(r *reader) error {
			_, _, err := r.next(what)
			return err
		}); err != nil {
			return err
		}
		return attribute.end(what)
	})
}
