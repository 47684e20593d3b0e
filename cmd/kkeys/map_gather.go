package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"kkeys/certs"
	"kkeys/chart"
	"kkeys/efivars"
	"kkeys/evidence"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/modsig"
	"kkeys/mok"
	"kkeys/trust"
)

// mapping gathers what is drawn of one machine.
type mapping struct {
	*session
	facts  chart.Facts
	state  mok.State
	found  []machine.Found
	rings  []keyring.Ring
	lists  map[string][]efivars.SignatureList // of the firmware and of shim
	unsure bool                               // a needed source could not be seen at all
}

// mapFacts asks the session's machine. unsure: the keyrings, a list of the firmware's or of shim's, or the modules, could not be seen at all.
// A recording never has modules, and that is no doubt about it.
func (s *session) mapFacts(modules bool) (facts chart.Facts, unsure bool) {
	m := &mapping{session: s, lists: map[string][]efivars.SignatureList{}}
	status := s.machine.Kernel()
	rings, rerr := s.machine.Keyrings.Rings()
	m.rings = rings
	scratch := &listDocument{}
	m.found = s.sources(m.listed(), nil, scratch)
	for _, n := range scratch.NotSeen {
		m.gap(n.Source, n.Reason)
	}
	m.firmware()
	m.shimLists()
	image := chart.Store{Name: chart.Kernel, Seen: evidence.Yes, Why: "Linux " + status.Release}
	if status.Release == "" {
		image.Seen, image.Why = evidence.Unknown, "which kernel runs is not known"
	}
	m.facts.Stores = append(m.facts.Stores, image)
	m.keyrings(rerr)
	m.facts.Stores = append(m.facts.Stores, m.modules(status.Release, modules))
	m.nameSigners()
	slices.SortStableFunc(m.found, func(a, b machine.Found) int { return cmp.Compare(inFile(a), inFile(b)) })
	for _, f := range m.found {
		m.facts.Others = append(m.facts.Others, f.Certificate)
	}
	m.facts.Ways = m.ways(status)
	return m.facts, m.unsure
}

// inFile is 1 for what lies in a file: anybody's may have the name and the id of a key elsewhere.
func inFile(f machine.Found) int {
	if strings.HasPrefix(f.Where, "file:") {
		return 1
	}
	return 0
}

func (m *mapping) gap(source, reason string) {
	m.facts.Gaps = append(m.facts.Gaps, chart.Gap{Source: source, Reason: reason})
}

// missed notes a store that could not be looked at.
func (m *mapping) missed(name string, err error) chart.Store {
	m.unsure = true
	reason := strings.ReplaceAll(err.Error(), "\n", "; ")
	if !slices.ContainsFunc(m.facts.Gaps, func(g chart.Gap) bool { return g.Source == name || g.Reason == reason }) {
		m.gap(name, reason)
	}
	return chart.Store{Name: name, Why: reason}
}

func (m *mapping) listed() (shown []*keyring.Ring) {
	shown, _ = choose(m.rings, trust.Listed, false)
	return shown
}

// firmware reads PK, KEK, db and dbx.
func (m *mapping) firmware() {
	for _, name := range []efivars.Name{efivars.PK, efivars.KEK, efivars.DB, efivars.DBX} {
		_, data, err := m.machine.Variables.Get(name)
		store := chart.Store{Name: name.Name, Seen: evidence.Yes}
		switch {
		case m.machine.EFI() == evidence.No:
			store.Seen, store.Why = evidence.No, "no EFI"
		case errors.Is(err, efivars.ErrNotFound):
			store.Seen = evidence.No
		case err != nil:
			store = m.missed(name.Name, unread(err))
		default:
			lists, err := efivars.ParseSignatureLists(data)
			var corrupt *efivars.CorruptError
			if errors.As(err, &corrupt) {
				lists, _ = efivars.ParseSignatureLists(data[:corrupt.Clean])
				store.Unseen = 1
				m.gap(name.Name, err.Error())
			}
			m.fill(&store, lists)
		}
		m.facts.Stores = append(m.facts.Stores, store)
	}
}

// fill puts the entries of signature lists into a store.
func (m *mapping) fill(store *chart.Store, lists []efivars.SignatureList) {
	m.lists[store.Name] = lists
	for _, list := range lists {
		for _, signature := range list.Signatures {
			if list.Type != efivars.X509 {
				store.Hashes++
				if size := map[efivars.GUID]int{efivars.X509SHA256: 32, efivars.X509SHA384: 48, efivars.X509SHA512: 64}[list.Type]; size > 0 && len(signature.Data) >= size {
					store.Forbids = append(store.Forbids, signature.Data[:size])
				}
				continue
			}
			c, err := certs.ParseDER(signature.Data)
			if err != nil {
				store.Unseen++
				m.gap(store.Name+", a certificate", err.Error())
				continue
			}
			store.Certificates = append(store.Certificates, c)
		}
	}
}

// shimLists reads what is built into shim, and the lists that it left.
func (m *mapping) shimLists() {
	m.state = mok.ReadState(m.machine.Variables, m.machine.Files)
	none := func(name string) (chart.Store, bool) {
		switch {
		case m.machine.EFI() == evidence.No:
			return chart.Store{Name: name, Seen: evidence.No, Why: "no EFI"}, true
		case m.state.Shim.Answer == evidence.No:
			return chart.Store{Name: name, Seen: evidence.No, Why: "not booted through shim"}, true
		}
		return chart.Store{Name: name, Seen: evidence.Yes}, false
	}
	own, done := none(chart.Shim)
	if !done {
		found, unseen := m.machine.VendorCertificates()
		for _, f := range found {
			own.Certificates = append(own.Certificates, f.Certificate)
		}
		switch {
		case m.state.Shim.Answer != evidence.Yes:
			own = m.missed(chart.Shim, fmt.Errorf("whether shim started this system is not known: %s", m.state.Shim.Evidence))
		case len(unseen) > 0 && len(found) == 0:
			own = m.missed(chart.Shim, unseen[0].Err)
		}
	}
	m.facts.Stores = append(m.facts.Stores, own)
	for _, name := range []string{chart.MOK, chart.MOKX} {
		list := m.state.Enrolled
		if name == chart.MOKX {
			list = m.state.Blocked
		}
		store, done := none(name)
		switch {
		case done:
		case list.Seen():
			m.fill(&store, list.Lists)
			if list.Err != nil {
				store.Unseen++
				m.gap(name, list.Err.Error())
			}
		default:
			if err := m.unseenList(m.state, name); errors.Is(err, efivars.ErrNotFound) || !m.hasGap(name) && m.state.Shim.Answer == evidence.Yes {
				store.Seen = evidence.No
			} else {
				store = m.missed(name, err)
			}
		}
		m.facts.Stores = append(m.facts.Stores, store)
	}
}

// hasGap tells whether something kept one of shim's lists from being read.
func (m *mapping) hasGap(name string) bool {
	return m.look() != nil || slices.ContainsFunc(m.state.NotSeen, func(g mok.Gap) bool { return strings.HasSuffix(g.Source, "/"+name) || g.Source == efivars.TableDir })
}

// keyrings are those that matter for modules; err says why none was seen.
func (m *mapping) keyrings(err error) {
	for _, name := range trust.Listed {
		ring := keyring.Named(m.rings, name)
		switch {
		case err != nil && name != keyring.System:
			m.facts.Stores = append(m.facts.Stores, m.missed(name, err))
		case ring == nil && name != keyring.System:
			m.facts.Stores = append(m.facts.Stores, chart.Store{Name: name, Seen: evidence.No, Why: "this kernel has none"})
		case ring != nil:
			store := chart.Store{Name: name, Seen: evidence.Yes, Hashes: ring.Hashes(), Unseen: ring.Unseen}
			for _, key := range ring.Keys {
				if key.Type == keyring.TypeAsymmetric {
					store.Keys = append(store.Keys, key.Description)
				} else if digest, err := hex.DecodeString(strings.TrimPrefix(key.Description, "tbs:")); err == nil && strings.HasPrefix(key.Description, "tbs:") {
					store.Forbids = append(store.Forbids, digest)
				}
			}
			if ring.Unseen > 0 {
				m.gap(name, fmt.Sprintf("%d entries give this process no permission to view them", ring.Unseen))
			}
			m.facts.Stores = append(m.facts.Stores, store)
		}
	}
}

// modules reads the signatures of the modules of a release.
func (m *mapping) modules(release string, wanted bool) chart.Store {
	store := chart.Store{Name: chart.Modules}
	switch {
	case m.recording:
		store.Why = "a recording has no modules"
	case !wanted:
		store.Why = "not asked for (--no-modules)"
	}
	if store.Why != "" {
		m.gap(chart.Modules, store.Why)
		return store
	}
	files, err := m.machine.Modules(release)
	if len(files) == 0 && errors.Is(err, fs.ErrNotExist) {
		if own := m.modular(m.machine.Kernel()); own.Answer == evidence.No {
			store.Seen, store.Why = evidence.No, own.Evidence
			return store
		}
	}
	if len(files) == 0 {
		return m.missed(chart.Modules, cmp.Or(err, errNoModule))
	}
	store.Seen = evidence.Yes
	if err != nil {
		m.gap(chart.Modules, err.Error())
	}
	signers := map[string]*chart.Signer{}
	var one sync.Mutex
	pool := sync.Pool{New: newBuffers}
	_ = m.workOn(work{pieces: len(files), what: "reading signatures", keepGoing: true, piece: func(i int) error {
		b := pool.Get().(*buffers)
		defer pool.Put(b)
		data, err := m.machine.ReadModuleFile(files[i], b.file)
		keep(&b.file, data)
		var d verifiedDocument
		message, _, _ := d.split(data, err, b)
		one.Lock()
		m.signed(d, message, signers)
		one.Unlock()
		return nil
	}})
	for _, id := range slices.Sorted(maps.Keys(signers)) {
		m.facts.Signers = append(m.facts.Signers, *signers[id])
	}
	if m.facts.Unread > 0 {
		m.gap("signatures of modules", fmt.Sprintf("of %d not readable", m.facts.Unread))
	}
	return store
}

// nameSigners looks through the kernel's image when a signer has no certificate yet, and that was not done for the sake of a keyring.
func (m *mapping) nameSigners() {
	if slices.ContainsFunc(m.found, func(f machine.Found) bool { return f.Where == machine.InKernelImage }) {
		return
	}
	named := func(s chart.Signer) bool {
		return slices.ContainsFunc(m.found, func(f machine.Found) bool {
			return bytes.Equal(f.Certificate.ID0(), slices.Concat(s.Serial, s.Issuer)) || s.SKID != nil && bytes.Equal(f.Certificate.SubjectKeyID, s.SKID)
		})
	}
	if !slices.ContainsFunc(m.facts.Signers, func(s chart.Signer) bool { return !named(s) }) {
		return
	}
	image, missed := m.machine.KernelCertificates()
	m.found = append(m.found, image...)
	for _, n := range missed {
		if !errors.Is(n.Err, fs.ErrNotExist) { // no image is no gap, see sources
			m.gap(n.Source, n.Err.Error())
		}
	}
}

// signed counts a module for whoever signed it, or for nobody.
func (m *mapping) signed(d verifiedDocument, message *modsig.Message, signers map[string]*chart.Signer) {
	switch {
	case message != nil:
		first := message.Signers[0]
		id := string(first.ID())
		if signers[id] == nil {
			signers[id] = &chart.Signer{SKID: first.SKID, Issuer: first.Issuer, Serial: first.Serial}
		}
		signers[id].Modules++
	case d.Result == "unsigned":
		m.facts.Unsigned++
	default:
		m.facts.Unread++
	}
}
