package certs

import (
	"bytes"
	"fmt"
	"strings"
)

// Refusal is one reason why a kernel makes no key of a certificate, neither on add_key nor at boot out of db or MokListRT
// (there the log says "Problem loading X.509 certificate"). It comes from reading the kernel's source and comparing
// with a running one; it is an expectation, the kernel's own answer counts.
type Refusal struct {
	// Errnos are the names of the errors that add_key may give, usually one:
	// EBADMSG (the parser does not take it), ENOPKG (unknown algorithm), EINVAL (the two signature algorithms differ; an
	// impossible key), ENOENT (no driver for the algorithm), EKEYREJECTED (its own signature is wrong).
	Errnos []string
	// Why is the reason in words.
	Why string
	// Kernels says which kernels refuse: "" for every one, else a phrase that continues "kernels …".
	Kernels string
}

// Error gives the reason, the kernels and the errors.
func (r *Refusal) Error() string {
	who := "kernels"
	if r.Kernels != "" {
		who += " " + r.Kernels
	}
	return fmt.Sprintf("%s refuse this certificate: %s (%s)", who, r.Why, strings.Join(r.Errnos, " or "))
}

// Refusal is the first reason that holds on every kernel, a *Refusal, or nil. Nil does not mean that every kernel takes
// the certificate: see Refusals.
func (c *Certificate) Refusal() error {
	for _, r := range c.Refusals() {
		if r.Kernels == "" {
			return &r
		}
	}
	return nil
}

// Refusals gives all reasons in the order in which the kernel meets them; the first that holds on a given kernel is the
// one whose error it gives. A certificate on the blacklist (EKEYREJECTED) and a full quota (EDQUOT) are not among them:
// they are no property of the certificate.
func (c *Certificate) Refusals() []Refusal {
	var found []Refusal
	for _, check := range []func(*Certificate) []Refusal{
		(*Certificate).refuseSignatureAlgorithm,
		func(c *Certificate) []Refusal { return refuseName("issuer", c.Issuer) },
		(*Certificate).refuseValidity,
		func(c *Certificate) []Refusal { return refuseName("subject", c.Subject) },
		(*Certificate).refuseKey,
		(*Certificate).refuseExtensions,
		(*Certificate).refuseSignature,
		(*Certificate).refuseAuthority,
		(*Certificate).refuseSelf,
	} {
		found = append(found, check(c)...)
	}
	return found
}

func refuse(errno, why string, where kernels) []Refusal {
	return []Refusal{{[]string{errno}, why, string(where)}}
}

// unsupported is ENOPKG where an algorithm has gaps.
func unsupported(what string, gaps kernels) []Refusal {
	switch gaps {
	case every:
		return nil
	case none:
		return refuse("ENOPKG", what+" is unknown to the kernel", every)
	}
	return refuse("ENOPKG", what+" is unknown to them", gaps)
}

// refuseSignatureAlgorithm follows x509_note_sig_algo.
func (c *Certificate) refuseSignatureAlgorithm() []Refusal {
	oid := dotted(c.signatureOID)
	a, known := signatureAlgorithms[oid]
	if !known {
		return unsupported("signature algorithm "+oid, none)
	}
	return unsupported("signature algorithm "+strings.TrimSuffix(a.key+" with "+a.hash, " with "), a.gaps)
}

// refuseName: a SEQUENCE OF needs one element in lib/asn1_decoder.c.
func refuseName(what string, name []byte) []Refusal {
	if len(name) == 0 {
		return refuse("EBADMSG", "its "+what+" is empty", every)
	}
	return nil
}

// refuseValidity follows x509_decode_time.
func (c *Certificate) refuseValidity() []Refusal {
	for i, what := range []string{"notBefore", "notAfter"} {
		if !c.validity[i].kernelAccepts() {
			return refuse("EBADMSG", fmt.Sprintf("its %s %q is no date, before 1970, or a GeneralizedTime before 2050",
				what, c.validity[i].value), every)
		}
	}
	return nil
}

// refuseKey follows x509_extract_key_data.
func (c *Certificate) refuseKey() []Refusal {
	oid := dotted(c.key.oid)
	a, known := keyAlgorithms[oid]
	if !known {
		return unsupported("key algorithm "+oid, none)
	}
	found := unsupported("key algorithm "+a.name, a.gaps)
	if a.name == "ecdsa" {
		id, ok := c.key.namedCurve()
		if !ok {
			return refuse("EBADMSG", "its EC key names no curve", every)
		}
		if curve, known := curves[id]; known {
			found = unsupported("curve "+curve.name, curve.gaps)
		} else {
			found = unsupported("curve "+id, none)
		}
	}
	if _, whole := c.key.bits.bytes(); !whole {
		found = append(found, refuse("EBADMSG", "its key is not of whole bytes", every)...)
	}
	return found
}

// refuseExtensions follows x509_process_extension.
func (c *Certificate) refuseExtensions() (found []Refusal) {
	seen := false
	for _, e := range c.extensions {
		switch {
		case bytes.Equal(e.oid, oidSKID):
			if _, ok := skid(e.value); !ok {
				found = append(found, refuse("EBADMSG", "its subject key identifier is empty, too long or malformed", every)...)
			}
			if seen {
				found = append(found, refuse("EBADMSG", "it has two subject key identifiers", every)...)
			}
			seen = true
		case bytes.Equal(e.oid, oidKeyUsage):
			found = append(found, refuseKeyUsage(e.value)...)
		case bytes.Equal(e.oid, oidBasicConstraints):
			found = append(found, refuseBasicConstraints(e.value)...)
		}
	}
	return found
}

// refuseKeyUsage: looked at since Linux 6.4 (567671281a75), for the keyCertSign bit.
func refuseKeyUsage(v []byte) []Refusal {
	if len(v) < 4 || v[0] != 3 || v[2] >= 8 {
		return refuse("EBADMSG", "its key usage is empty or malformed", "since Linux 6.4")
	}
	return nil
}

// refuseBasicConstraints: looked at since Linux 6.4 (30eae2b037af). Since a change of 2025/26 (merged for 7.0 and
// taken into stable kernels, Debian's 6.12.117 among them) anything but an empty SEQUENCE or a cA that is TRUE as DER
// wants it is refused, also a cA that is FALSE and written out, as some tools do.
func refuseBasicConstraints(v []byte) []Refusal {
	switch {
	case len(v) < 2 || v[0] != 0x30 || int(v[1]) != len(v)-2:
		return refuse("EBADMSG", "its basic constraints are malformed", "since Linux 6.4")
	case v[1] == 0 || len(v) >= 5 && v[2] == 1 && v[3] == 1 && v[4] == 0xff:
		return nil
	}
	return refuse("EBADMSG", "its basic constraints write out CA:FALSE or are not DER", "of 2026 and stable ones with the same change")
}

// refuseSignature follows x509_note_signature.
func (c *Certificate) refuseSignature() []Refusal {
	if !bytes.Equal(c.outerOID, c.signatureOID) {
		return refuse("EINVAL", "it names two different signature algorithms", every)
	}
	if _, whole := c.signature.bytes(); !whole {
		return refuse("EBADMSG", "its signature is not of whole bytes", every)
	}
	return nil
}

// refuseAuthority follows x509_akid.asn1. What is no DER may be BER, so that is not certain.
func (c *Certificate) refuseAuthority() []Refusal {
	switch c.authorityIs {
	case bad:
		return refuse("EBADMSG", "its authority key identifier is not DER", "that cannot read it as BER either")
	case differs:
		return refuse("EBADMSG", "its authority key identifier has other names than a directoryName", "that cannot read them")
	}
	return nil
}

// refuseSelf follows x509_check_for_self_signed: the kernel verifies a signature at once only when the certificate
// says that it signed itself.
func (c *Certificate) refuseSelf() []Refusal {
	switch c.claim() {
	case notSelf:
		return nil
	case contradictory:
		return refuse("EKEYREJECTED", "its authority key identifier points to itself and elsewhere", every)
	}
	var found []Refusal
	if a := keyAlgorithms[dotted(c.key.oid)].name; a == "ecdsa" || a == "ecrdsa" {
		found = refuse("ENOENT", "it is self-signed and they have no driver for "+a, "without it")
	}
	algorithm := signatureAlgorithms[dotted(c.signatureOID)]
	if why := c.key.impossibleRSA(c.signature); why != "" && algorithm.key == "rsa" && c.authorityIs != bad {
		return append(found, refuse("EINVAL", why, every)...)
	}
	wrong := Refusal{[]string{"EKEYREJECTED", "EINVAL", "EBADMSG"}, "it says that it is self-signed, and its signature is wrong", ""}
	if algorithm.hash != "sha256" {
		wrong.Kernels = "that have its hash " + algorithm.hash // the others do not look at the signature
	}
	verified, err := c.SelfSigned()
	switch {
	case err != nil:
		wrong.Why, wrong.Kernels = "it says that it is self-signed, and its signature may be wrong", "that find it so"
		return append(found, wrong)
	case !verified:
		return append(found, wrong)
	}
	return found
}

// impossibleRSA says why the kernel's RSA driver refuses a key (crypto/rsa.c rsa_check_key_length, which sees the size
// rounded up to whole 64-bit words; crypto/rsa-pkcs1pad.c wants a signature of that size). Empty when it does not.
func (k publicKey) impossibleRSA(signature bitString) string {
	if keyAlgorithms[dotted(k.oid)].name != "rsa" {
		return ""
	}
	n, e, ok := k.rsa()
	if !ok {
		return ""
	}
	n = bytes.TrimLeft(n, "\x00")
	size := (len(n) + 7) / 8 * 64
	switch size {
	case 512, 1024, 1536, 2048, 3072, 4096:
	default:
		return fmt.Sprintf("its RSA key takes %d bits, the kernel knows 512, 1024, 1536, 2048, 3072 and 4096", size)
	}
	if len(e) == 0 || len(signature) > 0 && len(signature)-1 != size/8 {
		return fmt.Sprintf("its RSA signature is not of the key's %d bits", size)
	}
	return ""
}

// KeyRefusals are the reasons why a kernel can verify nothing with the certificate's key, as far as they lie in the key. A certificate that another key
// issued may be loaded all the same. The form is that of [Certificate.Refusals].
func (c *Certificate) KeyRefusals() []Refusal {
	found := c.refuseKey()
	if why := c.key.impossibleRSA(nil); why != "" {
		return append(found, refuse("EINVAL", why, every)...)
	}
	if n, _, ok := c.key.rsa(); ok && keyAlgorithms[dotted(c.key.oid)].name == "rsa" {
		if size := len(bytes.TrimLeft(n, "\x00")); size%8 != 0 {
			found = append(found, Refusal{[]string{"EINVAL", "EBADMSG"}, fmt.Sprintf("its RSA key is of %d bytes, and they take signatures of whole words only", size), string(every)})
		}
	}
	return found
}

// Useless is the first reason for which no kernel verifies a module with the certificate's key, a *Refusal of [Certificate.Refusals] or
// [Certificate.KeyRefusals]; nil when some kernel may.
func (c *Certificate) Useless() error {
	if err := c.Refusal(); err != nil {
		return err
	}
	for _, r := range c.KeyRefusals() {
		if r.Kernels == "" {
			return &r
		}
	}
	return nil
}
