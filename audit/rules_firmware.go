package audit

import (
	"fmt"
	"slices"
	"strings"

	"kkeys/certs"
	"kkeys/evidence"
	"kkeys/mok"
)

// noEFI is the outcome of checks of the firmware where there is none to look at; ok is false where there is.
func (f Facts) noEFI() (o outcome, ok bool) {
	switch {
	case f.EFI == evidence.No:
		return inapplicable("EFI has not started this machine"), true
	case f.EFI == evidence.Unknown:
		return finds(Unknown, "whether EFI has started this machine could not be seen"), true
	case f.NoVariables != nil:
		return finds(Unknown, "EFI variables: %s", f.NoVariables), true
	}
	return o, false
}

// reading makes an outcome of an answer that should be this one.
func reading(r evidence.Reading, good evidence.Answer, well, ill string) outcome {
	seen := ""
	if r.Source != "" {
		seen = " (" + r.Source + ")"
	}
	switch r.Answer {
	case good:
		return passes("%s%s", well, seen)
	case evidence.Unknown:
		return finds(Unknown, "%s%s", orElse(r.Evidence, "it could not be seen"), seen)
	}
	return finds(Fail, "%s%s", ill, seen)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func secureBoot(f Facts, _ Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	return reading(f.Firmware.SecureBoot, evidence.Yes, "Secure Boot is on", "Secure Boot is off")
}

func setupMode(f Facts, _ Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	return reading(f.Firmware.SetupMode, evidence.No, "setup mode is off", "setup mode is on: there is no PK, and root can write any key to db and KEK")
}

func validation(f Facts, _ Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	switch {
	case f.Firmware.Shim.Answer == evidence.No:
		return inapplicable("the machine was not started through shim")
	case f.Firmware.SecureBoot.Answer == evidence.No && f.Firmware.ValidationDisabled.Answer == evidence.No:
		return inapplicable("Secure Boot is off, so that shim checks nothing, though its validation is on")
	}
	return reading(f.Firmware.ValidationDisabled, evidence.No, "shim's validation is on", "shim's validation is off: it starts anything")
}

// succession is a certificate of Microsoft's that ends in 2026, by its key id, and the one that follows it, by its common name: the new ones come
// in several forms, and the list itself is only written with the owner's key.
type succession struct{ store, old, keyID, successor string }

var microsoft = []succession{
	{"db", "Microsoft Corporation UEFI CA 2011", "13adbf4309bd82709c8cd54f316ed522988a1bd4", "Microsoft UEFI CA 2023"},
	{"db", "Microsoft Windows Production PCA 2011", "a92902398e16c49778cd90f99e4f9ae17c55af53", "Windows UEFI CA 2023"},
	{"KEK", "Microsoft Corporation KEK CA 2011", "62fc43cda03ea4cb6712d25bd955ac7bccb68a5f", "Microsoft Corporation KEK 2K CA 2023"},
}

// successors: what is signed with the new certificates does not start on a machine that has only the old ones, and dbx can no longer be renewed.
func successors(f Facts, _ Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	var subjects []Subject
	old := 0
	for _, s := range microsoft {
		store := f.store(s.store)
		if store == nil || store.Err != nil {
			why := "nobody looked at it"
			if store != nil {
				why = store.Err.Error()
			}
			if !slices.ContainsFunc(subjects, func(k Subject) bool { return k.Name == s.store }) {
				subjects = append(subjects, Subject{Name: s.store, Result: Unknown, Evidence: why})
			}
			continue
		}
		i := slices.IndexFunc(store.Keys, func(k Key) bool { return k.KeyID == s.keyID })
		if i < 0 {
			continue
		}
		old++
		if !slices.ContainsFunc(store.Keys, func(k Key) bool { return k.named(s.successor) }) {
			subjects = append(subjects, Subject{Name: store.label(store.Keys[i]), Also: store.bySum(store.Keys[i]), Result: Warn, Evidence: fmt.Sprintf("%s is there without %s", s.old, s.successor)})
		}
	}
	if old == 0 && len(subjects) == 0 {
		return inapplicable("neither db nor KEK has a certificate of Microsoft's of 2011")
	}
	return of(subjects, "each certificate of Microsoft's of 2011 has its successor beside it")
}

func (k Key) named(name string) bool {
	return slices.ContainsFunc(k.Certificates, func(c certs.Details) bool { return c.CommonName != nil && *c.CommonName == name })
}

func room(f Facts, p Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	seen := fmt.Sprintf("%d of %d bytes are free", f.Space.Free, f.Space.Total)
	switch t := p.Thresholds; {
	case f.Space.Total == 0:
		return finds(Unknown, "neither kernel nor firmware tell how much room there is")
	case f.Space.Free < t.FreeFail:
		return finds(Fail, "%s, fewer than %d: requests to MokManager and updates of dbx fail", seen, t.FreeFail)
	case f.Space.Free < t.FreeWarn:
		return finds(Warn, "%s, fewer than %d", seen, t.FreeWarn)
	}
	return passes("%s", seen)
}

// placeholder is the SHA-256 of nothing: OVMF's dbx has that one hash, which no program has.
const placeholder = "bin:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// revoking are the hashes that refuse something.
func (s Store) revoking() []string {
	return slices.DeleteFunc(slices.Clone(s.Hashes), func(h string) bool { return h == placeholder })
}

func revocations(f Facts, p Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	if f.Firmware.SecureBoot.Answer == evidence.No {
		return inapplicable("Secure Boot is off, so that nothing is held against dbx")
	}
	dbx := f.store("dbx")
	n := 0
	if dbx != nil {
		n = len(dbx.Keys) + len(dbx.revoking())
	}
	switch {
	case dbx == nil:
		return finds(Unknown, "nobody looked at dbx")
	case dbx.Err != nil:
		return finds(Unknown, "%s", dbx.Err)
	case n == 0 && len(dbx.Hashes) > 0 && p.Thresholds.DBXEntries > 0:
		return finds(Fail, "dbx has only the placeholder of a firmware for tests, the hash of nothing: it revokes nothing")
	case n < p.Thresholds.DBXEntries:
		return finds(Fail, "dbx has %s, fewer than %d", entries(n), p.Thresholds.DBXEntries)
	}
	return passes("dbx has %s", entries(n))
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

// effective: what the lists revoke stands on .blacklist (security/integrity/platform_certs/load_uefi.c, load_uefi_certs). Those of shim's list are only
// read while Secure Boot is on, and certificates only with CONFIG_SYSTEM_REVOCATION_LIST. Of hashes of certificates Linux makes nothing that matches.
func effective(f Facts, _ Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	ring := f.store(".blacklist")
	var subjects []Subject
	listed, other := 0, 0
	for _, name := range []string{"dbx", "mokx"} {
		list := f.store(name)
		switch {
		case list == nil || list.Absent && list.Err == nil:
			continue
		case list.Err != nil:
			subjects = append(subjects, Subject{Name: name, Result: Unknown, Evidence: list.Err.Error()})
			continue
		case name == "mokx" && f.Firmware.SecureBoot.Answer == evidence.No:
			continue
		}
		subjects = append(subjects, f.revoked(*list, ring, &listed, &other)...)
	}
	unsought := ""
	if other > 0 { // nobody can mend that on the machine, so that it is no finding
		unsought = fmt.Sprintf("; %s: Linux does not look for what they name (hashes of certificates, and of programs other than SHA-256)", entries(other))
	}
	if listed == 0 && len(subjects) == 0 {
		return inapplicable("neither dbx nor MOKX revokes anything that this kernel looks for%s", unsought)
	}
	return of(subjects, fmt.Sprintf("%s of dbx and MOKX are on .blacklist%s", entries(listed), unsought))
}

// revoked holds one list against the keyring; it counts the entries that Linux looks for, and the others.
func (f Facts) revoked(list Store, ring *Store, listed, other *int) (subjects []Subject) {
	find := func(r Result, format string, args ...any) {
		subjects = append(subjects, Subject{Name: list.Name, Result: r, Evidence: fmt.Sprintf(format, args...)})
	}
	bin := slices.DeleteFunc(list.revoking(), func(h string) bool { return !strings.HasPrefix(h, "bin:") })
	keys := list.Keys
	built := f.Kernel.Built("SYSTEM_REVOCATION_LIST")
	*listed += len(bin) + len(keys)
	*other += len(list.revoking()) - len(bin)
	if len(bin)+len(keys) == 0 {
		return nil
	}
	switch {
	case ring == nil || ring.Err != nil:
		find(Unknown, "what the kernel has on .blacklist could not be seen")
		return subjects
	case ring.Absent:
		find(Fail, "this kernel has no .blacklist: it refuses none of %s", entries(len(bin)+len(keys)))
		return subjects
	}
	there := map[string]bool{}
	for _, hash := range ring.Hashes {
		there[hash] = true
	}
	missing := 0
	for _, hash := range bin {
		if !there[hash] {
			missing++
		}
	}
	if missing > 0 {
		find(Fail, "%d of %d hashes are not on .blacklist: they count from the next boot", missing, len(bin))
	}
	if len(keys) > 0 && built.Answer != evidence.Yes {
		why := orElse(built.Evidence, "whether this kernel keeps them is not known")
		find(map[evidence.Answer]Result{evidence.No: Warn, evidence.Unknown: Unknown}[built.Answer], "%s of certificates: %s", entries(len(keys)), why)
		return subjects
	}
	for _, k := range keys {
		if !slices.ContainsFunc(ring.Keys, func(r Key) bool { return r.Description == k.Description }) {
			find(Fail, "the kernel has not the revoked certificate %s %s", k.Name, k.id())
		}
	}
	return subjects
}

func requests(f Facts, _ Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	var subjects []Subject
	find := func(name string, r Result, format string, args ...any) {
		subjects = append(subjects, Subject{Name: name, Result: r, Evidence: fmt.Sprintf(format, args...)})
	}
	for _, orphan := range f.Pending.Orphans {
		find(orphan, Fail, "a password is staged without a request")
	}
	for _, r := range f.Pending.Requests {
		switch {
		case r.Err != nil:
			find(r.Variable, Fail, "the request to %s is damaged: %s", r.Kind, r.Err)
		case r.Kind == mok.Reset || r.Kind == mok.ResetBlocked:
			find(r.Variable, Fail, "%s waits for MokManager: it erases the whole list", r.Kind)
		case r.Auth.Answer == evidence.No:
			find(r.Variable, Fail, "a request to %s is left over; its password is %s", r.Kind, r.Auth.Evidence)
		default:
			find(r.Variable, Warn, "a request to %s waits for MokManager", r.Kind)
		}
	}
	if f.Pending.TimeoutErr != nil {
		find("MokTimeout", Fail, "%s", f.Pending.TimeoutErr)
	}
	for _, a := range f.Answers {
		if a.Outcome == mok.Declined || a.Outcome == mok.Interrupted || a.Outcome == mok.Unconfirmable {
			name := a.Receipt.Kind.String()
			if a.Asked != nil && a.Asked.Name != "" {
				name += " " + a.Asked.Name
			}
			find(name, Warn, "%s", a.Evidence)
		}
	}
	for _, gap := range f.Pending.NotSeen {
		find(gap.Source, Unknown, "%s", gap.Err)
	}
	if f.AnswersErr != nil {
		find("receipts", Unknown, "%s", f.AnswersErr)
	}
	return of(subjects, "nothing waits for MokManager")
}

func wholeLists(f Facts, _ Policy) outcome {
	if o, no := f.noEFI(); no {
		return o
	}
	if f.Firmware.Shim.Answer == evidence.No {
		return inapplicable("the machine was not started through shim")
	}
	var subjects []Subject
	for _, l := range []struct {
		name string
		list mok.List
	}{{"mok", f.Firmware.Enrolled}, {"mokx", f.Firmware.Blocked}} {
		switch {
		case l.list.Err != nil:
			subjects = append(subjects, Subject{Name: l.name, Result: Fail, Evidence: l.list.Err.Error()})
		case !l.list.Seen():
			subjects = append(subjects, Subject{Name: l.name, Result: Unknown, Evidence: "it was not seen"})
		}
	}
	for _, name := range f.Firmware.Disagreements {
		subjects = append(subjects, Subject{Name: name, Result: Fail, Evidence: "the copies in the table and in the variables differ"})
	}
	return of(subjects, "both lists can be read to their end")
}
