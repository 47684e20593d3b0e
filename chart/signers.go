package chart

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	"kkeys/certs"
)

// signer adds the signer of modules, with an edge from the key that it names.
func (o *one) signer(s Signer) {
	id := "signer:" + hex.EncodeToString(s.SKID)
	if s.SKID == nil {
		sum := sha256.Sum256(s.Issuer)
		id = "signer:" + hex.EncodeToString(s.Serial) + ":" + hex.EncodeToString(sum[:])
	}
	key, c := o.named(s)
	n := o.node(id, func() Node {
		if s.SKID != nil {
			return Node{Kind: SignerNode, Name: "key id " + hex.EncodeToString(s.SKID), KeyID: hex.EncodeToString(s.SKID)}
		}
		return Node{Kind: SignerNode, Name: certs.DistinguishedName(s.Issuer) + ", serial number " + hex.EncodeToString(s.Serial)}
	})
	n.Modules += s.Modules
	if c != nil && n.Key == nil {
		details := c.Details()
		n.Key, n.Name, n.KeyID = &details, nameOf(details), details.KeyID
	}
	if key != "" {
		o.edge(key, id, Signs).Yes++
	}
}

// named finds the key that a signer names, one in a keyring of the kernel before all others, and its certificate, which may be in no store.
func (o *one) named(s Signer) (key string, found *certs.Certificate) {
	best := 0
	for _, c := range o.pool {
		if s.SKID != nil && !bytes.Equal(c.SubjectKeyID, s.SKID) || s.SKID == nil && !bytes.Equal(c.ID0(), slices.Concat(s.Serial, s.Issuer)) {
			continue
		}
		worth, id := 1, o.id(c)
		for _, store := range o.held[id] {
			worth = max(worth, 2)
			if strings.HasPrefix(store, ".") {
				worth = 3
			}
		}
		if worth > best {
			best, found = worth, c
			if worth > 1 {
				key = id
			}
		}
	}
	if found != nil || s.SKID == nil {
		return key, found
	}
	for _, id := range slices.Sorted(maps.Keys(o.held)) { // the kernel's descriptions have the key id alone
		if n := o.nodes[id]; n.Key == nil && n.KeyID == hex.EncodeToString(s.SKID) {
			return id, nil
		}
	}
	return "", nil
}

func (o *one) modules(kind, name string, n int) {
	if n > 0 {
		o.node(kind, func() Node { return Node{Kind: kind, Name: name} }).Modules += n
	}
}
