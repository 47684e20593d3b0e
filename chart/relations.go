package chart

import (
	"bytes"
	"maps"
	"slices"

	"kkeys/certs"
)

// revoked adds an edge for each key that a list of what is refused has, itself or by its hash, and counts it for each store that holds the key here.
func (o *one) revoked() {
	refused := map[string]bool{}
	for _, s := range o.facts.Stores {
		if at := rank(s.Name); at == len(places) || !places[at].forbid {
			continue
		}
		digests := map[string]bool{}
		for _, d := range s.Forbids {
			digests[string(d)] = true
		}
		for _, id := range slices.Sorted(maps.Keys(o.held)) {
			c := o.certs[id]
			if slices.Contains(o.held[id], s.Name) || c != nil && len(digests) > 0 && slices.ContainsFunc(sums(c), func(sum string) bool { return digests[sum] }) {
				o.edge(s.Name, id, Revokes).Yes++
				refused[id] = true
			}
		}
	}
	for id := range refused {
		for _, store := range o.held[id] {
			o.edge(store, id, Holds).Refused++
		}
	}
}

// sums are the digests by which a list may name a certificate (UEFI 2.10, 32.4.1; certs/blacklist.c, kind tbs).
func sums(c *certs.Certificate) (all []string) {
	for _, name := range []string{"sha1", "sha224", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"} {
		if hash, ok := certs.Hash(name); ok {
			h := hash.New()
			h.Write(c.RawTBS)
			all = append(all, string(h.Sum(nil)))
		}
	}
	return all
}

// likeness is how two certificates stand to each other.
type likeness int

const (
	strangers likeness = iota + 1
	likely             // names agree, and the signature is of a kind that cannot be computed here
	proven
)

// issued adds an edge from each key to those that it signed.
func (o *one) issued() {
	bySubject := map[string][]string{}
	ids := slices.Sorted(maps.Keys(o.certs))
	for _, id := range ids {
		if o.held[id] != nil {
			subject := string(o.certs[id].Subject)
			bySubject[subject] = append(bySubject[subject], id)
		}
	}
	for _, id := range ids {
		if o.held[id] == nil {
			continue
		}
		for _, by := range bySubject[string(o.certs[id].Issuer)] {
			if by == id {
				continue
			}
			pair := [2]string{id, by}
			if o.signed[pair] == 0 {
				o.signed[pair] = compare(o.certs[id], o.certs[by])
			}
			if o.signed[pair] != strangers {
				e := o.edge(by, id, Issued)
				e.Proven = o.signed[pair] == proven
				e.Yes++
			}
		}
	}
}

func compare(c, issuer *certs.Certificate) likeness {
	if c.Authority.KeyID != nil && issuer.SubjectKeyID != nil && !bytes.Equal(c.Authority.KeyID, issuer.SubjectKeyID) {
		return strangers
	}
	switch signed, err := c.SignedBy(issuer); {
	case err != nil:
		return likely
	case signed:
		return proven
	}
	return strangers
}
