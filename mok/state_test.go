package mok_test

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"testing"
	"testing/fstest"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/evidence"
	"kkeys/mok"
)

// table is a file system with these entries of the MOK variable table.
func table(entries map[string][]byte) fstest.MapFS {
	root := fstest.MapFS{}
	for name, data := range entries {
		root[efivars.TableDir+"/"+name] = &fstest.MapFile{Data: data, Mode: 0o400}
	}
	return root
}

// shimTable is what shim puts into the table on the machine of machine().
func shimTable() map[string][]byte {
	return map[string][]byte{
		"MokListRT": keyList(der(900)), "MokListXRT": placeholder(), "MokListTrustedRT": {1},
		"VariableInfo": []byte(recordedInfo),
	}
}

// recordedInfo is what Debian's shim 16.1 left on OVMF, shortened; the bytes after the NUL are whatever was in memory.
const recordedInfo = "bs_max_storage_sz: 0x7FFE4\r\r\nbs_rt_remaining_sz: 0x3B624\r\r\nbs_rt_max_var_sz: 0x83C4\r\r\n" +
	"bs_nv_max_var_sz: 0x3FFC4\r\r\n\x00\xaf\xaf\xaf\n\xaf"

func answers(s mok.State) [6]evidence.Answer {
	return [6]evidence.Answer{s.Shim.Answer, s.SecureBoot.Answer, s.SetupMode.Answer, s.ValidationDisabled.Answer, s.IgnoreDB.Answer, s.Trusted.Answer}
}

func TestState(t *testing.T) {
	for why, root := range map[string]fs.FS{"table": table(shimTable()), "variables": noRoot} {
		s := mok.ReadState(machine(), root)
		trusted := evidence.Yes
		if why == "variables" { // the kernel does not look there
			trusted = evidence.Unknown
		}
		if answers(s) != [...]evidence.Answer{evidence.Yes, evidence.Yes, evidence.No, evidence.No, evidence.No, trusted} || len(s.NotSeen) != 0 || len(s.Disagreements) != 0 {
			t.Errorf("%s: %+v", why, s)
		}
		if !s.Enrolled.Seen() || !s.Enrolled.Has(der(900)) || s.Enrolled.Has(der(901)) || s.Enrolled.Size != 944 {
			t.Errorf("%s: %+v", why, s.Enrolled)
		}
		if !s.Blocked.Seen() || len(s.Blocked.Lists) != 0 { // the placeholder is hidden
			t.Errorf("%s: %+v", why, s.Blocked)
		}
	}
	entries := shimTable()
	entries["MokSBStateRT"], entries["MokIgnoreDB"] = []byte{1}, []byte{1}
	entries["MokListTrustedRT"] = []byte{0} // its value does not matter
	if s := mok.ReadState(machine(), table(entries)); s.Trusted.Answer != evidence.Yes {
		t.Errorf("%+v", s.Trusted)
	}
	delete(entries, "MokListTrustedRT")
	s := mok.ReadState(machine(), table(entries))
	if answers(s) != [...]evidence.Answer{evidence.Yes, evidence.Yes, evidence.No, evidence.Yes, evidence.Yes, evidence.No} || s.Variables["bs_rt_max_var_sz"] != 0x83c4 {
		t.Errorf("%+v", s)
	}
}

func TestStateOfOtherMachines(t *testing.T) {
	// Booted without shim: nothing of shim's is there, and no is a fact for shim alone.
	m := efivarstest.NewMemory()
	m.Seed(efivars.SecureBoot, volatile, []byte{0})
	m.Seed(efivars.SetupMode, volatile, []byte{1})
	s := mok.ReadState(m, noRoot)
	if answers(s) != [...]evidence.Answer{evidence.No, evidence.No, evidence.Yes, evidence.Unknown, evidence.Unknown, evidence.Unknown} || s.Enrolled.Seen() {
		t.Errorf("no shim: %+v", s)
	}
	s = mok.ReadState(efivars.Absent(efivars.ErrNotSupported), noRoot)
	if answers(s) != [6]evidence.Answer{} || len(s.NotSeen) == 0 {
		t.Errorf("no EFI: %+v", s)
	}
	// Variables cannot be read at all: nothing is known, and certainly nothing is "no".
	m = machine()
	m.Fault = &efivarstest.Fault{At: 1, Sticky: true}
	s = mok.ReadState(m, noRoot)
	if answers(s) != [6]evidence.Answer{} || len(s.NotSeen) == 0 || s.Enrolled.Seen() {
		t.Errorf("unreadable: %+v", s)
	}
	// The table cannot be listed: what is in it is not known, and shim is known by its variables.
	s = mok.ReadState(machine(), unlisted{table(shimTable())})
	if answers(s) != [...]evidence.Answer{evidence.Yes, evidence.Yes, evidence.No, evidence.No, evidence.No, evidence.Unknown} || len(s.NotSeen) != 1 || s.NotSeen[0].Source != efivars.TableDir {
		t.Errorf("table unreadable: %+v", s)
	}
	// The table alone, as when efivarfs is not mounted.
	s = mok.ReadState(efivars.Absent(efivars.ErrNotMounted), table(shimTable()))
	if s.Shim.Answer != evidence.Yes || !s.Enrolled.Has(der(900)) || s.SecureBoot.Answer != evidence.Unknown || s.Trusted.Answer != evidence.Yes {
		t.Errorf("table only: %+v", s)
	}
	// Without it, that nobody has mounted efivarfs is said, and is not taken for an empty dbx.
	s = mok.ReadState(efivars.Absent(efivars.ErrNotMounted), noRoot)
	if answers(s) != [6]evidence.Answer{} || s.Shim.Evidence != efivars.ErrNotMounted.Error() {
		t.Errorf("not mounted: %+v", s)
	}
	if list := mok.ReadFirmwareList(efivars.Absent(efivars.ErrNotMounted), efivars.DBX); !errors.Is(list.Err, efivars.ErrNotMounted) {
		t.Errorf("dbx, not mounted: %+v", list)
	}
}

// unlisted has no folder that can be listed.
type unlisted struct{ fs.FS }

func (u unlisted) ReadDir(name string) ([]fs.DirEntry, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// Without privilege the table is there and cannot be read: the variables answer.
func TestStateWithoutPrivilege(t *testing.T) {
	empty := shimTable()
	for name := range empty {
		empty[name] = nil
	}
	for why, root := range map[string]fs.FS{"end of file": table(empty), "denied": denied{table(shimTable())}} {
		s := mok.ReadState(machine(), root)
		if answers(s) != [...]evidence.Answer{evidence.Yes, evidence.Yes, evidence.No, evidence.No, evidence.No, evidence.Yes} || s.Enrolled.Source != "efivars/MokListRT" || !s.Enrolled.Has(der(900)) {
			t.Errorf("%s: %+v", why, s)
		}
		s = mok.ReadState(efivars.Absent(syscall.EACCES), root)
		if s.Shim.Answer != evidence.Yes || s.Enrolled.Seen() || s.Trusted.Answer != evidence.Yes || s.ValidationDisabled.Answer != evidence.No { // presence and absence can be seen
			t.Errorf("%s, no variables: %+v", why, s)
		}
		if !slices.ContainsFunc(s.NotSeen, func(g mok.Gap) bool { return g.Source == "mok-variables/MokListRT" }) {
			t.Errorf("%s: the gap is not told: %v", why, s.NotSeen)
		}
	}
}

// denied lists everything and opens no file, as the table for an ordinary user.
type denied struct{ fstest.MapFS }

func (d denied) Open(name string) (fs.File, error) {
	if info, err := d.Stat(name); err == nil && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
	}
	return d.MapFS.Open(name)
}

func TestSplitList(t *testing.T) {
	split := func(parts ...[]byte) *efivarstest.Memory {
		m := machine()
		for i, part := range parts {
			name := "MokListRT"
			if i > 0 {
				name += string(rune('0' + i))
			}
			if part != nil {
				m.Seed(mok.Variable(name), volatile, part)
			}
		}
		return m
	}
	s := mok.ReadState(split(keyList(der(900)), keyList(der(901)), keyList(der(902))), noRoot)
	if len(s.Enrolled.Certificates()) != 3 || s.Enrolled.Err != nil {
		t.Errorf("three parts: %+v", s.Enrolled)
	}
	s = mok.ReadState(split(keyList(der(900)), nil, keyList(der(902))), noRoot)
	if len(s.Enrolled.Certificates()) != 1 {
		t.Errorf("a gap: %+v", s.Enrolled)
	}
	// A list that is cut in one part does not go on in the next.
	whole := keyList(der(900), der(901))
	s = mok.ReadState(split(whole[:1000], whole[1000:]), noRoot)
	var corrupt *efivars.CorruptError
	if len(s.Enrolled.Certificates()) != 1 || !errors.As(s.Enrolled.Err, &corrupt) || corrupt.Clean != 944 {
		t.Errorf("cut: %+v", s.Enrolled)
	}
	// The table has it in one piece: the same signatures, so no disagreement.
	entries := shimTable()
	entries["MokListRT"] = whole
	s = mok.ReadState(split(keyList(der(900)), keyList(der(901))), table(entries))
	if len(s.Disagreements) != 0 || s.Enrolled.Source != "mok-variables/MokListRT" {
		t.Errorf("%+v", s)
	}
	s = mok.ReadState(split(keyList(der(900)), keyList(der(950))), table(entries))
	if !slices.Equal(s.Disagreements, []string{"MokListRT"}) || !s.Enrolled.Has(der(901)) {
		t.Errorf("%+v", s)
	}
}

func TestBrokenTableFallsBack(t *testing.T) {
	entries := shimTable()
	entries["MokListRT"] = append(entries["MokListRT"], "trailing"...)
	s := mok.ReadState(machine(), table(entries))
	if s.Enrolled.Source != "efivars/MokListRT" || s.Enrolled.Err != nil || len(s.NotSeen) != 1 {
		t.Errorf("%+v", s)
	}
	s = mok.ReadState(efivars.Absent(syscall.EIO), table(entries))
	if s.Enrolled.Err == nil || !s.Enrolled.Has(der(900)) {
		t.Errorf("%+v", s.Enrolled)
	}
}

// Root can write a variable of the mirror's name before shim does; it is not believed.
func TestForgedMirror(t *testing.T) {
	m := machine()
	m.Seed(mok.Variable("MokListRT"), 7, keyList(der(950)))
	m.Seed(mok.Variable("MokSBStateRT"), 7, []byte{1})
	s := mok.ReadState(m, noRoot)
	if s.Enrolled.Seen() || s.ValidationDisabled.Answer != evidence.Unknown || len(s.NotSeen) < 2 {
		t.Errorf("%+v", s)
	}
}

func TestOddMarks(t *testing.T) {
	for _, data := range [][]byte{{2}, {1, 0}, {0, 0, 0, 1}} {
		m := machine()
		m.Seed(mok.Variable("MokSBStateRT"), volatile, data)
		m.Seed(efivars.SecureBoot, volatile, data)
		s := mok.ReadState(m, noRoot)
		if s.ValidationDisabled.Answer != evidence.Unknown || s.SecureBoot.Answer != evidence.Unknown || len(s.NotSeen) != 2 {
			t.Errorf("%x: %+v", data, s)
		}
	}
}

func TestPending(t *testing.T) {
	wish := func(state byte) []byte { b := make([]byte, 40); b[0] = state; return b }
	keys, secret := keyList(der(1000)), make([]byte, 172)
	for why, test := range map[string]struct {
		seed map[string][]byte
		kind mok.Kind
		wish string
		auth evidence.Answer
		bad  bool
	}{
		"enroll":              {map[string][]byte{"MokNew": keys, "MokAuth": secret}, mok.Enroll, "", evidence.Yes, false},
		"enroll, old form":    {map[string][]byte{"MokNew": keys, "MokAuth": secret[:32]}, mok.Enroll, "", evidence.Yes, false},
		"enroll, bad auth":    {map[string][]byte{"MokNew": keys, "MokAuth": secret[:100]}, mok.Enroll, "", evidence.No, false},
		"enroll, no auth":     {map[string][]byte{"MokNew": keys}, mok.Enroll, "", evidence.No, false},
		"enroll, broken":      {map[string][]byte{"MokNew": keys[:50], "MokAuth": secret}, mok.Enroll, "", evidence.Yes, true},
		"delete":              {map[string][]byte{"MokDel": keys, "MokDelAuth": secret}, mok.Delete, "", evidence.Yes, false},
		"block":               {map[string][]byte{"MokXNew": keys, "MokXAuth": secret}, mok.Block, "", evidence.Yes, false},
		"unblock":             {map[string][]byte{"MokXDel": keys, "MokXDelAuth": secret}, mok.Unblock, "", evidence.Yes, false},
		"reset":               {map[string][]byte{"MokAuth": secret}, mok.Reset, "reset", evidence.Yes, false},
		"reset blocklist":     {map[string][]byte{"MokXAuth": secret}, mok.ResetBlocked, "reset blocklist", evidence.Yes, false},
		"disable":             {map[string][]byte{"MokSB": wish(0)}, mok.Validation, "disable validation", 0, false},
		"enable":              {map[string][]byte{"MokSB": wish(1)}, mok.Validation, "enable validation", 0, false},
		"odd state":           {map[string][]byte{"MokSB": wish(2)}, mok.Validation, "", 0, true},
		"odd size":            {map[string][]byte{"MokSB": wish(0)[:39]}, mok.Validation, "", 0, true},
		"ignore db":           {map[string][]byte{"MokDB": wish(0)}, mok.UseDB, "ignore db", 0, false},
		"use db":              {map[string][]byte{"MokDB": wish(1)}, mok.UseDB, "use db", 0, false},
		"trust":               {map[string][]byte{"MokListTrustedNew": wish(0)}, mok.TrustList, "trust list", 0, false},
		"do not trust":        {map[string][]byte{"MokListTrustedNew": wish(1)}, mok.TrustList, "distrust list", 0, false},
		"clear password":      {map[string][]byte{"MokPW": secret}, mok.Password, "clear password", 0, false},
		"set password":        {map[string][]byte{"MokPW": append([]byte{4}, secret[1:]...)}, mok.Password, "set password", 0, false},
		"password, odd size":  {map[string][]byte{"MokPW": {1}}, mok.Password, "", 0, true},
		"password beside del": {map[string][]byte{"MokPW": secret, "MokDelAuth": secret}, mok.Password, "clear password", 0, false},
	} {
		m := machine()
		for name, data := range test.seed {
			m.Seed(mok.Variable(name), 7, data)
		}
		p := mok.ReadPending(m)
		r, ok := p.Request(test.kind)
		if !ok || len(p.Requests) != 1 || r.Wish != test.wish || r.Auth.Answer != test.auth || (r.Err != nil) != test.bad {
			t.Errorf("%s: %+v", why, p)
		}
		if _, orphan := test.seed["MokDelAuth"]; orphan && test.kind == mok.Password && !slices.Equal(p.Orphans, []string{"MokDelAuth"}) {
			t.Errorf("%s: orphans %v", why, p.Orphans)
		}
	}
}

func TestPendingUnknown(t *testing.T) {
	p := mok.ReadPending(machine())
	if len(p.Requests)+len(p.Orphans)+len(p.NotSeen) != 0 || p.Timeout != nil {
		t.Errorf("%+v", p)
	}
	m := machine()
	m.Seed(mok.Timeout, 7, []byte{1, 2})
	if p := mok.ReadPending(m); p.Timeout != nil || !errors.Is(p.TimeoutErr, efivars.ErrCorrupt) {
		t.Errorf("%+v", p)
	}
	p = mok.ReadPending(efivars.Absent(syscall.EACCES))
	if len(p.NotSeen) != 13 || len(p.Requests) != 0 { // eight requests, four passwords, the timeout
		t.Errorf("%d gaps: %+v", len(p.NotSeen), p)
	}
	// A password that cannot be read is neither there nor missing.
	m = machine()
	m.Seed(mok.Variable("MokNew"), 7, keyList(der(1000)))
	m.Fault = &efivarstest.Fault{At: 2}
	p = mok.ReadPending(m)
	if r, ok := p.Request(mok.Enroll); !ok || r.Auth.Answer != evidence.Unknown || len(p.NotSeen) != 1 {
		t.Errorf("%+v", p)
	}
}

func FuzzVariableInfo(f *testing.F) {
	f.Add([]byte(recordedInfo))
	f.Add([]byte(": 1"))
	f.Add([]byte("a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := mok.ParseVariableInfo(b)
		if err != nil && info != nil {
			t.Fatalf("%v with %v", info, err)
		}
		if _, ok := info[""]; ok {
			t.Fatal("a number without a name")
		}
	})
}

func TestVariableInfo(t *testing.T) {
	info, err := mok.ParseVariableInfo([]byte(recordedInfo))
	if err != nil || len(info) != 4 || info["bs_rt_max_var_sz"] != 0x83c4 || info["bs_nv_max_var_sz"] != 0x3ffc4 {
		t.Errorf("%v, %v", info, err)
	}
	for _, bad := range []string{"x", "x:", "x: y", ": 1", "x: 0x1ffffffffffffffff", "x: -1"} {
		if info, err := mok.ParseVariableInfo([]byte("a: 0x1\n" + bad)); info != nil || !errors.Is(err, efivars.ErrCorrupt) {
			t.Errorf("%q: %v, %v", bad, info, err)
		}
	}
}

func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range mok.Kinds() {
		if seen[k.String()] {
			t.Errorf("%s twice", k)
		}
		seen[k.String()] = true
	}
	if len(seen) != 10 || mok.Kind(-1).String() != mok.Kind(10).String() {
		t.Errorf("%v", seen)
	}
}
