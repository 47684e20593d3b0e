// Package modsig is the signature appended to a kernel module: take it off, read it, check it, make it, and look through
// the compression around it. Bytes in, facts out; only [File] touches a file, and needs the permission to.
//
// The kernel object is what init_module and finit_module look at first since Linux 3.7: payload, CMS message, twelve bytes
// of struct module_signature, and a line of text (include/linux/module_signature.h, kernel/module/signing.c). The message
// has been PKCS#7 since 4.3; older kinds are known by their number only. Compressed modules (.ko.gz, .ko.xz,
// .ko.zst) are decompressed by kmod, or since 5.17 by the kernel itself; the signature belongs inside.
//
// What cannot be known here: whether a kernel trusts the key (the candidates of Verify are the caller's choice), which
// hash and key drivers it has loaded, and whether the payload would load. A valid signature says that whoever has the
// private key signed these bytes.
//
// Only DER is read. The kernel's own decoder takes looser BER, and PKCS#7's old SEQUENCE in place of a SET;
// scripts/sign-file and openssl cms write neither. Where a message is of that kind the error is ErrNotDER, which is no verdict; so is an ECDSA signature
// of that kind Unsupported.
package modsig

import (
	"errors"
	"fmt"
)

// Why a module or a message is refused. In brackets is what the kernel says; ENODATA, ENOPKG and ENOKEY leave it to the
// policy (without enforcement the module loads and taints), all others refuse the module on every kernel.
var (
	// ErrUnsigned: the line of text is not at the end (ENODATA). The error is an *UnsignedError.
	ErrUnsigned = errors.New("the module is not signed")
	// ErrMalformed: the trailer or the message is damaged (EBADMSG, EINVAL; EMSGSIZE above MaxMessage). The error is a
	// *SyntaxError.
	ErrMalformed = errors.New("malformed module signature")
	// ErrNotDER: the message is written as only the kernel reads it, so that nothing is known of it here. The error is a *SyntaxError.
	ErrNotDER = errors.New("the module signature is not DER, and the kernel reads more than that")
	// ErrKind: the trailer says that the signature is no PKCS#7 message (ENOPKG): a kind from before Linux 4.3 or one
	// newer than this program. That is no damage.
	ErrKind = errors.New("unknown kind of module signature")
	// ErrUnsupported: the kernel knows no such hash or signature algorithm in a module signature (ENOPKG).
	ErrUnsupported = errors.New("algorithm unknown to the kernel")
	// ErrAttached: the message carries the signed content itself (EBADMSG).
	ErrAttached = errors.New("the signature carries its content, the kernel wants it detached")
	// ErrAttributes: the message has authenticated attributes (EKEYREJECTED). Linux 7.0 can be built to let them pass with
	// ML-DSA (CONFIG_PKCS7_WAIVE_AUTHATTRS_REJECTION_FOR_MLDSA); that is not told apart here.
	ErrAttributes = errors.New("the signature has authenticated attributes, which the kernel refuses")
	// ErrInvalid: what was asked to be written cannot be.
	ErrInvalid = errors.New("no such module signature can be made")
)

// SyntaxError says what is wrong, and where. Its Unwrap gives ErrMalformed or another of the outcomes.
type SyntaxError struct {
	// Offset is in bytes from the start of what was given: the module for Split, the message for Decode.
	Offset int
	// What is the field that was being read, Why what is wrong with it.
	What, Why string

	outcome error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%v: %s at offset %d: %s", e.outcome, e.What, e.Offset, e.Why)
}

func (e *SyntaxError) Unwrap() error { return e.outcome }
