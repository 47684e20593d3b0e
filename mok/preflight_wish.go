package mok

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"path"
	"slices"

	"kkeys/efivars"
	"kkeys/evidence"
)

// checkSubjects looks at what shall be added to a list, or taken from it. The index of a reason counts the certificates, then the hashes.
func (f Facts) checkSubjects(r *Refusal, w Wish) {
	lists := w.lists()
	if len(lists) == 0 {
		r.add(ErrNothing, nil, "no certificate")
	}
	enrolled, blocked := f.State.Enrolled, f.State.Blocked
	list, there, name := enrolled, ErrAlreadyEnrolled, "MokListRT"
	if w.Kind == Block || w.Kind == Unblock {
		list, there, name = blocked, ErrBlocked, "MokListXRT"
	}
	switch {
	case enrolled.Err != nil && (w.Kind == Enroll || w.Kind == Delete):
		r.add(ErrCorruptList, enrolled.Err, "%v", enrolled.Err)
	case blocked.Err != nil && w.Kind != Delete:
		r.add(ErrCorruptBlocklist, blocked.Err, "%v", blocked.Err)
	case !list.Seen() && f.State.Shim.Answer == evidence.Yes:
		f.notSeen(r, name)
	}
	pending, _ := f.Pending.Request(w.Kind)
	adds := w.Kind == Enroll || w.Kind == Block
	for i, one := range lists {
		if why := unusable(one); why != "" {
			sentinel := ErrNotDER
			if one.Type != efivars.X509 {
				sentinel = ErrNotHash
			}
			r.about(i, sentinel, "%s", why)
			continue
		}
		times := count(list.Lists, one)
		switch {
		case count(lists[:i], one) > 0:
			r.about(i, ErrDuplicate, "")
		case adds && times > 0:
			r.about(i, there, "in %s", list.Source)
		case !adds && times == 0 && list.Seen() && list.Err == nil:
			r.about(i, ErrNotListed, "%s has nothing that is the same to the byte", list.Source)
		case count(pending.Lists, one) > 0:
			r.about(i, ErrAlreadyPending, "in %s", pending.Variable)
		}
		if w.Kind == Enroll && blocked.Forbids(one) {
			r.about(i, ErrBlocked, "in %s", blocked.Source)
		}
		if w.Kind == Enroll && f.Forbidden.Forbids(one) {
			r.about(i, ErrForbidden, "in %s", f.Forbidden.Source)
		}
		f.checkVendor(r, w.Kind, i, one, times)
		for _, p := range f.Boot.Programs {
			if w.Kind == Block && p.by(one) {
				r.about(i, ErrStarts, "%s is signed by it, or has that hash", p.Path)
			}
		}
	}
}

// Forbids tells whether a list of what is blocked has this one certificate or hash, or the hash of the certificate's signed part.
func (l List) Forbids(one efivars.SignatureList) bool {
	if one.Type == efivars.X509 {
		var certificate, signed asn1.RawValue
		if _, err := asn1.Unmarshal(one.Signatures[0].Data, &certificate); err == nil {
			if _, err := asn1.Unmarshal(certificate.Bytes, &signed); err == nil && l.HasHash(signed.FullBytes) {
				return true
			}
		}
	}
	return count(l.Lists, one) > 0
}

// checkVendor refuses what MokManager would claim to have done: the vendor's entries are in shim's own program. One that was enrolled too
// stands in the list twice, and that copy can go.
func (f Facts) checkVendor(r *Refusal, k Kind, i int, one efivars.SignatureList, times int) {
	allowed := one.Type == efivars.X509 && contains(f.Vendor.Allowed, one.Signatures[0].Data)
	switch {
	case k == Delete && allowed && times < 2:
		r.about(i, ErrVendor, "MokManager would report success and change nothing")
	case k == Unblock && count(f.Vendor.Forbidden, one) > 0 && times < 2:
		r.about(i, ErrVendor, "MokManager would report success and change nothing")
	case k == Block && allowed:
		r.about(i, ErrVendor, "what this system starts with is signed by it, and shim would no longer start it")
	}
}

// count is how often the one signature of a list stands in others; its owner does not matter.
func count(lists []efivars.SignatureList, one efivars.SignatureList) (times int) {
	for _, l := range lists {
		for _, s := range l.Signatures {
			if l.Type == one.Type && bytes.Equal(s.Data, one.Signatures[0].Data) {
				times++
			}
		}
	}
	return times
}

// unusable says why shim would not use these bytes, which MokManager does not check.
func unusable(one efivars.SignatureList) string {
	data := one.Signatures[0].Data
	switch {
	case one.Type == efivars.GUID{}:
		return fmt.Sprintf("it has %d bytes; MokManager takes SHA-224, SHA-256, SHA-384 and SHA-512", len(data))
	case one.Type != efivars.X509:
		if firstNonZero(data) < 0 {
			return "all zeros, which shim writes for an empty list"
		}
	case len(data) < derLow:
		return fmt.Sprintf("%d bytes, shim uses none under %d", len(data), derLow)
	case data[0] != 0x30 || data[1] != 0x82:
		return "it does not begin with 30 82"
	default:
		if size := 4 + (int(data[2])<<8 | int(data[3])); size != len(data) {
			return fmt.Sprintf("its header says %d bytes, there are %d", size, len(data))
		}
	}
	return ""
}

// checkReset refuses to erase what is not there: MokManager then only says that it failed (shim's MokManager.c, mok_reset_prompt). A list that
// is damaged can always be erased; nothing else cures it.
func (f Facts) checkReset(r *Refusal, k Kind) {
	list, name := f.State.Enrolled, "MokListRT"
	if k == ResetBlocked {
		list, name = f.State.Blocked, "MokListXRT"
	}
	switch {
	case list.Err != nil:
	case !list.Seen():
		if f.State.Shim.Answer == evidence.Yes {
			f.notSeen(r, name)
		}
	case len(f.Erased(k)) == 0:
		r.add(ErrNoChange, nil, "%s has nothing but what is built into shim, which stays", list.Source)
	}
}

// notSeen says that a list of shim's was not seen, and why.
func (f Facts) notSeen(r *Refusal, name string) {
	for _, gap := range f.State.NotSeen {
		if path.Base(gap.Source) == name {
			r.add(ErrCannotTell, gap.Err, "what is in the list: %s was not seen: %v", name, gap.Err)
			return
		}
	}
	r.add(ErrCannotTell, nil, "what is in the list: %s was not seen", name)
}

// Erased is what a reset would erase: the list without what is built into shim, as far as that is known, each entry by itself. Other kinds
// erase nothing.
func (f Facts) Erased(k Kind) []efivars.SignatureList {
	if !k.resets() {
		return nil
	}
	list, own := f.State.Enrolled, slices.Clone(f.Vendor.Forbidden)
	if k == ResetBlocked {
		list = f.State.Blocked
	} else {
		own = nil
		for _, der := range f.Vendor.Allowed {
			own = append(own, efivars.X509List(efivars.Shim, der))
		}
	}
	own = apart(own)
	var erased []efivars.SignatureList
	for _, one := range apart(list.Lists) {
		at := slices.IndexFunc(own, func(o efivars.SignatureList) bool { return count([]efivars.SignatureList{o}, one) > 0 })
		if at < 0 {
			erased = append(erased, one)
			continue
		}
		own = slices.Delete(own, at, at+1) // a second one is an enrolled copy
	}
	return erased
}

// apart gives each signature a list of its own.
func apart(lists []efivars.SignatureList) (one []efivars.SignatureList) {
	for _, l := range lists {
		for _, s := range l.Signatures {
			one = append(one, efivars.SignatureList{Type: l.Type, Signatures: []efivars.Signature{s}})
		}
	}
	return one
}

// checkSwitch refuses what is already so: MokManager would delete a variable that is not there, and say that it failed.
func (f Facts) checkSwitch(r *Refusal, w Wish) {
	now := f.State.Switch(w.Kind)
	switch {
	case now.Answer == evidence.Unknown:
		r.add(ErrCannotTell, nil, "what it is now: %s", why(now))
	case (now.Answer == evidence.Yes) == w.On:
		r.add(ErrNoChange, nil, "%s is asked for, and it is so already (%s)", w.words(), now.Source)
	}
}

// checkWithoutDB refuses to ignore db where this machine starts with a program for which nothing else vouches; without MokManager the switch
// could not even be taken back. What db does not vouch for either starts no worse than before.
func (f Facts) checkWithoutDB(r *Refusal) {
	enrolled := f.State.Enrolled
	for _, p := range f.Boot.Programs {
		switch {
		case slices.ContainsFunc(f.Vendor.Allowed, func(der []byte) bool { return p.by(efivars.X509List(efivars.Shim, der)) }):
		case slices.ContainsFunc(apart(enrolled.Lists), p.by): // shim shows its vendor's certificates there too
		case f.Allowed.Err == nil && !slices.ContainsFunc(apart(f.Allowed.Lists), p.by):
		case !enrolled.Seen() || enrolled.Err != nil:
			r.add(ErrCannotTell, nil, "whether anything but the firmware's db vouches for %s: MokListRT was not seen, or not whole", p.Path)
		case f.Allowed.Err != nil:
			r.add(ErrCannotTell, f.Allowed.Err, "whether anything but the firmware's db vouches for %s: db was not read: %v", p.Path, f.Allowed.Err)
		default:
			r.add(ErrStarts, nil, "nothing but the firmware's db vouches for %s", p.Path)
		}
	}
}

// Switch tells whether a switch is on, as a machine has it when nobody has changed it: shim validates, uses the firmware's db, and lets the
// kernel trust its list.
func (s State) Switch(k Kind) evidence.Reading {
	not := func(r evidence.Reading) evidence.Reading {
		switch r.Answer {
		case evidence.Yes:
			r.Answer = evidence.No
		case evidence.No:
			r.Answer = evidence.Yes
		}
		return r
	}
	switch k {
	case Validation:
		return not(s.ValidationDisabled)
	case UseDB:
		return not(s.IgnoreDB)
	case TrustList:
		return s.Trusted
	}
	return evidence.Reading{}
}
