package main

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"

	"kkeys/certs"
	"kkeys/chart"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/kernel"
	"kkeys/keyring"
	"kkeys/trust"
)

// ways are what the stores are to one another: by the rules of UEFI and shim, as the switches of this machine stand, or as it shows in the keyrings.
func (m *mapping) ways(status kernel.Status) []chart.Way {
	all := slices.Concat(m.updates(), m.starts(), m.loads())
	if s := m.store(chart.Shim); len(s.Certificates) > 0 && m.store(chart.MOK).Seen != evidence.No {
		all = append(all, m.copied(chart.Way{From: chart.Shim, To: chart.MOK, Kind: chart.Mirrors}, m.store(chart.MOK).Seen, len(s.Certificates), func(i int) bool {
			return slices.ContainsFunc(m.store(chart.MOK).Certificates, func(c *certs.Certificate) bool { return string(c.Raw) == string(s.Certificates[i].Raw) })
		}))
	}
	all = append(all, chart.Way{From: chart.Kernel, To: keyring.Builtin, Kind: chart.BuiltIn, Answer: m.store(keyring.Builtin).Seen})
	for _, name := range trust.Listed {
		if s := m.store(name); name == keyring.Blacklist || s.Name == "" || s.Seen == evidence.No {
			continue
		}
		consulted := trust.Consulted(m.rings, status, name)
		way := chart.Way{From: name, To: chart.Modules, Kind: chart.Verifies, Answer: consulted.Answer}
		if way.Answer != evidence.Yes { // else the links say it
			way.Why = consulted.Evidence
		}
		all = append(all, way)
		if ring := keyring.Named(m.rings, name); ring != nil {
			for _, link := range ring.Rings {
				all = append(all, chart.Way{From: link.Description, To: name, Kind: chart.Links, Answer: evidence.Yes})
			}
		}
	}
	return slices.DeleteFunc(all, func(w chart.Way) bool { return m.store(w.From).Name == "" || m.store(w.To).Name == "" })
}

// store is what was seen of one; without a name it is none that is drawn.
func (m *mapping) store(name string) chart.Store {
	for _, s := range m.facts.Stores {
		if s.Name == name {
			return s
		}
	}
	return chart.Store{}
}

// updates: PK signs what changes KEK, KEK what changes db and dbx (UEFI 2.10, 32.3.1), but in setup mode.
func (m *mapping) updates() (all []chart.Way) {
	for _, pair := range [][2]string{{chart.PK, chart.KEK}, {chart.KEK, chart.DB}, {chart.KEK, chart.DBX}} {
		from, to := m.store(pair[0]), m.store(pair[1])
		w := chart.Way{From: pair[0], To: pair[1], Kind: chart.Updates}
		switch {
		case from.Seen == evidence.No || to.Seen == evidence.No && len(from.Certificates) == 0:
			continue
		case m.state.SetupMode.Answer == evidence.Yes:
			w.Answer, w.Why = evidence.No, "in setup mode nobody is asked"
		case m.state.SetupMode.Answer == evidence.No && from.Seen == evidence.Yes:
			w.Answer = evidence.Yes
		}
		all = append(all, w)
	}
	return all
}

// starts: with Secure Boot the firmware starts what db vouches for, and shim what its own keys, its list or db vouch for, unless its validation is off.
func (m *mapping) starts() (all []chart.Way) {
	boot, shim := m.state.SecureBoot.Answer, m.state.Shim.Answer
	validates := evidence.Unknown
	switch {
	case boot == evidence.No || m.state.ValidationDisabled.Answer == evidence.Yes:
		validates = evidence.No
	case boot == evidence.Yes && m.state.ValidationDisabled.Answer == evidence.No:
		validates = evidence.Yes
	}
	add := func(from, to string, answer evidence.Answer, why string) {
		if s := m.store(from); s.Seen == evidence.No || s.Seen == evidence.Yes && len(s.Certificates)+s.Hashes == 0 {
			return
		}
		if answer == evidence.No && boot == evidence.No {
			why = "Secure Boot is off"
		}
		all = append(all, chart.Way{From: from, To: to, Kind: chart.Starts, Answer: answer, Why: why})
	}
	if shim == evidence.No {
		add(chart.DB, chart.Kernel, boot, "")
		return all
	}
	off := ""
	if validates == evidence.No {
		off = "shim's validation is off"
	}
	add(chart.DB, chart.Shim, boot, "")
	switch ignored := m.state.IgnoreDB.Answer; {
	case validates == evidence.Yes && ignored == evidence.Yes:
		add(chart.DB, chart.Kernel, evidence.No, "shim ignores db")
	case validates == evidence.Yes && ignored == evidence.Unknown:
		add(chart.DB, chart.Kernel, evidence.Unknown, "")
	default:
		add(chart.DB, chart.Kernel, validates, cmp.Or(off, "through shim"))
	}
	add(chart.Shim, chart.Kernel, validates, off)
	add(chart.MOK, chart.Kernel, validates, off)
	return all
}

// loads: which entries of the firmware's and shim's lists stand in a keyring, by name and id or by hash.
func (m *mapping) loads() (all []chart.Way) {
	for _, from := range []string{chart.DB, chart.MOK} {
		s := m.store(from)
		if s.Seen == evidence.No || s.Seen == evidence.Yes && len(s.Certificates) == 0 {
			continue
		}
		var some []chart.Way
		for _, to := range []string{keyring.Machine, keyring.Platform} {
			ring := m.store(to)
			w := m.copied(chart.Way{From: from, To: to, Kind: chart.Loads}, bothSeen(s.Seen, ring.Seen), len(s.Certificates), func(i int) bool {
				return slices.ContainsFunc(ring.Keys, s.Certificates[i].MatchesName)
			})
			usual := to == keyring.Platform || from == chart.MOK && ring.Seen != evidence.No
			if w.Answer == evidence.Yes || usual && len(some) == 0 {
				some = append(some, w)
			}
		}
		if len(some) > 1 && slices.ContainsFunc(some, func(w chart.Way) bool { return w.Answer == evidence.Yes }) {
			some = slices.DeleteFunc(some, func(w chart.Way) bool { return w.Answer != evidence.Yes })
		}
		all = append(all, some...)
	}
	for _, from := range []string{chart.DBX, chart.MOKX} {
		s, ring := m.store(from), m.store(keyring.Blacklist)
		if s.Seen == evidence.No || s.Seen == evidence.Yes && len(s.Certificates)+s.Hashes == 0 {
			continue
		}
		entries := m.forbidden(from)
		all = append(all, m.copied(chart.Way{From: from, To: keyring.Blacklist, Kind: chart.Loads}, bothSeen(s.Seen, ring.Seen), len(entries), func(i int) bool { return entries[i] }))
	}
	return all
}

// forbidden tells of each entry of a list whether the kernel's list has it too (certs/blacklist.c: hashes of programs as "bin:", certificates as keys).
func (m *mapping) forbidden(name string) (all []bool) {
	ring := keyring.Named(m.rings, keyring.Blacklist)
	if ring == nil {
		return nil
	}
	there := map[string]bool{}
	for _, key := range ring.Keys {
		there[key.Description] = true
	}
	for _, c := range m.store(name).Certificates {
		all = append(all, there[c.KernelName()])
	}
	for _, list := range m.lists[name] {
		for _, signature := range list.Signatures {
			switch list.Type {
			case efivars.X509:
			case efivars.SHA256:
				all = append(all, there["bin:"+hex.EncodeToString(signature.Data)])
			default: // a form of which Linux makes nothing, or another hash
				all = append(all, false)
			}
		}
	}
	return all
}

// bothSeen is Yes when both were seen, No when one is not there.
func bothSeen(a, b evidence.Answer) evidence.Answer {
	switch {
	case a == evidence.No || b == evidence.No:
		return evidence.No
	case a == evidence.Yes && b == evidence.Yes:
		return evidence.Yes
	}
	return evidence.Unknown
}

// copied answers by how many of n entries of one store the other has.
func (m *mapping) copied(w chart.Way, seen evidence.Answer, n int, has func(i int) bool) chart.Way {
	switch seen {
	case evidence.No:
		w.Answer, w.Why = evidence.No, w.To+" is not there"
	case evidence.Yes:
		found := 0
		for i := range n {
			if has(i) {
				found++
			}
		}
		w.Answer, w.Why = evidence.No, fmt.Sprintf("%d of %d entries", found, n)
		if found > 0 {
			w.Answer = evidence.Yes
		}
	}
	return w
}
