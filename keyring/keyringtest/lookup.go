package keyringtest

import (
	"bytes"

	"kkeys/certs"
	"kkeys/keyring"
)

// search is the first key that matches, in the keyring's own entries, then in each keyring that it links and what that links
// (security/keys/keyring.c, search_nested_keyrings).
func (k *Kernel) search(r *ring, matches func(*certs.Certificate) bool) *certs.Certificate {
	entries := k.inOrder(r)
	for _, e := range entries {
		if e.certificate != nil && !e.hidden && matches(e.certificate) {
			return e.certificate
		}
	}
	for _, e := range entries {
		if e.ring == nil {
			continue
		}
		if found := k.search(e.ring, matches); found != nil {
			return found
		}
	}
	return nil
}

// same compares two ids, of which an absent one equals none (crypto/asymmetric_keys/asymmetric_type.c, asymmetric_key_id_same).
func same(a, b []byte) bool { return a != nil && b != nil && bytes.Equal(a, b) }

// hasID: the kernel does not care which of a key's two ids it is that matches (asymmetric_type.c, asymmetric_match_key_ids; restrict.c,
// match_either_id).
func hasID(c *certs.Certificate, id []byte) bool { return same(c.ID0(), id) || same(c.ID1(), id) }

// authority is how a certificate names its issuer (struct public_key_signature, auth_ids): from its authority key identifier, and without
// one by the issuer's name alone.
type authority struct {
	serial, keyID, name []byte
}

func authorityOf(c *certs.Certificate) authority {
	return authority{c.Authority.ID0(), c.Authority.KeyID, c.Issuer}
}

// inRing looks the issuer up in a keyring (asymmetric_type.c, find_asymmetric_key). Of the keys that the first id fits only the one found first
// is looked at: when the second is not its key id, the kernel gives up, though another key might have both.
func (k *Kernel) inRing(r *ring, a authority) *certs.Certificate {
	id := a.serial
	switch {
	case a.serial == nil && a.keyID == nil:
		return k.search(r, func(c *certs.Certificate) bool { return same(c.ID2(), a.name) })
	case a.serial == nil:
		id = a.keyID
	}
	if len(id) == 0 {
		return nil // asymmetric_key_hex_to_key_id: EINVAL
	}
	found := k.search(r, func(c *certs.Certificate) bool { return hasID(c, id) })
	if found != nil && a.serial != nil && a.keyID != nil && !same(found.ID1(), a.keyID) {
		return nil
	}
	return found
}

// isKey tells whether a single key may be the issuer (crypto/asymmetric_keys/restrict.c, key_or_keyring_common).
func (a authority) isKey(c *certs.Certificate) bool {
	switch {
	case a.serial == nil && a.keyID == nil:
		return same(c.ID2(), a.name)
	case a.serial == nil:
		return hasID(c, a.keyID)
	case a.keyID == nil:
		return hasID(c, a.serial)
	}
	return same(c.ID1(), a.keyID) && hasID(c, a.serial)
}

// Accepts tells whether a module would be accepted that was signed with the private key of this certificate, and whose signature names it
// so, without certificates in it, as sign-file writes it. The kernel looks from .secondary_trusted_keys on
// (certs/system_keyring.c, verify_pkcs7_message_sig; crypto/asymmetric_keys/pkcs7_trust.c, pkcs7_validate_trust_one), and where platform is true in
// .platform too, when it found none before (kernel/module/signing.c of Debian and Fedora, mod_verify_sig). Then the key that it found decides.
// No signature can name a certificate by an id that it lacks; nor by all ids.
func (k *Kernel) Accepts(key *certs.Certificate, by certs.Lookup, platform bool) bool {
	var id []byte
	switch by {
	case certs.ByIssuerAndSerial:
		id = key.ID0()
	case certs.ByKeyID:
		id = key.ID1()
	}
	matches := func(c *certs.Certificate) bool { return hasID(c, id) }
	found := k.search(k.must(keyring.Secondary), matches)
	if found == nil && platform {
		found = k.search(k.must(keyring.Platform), matches)
	}
	return found != nil && found.SameKey(key) && unusable(found) == nil
}
