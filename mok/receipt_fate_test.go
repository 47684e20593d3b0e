package mok_test

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/mok"
)

// TestFate holds every outcome against machines that are in such a state; der(1000) is the certificate asked about.
func TestFate(t *testing.T) {
	mine, other := der(1000), der(1001)
	record := make([]byte, mok.AuthSize)
	list := func(receipts ...mok.Receipt) []mok.Receipt { return receipts }
	ask := func(boot string, ders ...[]byte) mok.Receipt { return receipt(mok.Enroll, boot, ders...) }

	enrolled := func() *efivarstest.Memory { return with("MokListRT", keyList(der(900), mine)) }
	pending := func() *efivarstest.Memory { return with("MokNew", keyList(other, mine), "MokAuth", record) }
	corruptList := func() *efivarstest.Memory { return with("MokListRT", append(keyList(der(900), mine), "trailing"...)) }
	brokenBefore := func() *efivarstest.Memory { return with("MokListRT", append(keyList(der(900)), keyList(mine)[:99]...)) }
	corruptNew := func() *efivarstest.Memory { return with("MokNew", keyList(mine)[:500], "MokAuth", record) }
	noShim := func(seeds ...any) *efivarstest.Memory {
		m := efivarstest.NewMemory()
		m.Seed(efivars.SecureBoot, volatile, []byte{0})
		for i := 0; i < len(seeds); i += 2 {
			m.Seed(mok.Variable(seeds[i].(string)), mok.Attributes, seeds[i+1].([]byte))
		}
		return m
	}

	for why, test := range map[string]struct {
		store    efivars.Store
		receipts []mok.Receipt
		boot     string
		want     mok.Outcome
		says     string // parts, divided by |
	}{
		"nobody asked":                         {machine(), nil, now, mok.NotAsked, "no receipt of asking"},
		"asked for another":                    {machine(), list(ask(earlier, other)), now, mok.NotAsked, "no receipt of asking"},
		"nobody asked, boot not known":         {machine(), nil, "", mok.NotAsked, ""},
		"deleted since":                        {machine(), list(ask(earlier, mine), receipt(mok.Delete, earlier, mine)), now, mok.NotAsked, "the last that kkeys asked for|to delete it"},
		"all erased since":                     {machine(), list(ask(earlier, mine), receipt(mok.Reset, earlier)), now, mok.NotAsked, "to erase all keys"},
		"another deleted since":                {machine(), list(ask(earlier, mine), receipt(mok.Delete, earlier, other)), now, mok.Declined, ""},
		"the blocklist erased since":           {machine(), list(ask(earlier, mine), receipt(mok.ResetBlocked, earlier)), now, mok.Declined, ""},
		"blocked, not asked for":               {machine(), list(receipt(mok.Block, earlier, mine)), now, mok.NotAsked, ""},
		"enrolled, asked for":                  {enrolled(), list(ask(earlier, mine)), now, mok.Enrolled, "as kkeys asked on 2026-07-29 at 10:00 UTC"},
		"enrolled, asked for in this boot":     {enrolled(), list(ask(now, mine)), now, mok.Enrolled, "as kkeys asked"},
		"enrolled, not asked for":              {enrolled(), nil, now, mok.Enrolled, "has no receipt"},
		"enrolled, another asked for":          {enrolled(), list(ask(earlier, other)), now, mok.Enrolled, "has no receipt"},
		"enrolled, boot not known":             {enrolled(), list(ask("", mine)), "", mok.Enrolled, "as kkeys asked"},
		"enrolled, then deletion asked for":    {enrolled(), list(ask(earlier, mine), receipt(mok.Delete, earlier, mine)), now, mok.Enrolled, "kkeys asked|to delete it"},
		"enrolled, deletion waits":             {with("MokListRT", keyList(mine), "MokDel", keyList(mine), "MokDelAuth", record), nil, now, mok.Enrolled, "a request to delete it waits"},
		"enrolled, another's deletion waits":   {with("MokListRT", keyList(mine), "MokDel", keyList(other), "MokDelAuth", record), nil, now, mok.Enrolled, "receipt is gone$"},
		"enrolled, a reset waits":              {with("MokListRT", keyList(mine), "MokAuth", record), nil, now, mok.Enrolled, "a request to erase all keys of MokList waits"},
		"enrolled and pending again":           {with("MokListRT", keyList(mine), "MokNew", keyList(mine), "MokAuth", record), list(ask(earlier, mine)), now, mok.Enrolled, ""},
		"enrolled, the list damaged after it":  {corruptList(), list(ask(earlier, mine)), now, mok.Enrolled, ""},
		"enrolled, requests not readable":      {unreadable{enrolled(), "MokNew"}, list(ask(earlier, mine)), now, mok.Enrolled, ""},
		"enrolled, request damaged":            {with("MokListRT", keyList(mine), "MokNew", []byte{1}), nil, now, mok.Enrolled, ""},
		"pending, asked for in this boot":      {pending(), list(ask(now, mine)), now, mok.Waiting, "in this boot|confirm it in MokManager at the next boot$"},
		"pending, another program asked":       {pending(), nil, now, mok.Waiting, "another program asked for it"},
		"pending, a receipt for another":       {pending(), list(ask(earlier, other)), now, mok.Waiting, "another program asked for it"},
		"pending, receipt's boot not known":    {pending(), list(ask("", mine)), now, mok.Waiting, "in which boot is not known"},
		"pending, this boot not known":         {pending(), list(ask(earlier, mine)), "", mok.Waiting, "in which boot is not known"},
		"pending, asked for twice":             {pending(), list(ask(earlier, mine), ask(now, mine)), now, mok.Waiting, "in this boot"},
		"pending, though deletion was asked":   {pending(), list(ask(earlier, mine), receipt(mok.Delete, now, mine)), now, mok.Waiting, "another program asked for it"},
		"pending, without a password":          {with("MokNew", keyList(mine)), list(ask(now, mine)), now, mok.Unconfirmable, ", in this boot; but its password is missing|take the request back and ask again$"},
		"pending for long, without a password": {with("MokNew", keyList(mine)), list(ask(earlier, mine)), now, mok.Unconfirmable, "or another program asked again; but its password is missing"},
		"pending, with half a password":        {with("MokNew", keyList(mine), "MokAuth", record[:99]), list(ask(now, mine)), now, mok.Unconfirmable, "damaged"},
		"pending, password not readable":       {unreadable{pending(), "MokAuth"}, list(ask(now, mine)), now, mok.Waiting, "at the next boot$"},
		"pending, the list damaged":            {with("MokListRT", []byte("damaged"), "MokNew", keyList(mine), "MokAuth", record), list(ask(now, mine)), now, mok.Waiting, ""},
		"pending, booted without shim":         {noShim("MokNew", keyList(mine), "MokAuth", record), list(ask(earlier, mine)), now, mok.WaitingStill, "without shim"},
		"pending since an earlier boot":        {pending(), list(ask(earlier, mine)), now, mok.WaitingStill, "in an earlier boot|kexec"},
		"declined":                             {machine(), list(ask(earlier, mine)), now, mok.Declined, "it was declined, nobody pressed a key in time, the password was wrong, MokManager was cut short (the power failed) and its \"Reset MOK\" was passed over|deleted again"},
		"declined, and another pending":        {with("MokNew", keyList(other), "MokAuth", record), list(ask(earlier, mine)), now, mok.Declined, ""},
		"declined twice":                       {machine(), list(ask(earlier, mine), ask(earlier, mine, other)), now, mok.Declined, ""},
		"declined, password not readable":      {unreadable{machine(), "MokAuth"}, list(ask(earlier, mine)), now, mok.Declined, "whether its password is left could not be read"},
		"declined, asked again, withdrawn":     {machine(), list(ask(earlier, mine), ask(now, mine)), now, mok.Withdrawn, "in this boot"},
		"the clock went back":                  {machine(), list(ask(now, mine), ask(earlier, mine)), now, mok.Declined, ""},
		"withdrawn":                            {machine(), list(ask(now, mine)), now, mok.Withdrawn, "another program took the request back; or MokManager had it while the system was hibernated$"},
		"withdrawn by a reset":                 {with("MokAuth", record), list(ask(now, mine)), now, mok.Withdrawn, "erase all keys of MokList waits"},
		"the password is left":                 {with("MokAuth", record), list(ask(earlier, mine)), now, mok.Interrupted, "erase all keys"},
		"a reset, nobody asked to enroll":      {with("MokAuth", record), nil, now, mok.NotAsked, ""},
		"gone, this boot not known":            {machine(), list(ask(earlier, mine)), "", mok.Unknown, "whether the system was booted since is not known"},
		"gone, receipt's boot not known":       {machine(), list(ask("", mine)), now, mok.Unknown, "whether the system was booted since is not known"},
		"gone, no boot known":                  {machine(), list(ask("", mine)), "", mok.Unknown, ""},
		"the list damaged, asked for":          {brokenBefore(), list(ask(earlier, mine)), now, mok.Unknown, "MokList is damaged|kkeys asked for it on"},
		"the list damaged, not asked for":      {brokenBefore(), nil, now, mok.Unknown, "MokList is damaged"},
		"the request damaged":                  {corruptNew(), list(ask(now, mine)), now, mok.Unknown, "the pending request is damaged|kkeys asked for it on"},
		"the request damaged, not asked for":   {corruptNew(), nil, now, mok.Unknown, "the pending request is damaged"},
		"the request empty":                    {with("MokNew", []byte{}), list(ask(now, mine)), now, mok.Unknown, "no keys in it"},
		"the request not readable":             {unreadable{machine(), "MokNew"}, list(ask(earlier, mine)), now, mok.Unknown, "what waits for MokManager could not be read: efivars/MokNew"},
		"the list not readable":                {unreadable{machine(), "MokListRT"}, list(ask(earlier, mine)), now, mok.Unknown, "MokListRT could not be read"},
		"booted without shim":                  {noShim(), list(ask(earlier, mine)), now, mok.Unknown, "not booted through shim"},
		"booted without shim, request damaged": {noShim("MokNew", []byte{1}), list(ask(earlier, mine)), now, mok.Unknown, "damaged|not booted through shim"},
		"booted without shim, nobody asked":    {noShim(), nil, now, mok.Unknown, "not booted through shim"},
		"no EFI":                               {efivars.Absent(efivars.ErrNotSupported), list(ask(earlier, mine)), now, mok.Unknown, "; MokListRT could not be read; kkeys asked for it on"},
		"no permission":                        {efivars.Absent(syscall.EACCES), nil, now, mok.Unknown, "; MokListRT could not be read$"},
		"another is enrolled":                  {with("MokListRT", keyList(other)), nil, now, mok.NotAsked, ""},
	} {
		f := course(test.receipts, nil, test.store, noRoot, test.boot).Fate(mine)
		if f.Outcome != test.want {
			t.Errorf("%s: %s, want %s (%s)", why, f.Outcome, test.want, f.Evidence)
		}
		says(t, why, f, test.says)
		if (f.Source == "") != (f.Outcome == mok.Unknown && !strings.Contains(f.Evidence, "booted since")) {
			t.Errorf("%s: source %q of %q", why, f.Source, f.Evidence)
		}
	}
}

func course(receipts []mok.Receipt, unread error, store efivars.Store, root fs.FS, boot string) mok.Course {
	return mok.Course{Receipts: receipts, Unread: unread, State: mok.ReadState(store, root), Pending: mok.ReadPending(store), Boot: boot}
}

func sums(data ...[]byte) (all [][sha256.Size]byte) {
	for _, d := range data {
		all = append(all, sha256.Sum256(d))
	}
	return all
}

// says looks for parts, divided by |, in a sentence that is none of the empty ones; a part with $ at its end ends it.
func says(t *testing.T, why string, f mok.Fate, parts string) {
	t.Helper()
	if f.Evidence == "" || strings.HasSuffix(f.Evidence, ".") || strings.Contains(f.Evidence, "\n") {
		t.Errorf("%s: %q is no sentence without a full stop", why, f.Evidence)
	}
	for _, part := range strings.Split(parts, "|") {
		if !strings.Contains(f.Evidence+"$", part) {
			t.Errorf("%s: no %q in %q", why, part, f.Evidence)
		}
	}
}

// unreadable has one variable that cannot be read.
type unreadable struct {
	*efivarstest.Memory
	name string
}

func (u unreadable) Get(n efivars.Name) (efivars.Attributes, []byte, error) {
	if n.Name == u.name {
		return 0, nil, efivars.ErrDenied
	}
	return u.Memory.Get(n)
}

// The newest receipt counts; the table's list counts before the variable's.
func TestFateOfTheNewest(t *testing.T) {
	first, second := receipt(mok.Enroll, earlier, der(1000)), receipt(mok.Enroll, now, der(1000), der(1001))
	receipts := []mok.Receipt{first, second, receipt(mok.Enroll, earlier, der(1001))}
	f := course(receipts, nil, machine(), noRoot, now).Fate(der(1000))
	if f.Outcome != mok.Withdrawn || f.Source != mok.ReceiptsFile {
		t.Errorf("%+v", f)
	}
	root := table(map[string][]byte{"MokListRT": keyList(der(900), der(1000))})
	f = course(receipts, nil, machine(), root, now).Fate(der(1000))
	if f.Outcome != mok.Enrolled || f.Source != "mok-variables/MokListRT" {
		t.Errorf("%+v", f)
	}
	// A list that shim did not make is not believed.
	m := machine()
	m.Seed(mok.Variable("MokListRT"), mok.Attributes, keyList(der(1000)))
	if f := course(receipts, nil, m, noRoot, now).Fate(der(1000)); f.Outcome != mok.Unknown {
		t.Errorf("%+v", f)
	}
	if f := (mok.Fate{}); f.Outcome != mok.Unknown || f.Outcome.String() != "unknown" {
		t.Errorf("%+v", f)
	}
}

// What is staged and taken back on one machine, boot after boot.
func TestFateThroughTheBoots(t *testing.T) {
	m := machine()
	var receipts []mok.Receipt
	fate := func(boot string) mok.Outcome {
		return course(receipts, nil, m, noRoot, boot).Fate(der(1000)).Outcome
	}
	expect := func(boot string, want mok.Outcome) {
		t.Helper()
		if got := fate(boot); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	expect(earlier, mok.NotAsked)
	stage(t, m, [][]byte{der(1000)}, "p", nil)
	receipts = append(receipts, receipt(mok.Enroll, earlier, der(1000)))
	expect(earlier, mok.Waiting)
	expect(now, mok.WaitingStill)
	pending, _ := mok.ReadPending(m).Request(mok.Enroll)
	if _, err := mok.Cancel(m); err != nil {
		t.Fatal(err)
	}
	expect(earlier, mok.Withdrawn)
	expect(now, mok.Declined)
	receipts = mok.Forget(receipts, mok.Enroll, sums(pending.Certificates()...))
	expect(earlier, mok.NotAsked)
	stage(t, m, [][]byte{der(1000)}, "p", nil)
	receipts = append(receipts, receipt(mok.Enroll, now, der(1000)))
	if err := m.Delete(mok.Variable("MokNew")); err != nil { // MokManager takes the request first, and its password last
		t.Fatal(err)
	}
	expect("12345678-0000-0000-0000-000000000000", mok.Interrupted)
	m.Seed(mok.Variable("MokListRT"), volatile, keyList(der(900), der(1000)))
	expect("12345678-0000-0000-0000-000000000000", mok.Enrolled)
}

// with is a machine with these variables of shim: name, data, name, data …
func with(seeds ...any) *efivarstest.Memory {
	m := machine()
	for i := 0; i < len(seeds); i += 2 {
		a := mok.Attributes
		if name := seeds[i].(string); strings.HasSuffix(name, "RT") || name == "MokIgnoreDB" {
			a = volatile
		}
		m.Seed(mok.Variable(seeds[i].(string)), a, seeds[i+1].([]byte))
	}
	return m
}

// Who could not read the receipts knows who is enrolled and what is pending, and not who asked.
func TestFateWithoutReceipts(t *testing.T) {
	unread := errors.New("no permission")
	mine := der(1000)
	for why, c := range map[string]struct {
		store *efivarstest.Memory
		want  mok.Outcome
		says  string
	}{
		"enrolled":                {with("MokListRT", keyList(mine)), mok.Enrolled, "enrolled; whether kkeys asked for it is not known: no permission"},
		"pending":                 {with("MokNew", keyList(mine), "MokAuth", make([]byte, mok.AuthSize)), mok.Waiting, "it is pending; whether kkeys asked for it is not known (no permission): confirm it in MokManager at the next boot"},
		"without a password":      {with("MokNew", keyList(mine)), mok.Unconfirmable, "it is pending; whether kkeys asked for it is not known (no permission); but its password is missing or damaged, and MokManager will not enroll it: take the request back and ask again"},
		"neither":                 {machine(), mok.Unknown, "neither enrolled nor pending; whether it was asked for cannot be told: no permission"},
		"a password that is left": {with("MokAuth", make([]byte, mok.AuthSize)), mok.Unknown, "neither enrolled nor pending; whether it was asked for cannot be told: no permission"},
	} {
		f := course(nil, unread, c.store, noRoot, now).Fate(mine)
		if f.Outcome != c.want || f.Evidence != c.says || f.Source == "" {
			t.Errorf("%s: %s: %s (%s)", why, f.Outcome, f.Evidence, f.Source)
		}
	}
}
