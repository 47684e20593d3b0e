package main

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"kkeys/audit"
	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/mok"
	"kkeys/trust"
)

// auditFacts gathers what the checks are made of. What could not be seen is noted once, beside what it makes unknown.
func (s *session) auditFacts(a auditing, e *envelope) audit.Facts {
	f := audit.Facts{Now: s.now().UTC(), Kernel: s.machine.Kernel(), EFI: s.machine.EFI()}
	f.Host, f.Modular = s.machine.Hostname(), s.modular(f.Kernel)
	switch f.EFI {
	case evidence.Yes:
		s.auditFirmware(&f, e)
	case evidence.Unknown:
		e.missing("EFI", machine.ErrEFIUnseen)
		for _, name := range []string{"PK", "KEK", "db", "dbx"} {
			f.Stores = append(f.Stores, audit.Store{Name: name, Kind: audit.Firmware, Err: machine.ErrEFIUnseen})
		}
		for _, name := range []string{"mok", "mokx"} {
			f.Stores = append(f.Stores, audit.Store{Name: name, Kind: audit.Shim, Err: machine.ErrEFIUnseen})
		}
	}
	rings, ringsErr := s.machine.Keyrings.Rings()
	if ringsErr != nil {
		ringsErr = explainRings(ringsErr)
		e.missing("keyrings", ringsErr)
	}
	image := s.auditModules(&f, a, e)
	sources, unseen := s.machine.Certificates()
	sources = append(sources, image...)
	if !complete(pointers(rings), sources) {
		more, missed := s.machine.KernelCertificates()
		sources, unseen = append(sources, more...), append(unseen, missed...)
	}
	for _, n := range unseen {
		if !errors.Is(n.Err, fs.ErrNotExist) { // a container has no image
			e.missing(n.Source, n.Err)
		}
	}
	f.Image, f.Vendor = sums(sources, machine.InKernelImage), sums(sources, machine.InShim)
	f.Stores = append(f.Stores, ringStores(rings, ringsErr, sources)...)
	s.auditKeyFiles(&f, e)
	return f
}

func pointers(rings []keyring.Ring) (all []*keyring.Ring) {
	for i := range rings {
		if slices.Contains(trust.Listed, rings[i].Name()) {
			all = append(all, &rings[i])
		}
	}
	return all
}

// sums are the SHA-256 of the certificates found at a place.
func sums(found []machine.Found, where string) map[string]bool {
	those := map[string]bool{}
	for _, f := range found {
		if f.Where == where {
			those[f.Certificate.Details().SHA256] = true
		}
	}
	return those
}

// auditFirmware reads what firmware and shim have.
func (s *session) auditFirmware(f *audit.Facts, e *envelope) {
	if f.NoVariables = s.look(); f.NoVariables != nil {
		e.missing("EFI variables", f.NoVariables)
	}
	receipts := &envelope{}
	course := s.course(receipts)
	e.NotSeen = append(e.NotSeen, receipts.NotSeen...)
	f.Firmware, f.Pending = course.State, course.Pending
	f.Answers, f.AnswersErr = course.Answers(), course.Unread
	if f.NoVariables == nil {
		for _, gap := range slices.Concat(f.Firmware.NotSeen, f.Pending.NotSeen) {
			e.missing(gap.Source, gap.Err)
		}
	}
	if space, err := s.machine.Variables.Space(); err == nil {
		f.Space = audit.Space{Total: space.Total, Free: space.Free}
	}
	for _, name := range []efivars.Name{efivars.PK, efivars.KEK, efivars.DB, efivars.DBX} {
		list := mok.ReadFirmwareList(s.machine.Variables, name)
		f.Stores = append(f.Stores, listStore(name.Name, audit.Firmware, list, cmp.Or(list.Err, f.NoVariables), !list.Seen()))
	}
	for _, l := range []struct {
		name, variable string
		list           mok.List
	}{{"mok", "MokListRT", f.Firmware.Enrolled}, {"mokx", "MokListXRT", f.Firmware.Blocked}} {
		err := l.list.Err
		if err == nil && !l.list.Seen() && f.Firmware.Shim.Answer != evidence.No {
			err = cmp.Or(s.unseenList(f.Firmware, l.variable), errNoMirror)
		}
		f.Stores = append(f.Stores, listStore(l.name, audit.Shim, l.list, err, !l.list.Seen()))
	}
}

var errNoMirror = errors.New("shim left no copy of its list")

// listStore makes a store of a signature list.
func listStore(name string, kind audit.Kind, list mok.List, err error, absent bool) audit.Store {
	store := audit.Store{Name: name, Kind: kind, Err: err, Absent: absent}
	for i, der := range list.Certificates() {
		c, err := certs.ParseDER(der)
		if err != nil {
			store.Err = cmp.Or(store.Err, fmt.Errorf("certificate %d: %w", i+1, err))
			continue
		}
		details := c.Details()
		key := audit.Key{Name: details.Subject, KeyID: details.KeyID, Description: c.KernelName(), Certificates: []certs.Details{details}}
		if details.CommonName != nil {
			key.Name = *details.CommonName
		}
		store.Keys = append(store.Keys, key)
	}
	for _, l := range list.Lists {
		for _, entry := range l.Signatures {
			switch l.Type {
			case efivars.X509:
			case efivars.SHA256:
				store.Hashes = append(store.Hashes, "bin:"+hex.EncodeToString(entry.Data))
			case efivars.X509SHA256:
				store.Hashes = append(store.Hashes, "tbs:"+hex.EncodeToString(entry.Data[:min(32, len(entry.Data))]))
			default:
				store.Hashes = append(store.Hashes, fmt.Sprintf("%v:%x", l.Type, entry.Data))
			}
		}
	}
	return store
}

// ringStores makes stores of the keyrings that matter for modules. The kernel gives no certificate back; of those of a key's name the ones count that
// stand where the kernel loads from, and others only where there is none.
func ringStores(rings []keyring.Ring, err error, sources []machine.Found) (stores []audit.Store) {
	for _, name := range trust.Listed {
		ring := keyring.Named(rings, name)
		if ring == nil && err == nil && name == keyring.System {
			continue // of kernels long ago
		}
		store := audit.Store{Name: name, Kind: audit.Keyring, Err: err, Absent: ring == nil}
		if ring == nil {
			stores = append(stores, store)
			continue
		}
		if ring.Unseen > 0 {
			store.Err = fmt.Errorf("%d entries give this process no permission to view them", ring.Unseen)
		}
		for _, key := range ring.Keys {
			if key.Type == keyring.TypeBlacklist {
				store.Hashes = append(store.Hashes, key.Description)
				continue
			}
			store.Keys = append(store.Keys, ringKey(key, sources))
		}
		stores = append(stores, store)
	}
	return stores
}

func ringKey(key keyring.Key, sources []machine.Found) audit.Key {
	k := audit.Key{Name: key.Description, Description: key.Description}
	if name, id, ok := certs.ParseKernelName(key.Description); ok {
		k.Name, k.KeyID = name, hex.EncodeToString(id)
	}
	for _, files := range []bool{false, true} {
		for _, f := range sources {
			if strings.HasPrefix(f.Where, "file:") != files || !f.Certificate.MatchesName(key.Description) || !f.Certificate.MatchesKeyID(key.Description) {
				continue
			}
			details := f.Certificate.Details()
			if !slices.ContainsFunc(k.Certificates, func(have certs.Details) bool { return have.SHA256 == details.SHA256 }) {
				k.Certificates = append(k.Certificates, details)
			}
		}
		if len(k.Certificates) > 0 {
			break
		}
	}
	return k
}

// auditKeyFiles looks at the permissions and owners of private keys.
func (s *session) auditKeyFiles(f *audit.Facts, e *envelope) {
	keys, unseen := s.machine.KeyFiles()
	for _, k := range keys {
		file := audit.KeyFile{Path: k.Path, Mode: uint32(k.Mode.Perm())}
		if !s.elsewhere { // whose file it is in a folder, only the machine itself tells
			file.UID = k.UID
		}
		f.KeyFiles = append(f.KeyFiles, file)
	}
	for _, n := range unseen {
		f.KeyFilesGaps = append(f.KeyFilesGaps, audit.Gap{Source: n.Source, Err: n.Err})
		e.missing(n.Source, n.Err)
	}
}
