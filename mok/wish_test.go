package mok_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/evidence"
	"kkeys/mok"
)

// What is staged for each kind can be read back as what was wished, and nothing else is written.
func TestStageEveryKind(t *testing.T) {
	for name, s := range stagings(t) {
		m := s.start.Clone()
		p := planFor(t, m, s.wish)
		if err := p.Stage(m, s.secret); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		pending := mok.ReadPending(m)
		if len(pending.Requests) != 1 || len(pending.Orphans) != 0 {
			t.Errorf("%s: %+v", name, pending)
			continue
		}
		r := pending.Requests[0]
		want := ""
		if s.wish.String() != s.wish.Kind.String() {
			want = s.wish.String()
		} else if s.wish.Kind == mok.Reset || s.wish.Kind == mok.ResetBlocked {
			want = s.wish.Kind.String()
		}
		if r.Kind != s.wish.Kind || r.Err != nil || r.Wish != want || r.Keys() != p.Keys || r.Auth.Answer == evidence.No {
			t.Errorf("%s: %+v", name, r)
		}
		for _, w := range p.Writes {
			if got := get(t, m, w.Name.Name); len(got) != w.Size {
				t.Errorf("%s: %s has %d bytes, planned %d", name, w.Name.Name, len(got), w.Size)
			}
		}
		// Taken back, everything is gone.
		if _, err := mok.Cancel(m, s.wish.Kind); err != nil || len(holds(t, m)) != 0 {
			t.Errorf("%s: cancelled, and %v is left: %v", name, holds(t, m), err)
		}
	}
}

// Where mokutil is right, its bytes are ours: see testdata/mokutil.
func TestSwitchAsMokutil(t *testing.T) {
	m := machine()
	if err := planFor(t, m, mok.Wish{Kind: mok.Validation}).Stage(m, mok.Characters("abcdefgh")); err != nil {
		t.Fatal(err)
	}
	ours, theirs := get(t, m, "MokSB"), recorded(t, "disable-validation")
	used := 8 + 2*len("abcdefgh") // what follows, mokutil leaves to chance
	if len(ours) != 40 || !bytes.Equal(ours[:used], theirs[:used]) || !bytes.Equal(ours[used:], make([]byte, 40-used)) {
		t.Errorf("ours %x\ntheirs %x", ours, theirs)
	}
	m = machine()
	if err := planFor(t, m, mok.Wish{Kind: mok.Password}).Stage(m, nil); err != nil || !bytes.Equal(get(t, m, "MokPW"), recorded(t, "clear-password")) {
		t.Errorf("clear password: %v", err)
	}
}

// A password of another form than the plan's, or one that MokManager could not ask for, writes nothing.
func TestSecrets(t *testing.T) {
	toggle, clear, reset := mok.Wish{Kind: mok.Validation}, mok.Wish{Kind: mok.Password}, mok.Wish{Kind: mok.Reset}
	for why, c := range map[string]struct {
		wish   mok.Wish
		secret mok.Secret
		want   error
	}{
		"a record for a switch": {toggle, auth(t, "long enough"), efivars.ErrInvalid},
		"none for a switch":     {toggle, nil, efivars.ErrInvalid},
		"7 characters":          {toggle, mok.Characters("seven c"), mok.ErrPassword},
		"16 characters":         {toggle, mok.Characters("sixteen characte"), mok.ErrPassword},
		"not ASCII":             {toggle, mok.Characters("längere"), mok.ErrPassword},
		"8 characters":          {toggle, mok.Characters("eight ch"), nil},
		"15 characters":         {toggle, mok.Characters("fifteen charact"), nil},
		"one to clear":          {clear, auth(t, "p"), efivars.ErrInvalid},
		"none to reset":         {reset, nil, efivars.ErrInvalid},
		"characters to reset":   {reset, mok.Characters("eight ch"), efivars.ErrInvalid},
		"an empty record":       {reset, mok.Auth{}, mok.ErrMethod},
	} {
		m := with("MokListRT", keyList(der(900), der(1001)))
		p := planFor(t, m, c.wish)
		before := m.Dump()
		if err := p.Stage(m, c.secret); !errors.Is(err, c.want) || (m.Dump() == before) != (c.want != nil) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// What would fail in MokManager, or lose something, is refused; each case tells exactly the reasons.
func TestPreflightOfWishes(t *testing.T) {
	vendor, mine, other := der(900), der(1001), der(1002)
	hash, sha1 := bytes.Repeat([]byte{7}, 32), make([]byte, 20)
	forbidden := efivars.SignatureList{Type: efivars.SHA256, Signatures: []efivars.Signature{{Owner: efivars.Shim, Data: bytes.Repeat([]byte{1}, 32)}}}
	forbiddenBytes, _ := efivars.EncodeSignatureLists([]efivars.SignatureList{forbidden})
	record, _ := auth(t, "p").Encode()
	start := func(seeds ...any) *efivarstest.Memory {
		return with(append([]any{"MokListRT", keyList(vendor, mine), "MokListXRT", slices.Concat(forbiddenBytes, keyList(der(1005)))}, seeds...)...)
	}
	one := func(k mok.Kind, der []byte) mok.Wish { return mok.Wish{Kind: k, Certificates: [][]byte{der}} }
	on, off := func(k mok.Kind) mok.Wish { return mok.Wish{Kind: k, On: true} }, func(k mok.Kind) mok.Wish { return mok.Wish{Kind: k} }
	corrupt := with("MokListRT", append(keyList(vendor, mine), "trailing"...))
	blind := with("MokListRT", keyList(vendor, mine), "MokListXRT", []byte("damaged"))
	fresh := with("MokListRT", keyList(vendor), "MokListXRT", forbiddenBytes)
	noTrust := start()
	noTrustTable := table(map[string][]byte{"MokListRT": keyList(vendor), "MokListXRT": placeholder()})
	trustTable := table(map[string][]byte{"MokListRT": keyList(vendor), "MokListXRT": placeholder(), "MokListTrustedRT": {1}})
	for why, c := range map[string]struct {
		store *efivarstest.Memory
		wish  mok.Wish
		want  []error
		says  string
	}{
		"delete":                      {start(), one(mok.Delete, mine), nil, ""},
		"delete what is not there":    {start(), one(mok.Delete, other), []error{mok.ErrNotListed}, "the same to the byte"},
		"delete the vendor's":         {start(), one(mok.Delete, vendor), []error{mok.ErrVendor}, "change nothing"},
		"delete the vendor's copy":    {with("MokListRT", keyList(vendor, mine, vendor)), one(mok.Delete, vendor), nil, ""},
		"delete twice":                {start("MokDel", keyList(mine), "MokDelAuth", record), one(mok.Delete, mine), []error{mok.ErrAlreadyPending}, "MokDel"},
		"delete beside an enrolment":  {start("MokNew", keyList(other), "MokAuth", record), one(mok.Delete, mine), []error{mok.ErrOtherPending}, "MokNew"},
		"delete, damaged list":        {corrupt, one(mok.Delete, mine), []error{mok.ErrCorruptList}, ""},
		"delete nothing":              {start(), off(mok.Delete), []error{mok.ErrNothing}, ""},
		"block":                       {start(), one(mok.Block, mine), nil, ""},
		"block a hash":                {start(), mok.Wish{Kind: mok.Block, Hashes: [][]byte{hash}}, nil, ""},
		"block a hash twice":          {start(), mok.Wish{Kind: mok.Block, Hashes: [][]byte{hash, hash}}, []error{mok.ErrDuplicate}, ""},
		"block the vendor's":          {start(), one(mok.Block, vendor), []error{mok.ErrVendor}, "no longer start"},
		"block again":                 {start(), one(mok.Block, der(1005)), []error{mok.ErrBlocked}, ""},
		"block, damaged list":         {corrupt, one(mok.Block, mine), nil, ""},
		"block, damaged blocklist":    {blind, one(mok.Block, mine), []error{mok.ErrCorruptBlocklist}, ""},
		"enroll, damaged blocklist":   {blind, one(mok.Enroll, other), []error{mok.ErrCorruptBlocklist}, ""},
		"delete, damaged blocklist":   {blind, one(mok.Delete, mine), nil, ""},
		"unblock":                     {start(), one(mok.Unblock, der(1005)), nil, ""},
		"unblock what is not there":   {start(), mok.Wish{Kind: mok.Unblock, Hashes: [][]byte{hash}}, []error{mok.ErrNotListed}, ""},
		"unblock the vendor's":        {start(), mok.Wish{Kind: mok.Unblock, Hashes: [][]byte{forbidden.Signatures[0].Data}}, []error{mok.ErrVendor}, ""},
		"enroll a hash":               {start(), mok.Wish{Hashes: [][]byte{hash}}, nil, ""},
		"enroll a SHA-1":              {start(), mok.Wish{Hashes: [][]byte{sha1}}, []error{mok.ErrNotHash}, "SHA-224"},
		"enroll a hash of zeros":      {start(), mok.Wish{Hashes: [][]byte{make([]byte, 32)}}, []error{mok.ErrNotHash}, "zeros"},
		"reset":                       {start(), off(mok.Reset), nil, ""},
		"reset of nothing":            {fresh, off(mok.Reset), []error{mok.ErrNoChange}, "built into shim"},
		"reset of a damaged list":     {corrupt, off(mok.Reset), nil, ""},
		"reset twice":                 {start("MokAuth", record), off(mok.Reset), []error{mok.ErrAlreadyPending}, "MokAuth"},
		"reset over an enrolment":     {start("MokNew", keyList(other), "MokAuth", record), off(mok.Reset), []error{mok.ErrOtherPending}, "MokNew"},
		"reset MOKX":                  {start(), off(mok.ResetBlocked), nil, ""},
		"reset of no MOKX":            {fresh, off(mok.ResetBlocked), []error{mok.ErrNoChange}, ""},
		"validation off":              {start(), off(mok.Validation), nil, ""},
		"validation off again":        {start("MokSBStateRT", []byte{1}), off(mok.Validation), []error{mok.ErrNoChange}, "disable validation"},
		"validation on":               {start("MokSBStateRT", []byte{1}), on(mok.Validation), nil, ""},
		"validation on again":         {start(), on(mok.Validation), []error{mok.ErrNoChange}, "enable validation"},
		"validation asked for":        {start("MokSB", make([]byte, 40)), off(mok.Validation), []error{mok.ErrAlreadyPending}, "MokSB"},
		"ignore db":                   {start(), off(mok.UseDB), nil, ""},
		"ignore db again":             {start("MokIgnoreDB", []byte{1}), off(mok.UseDB), []error{mok.ErrNoChange}, ""},
		"use db again":                {start(), on(mok.UseDB), []error{mok.ErrNoChange}, ""},
		"trust, table not to be seen": {noTrust, on(mok.TrustList), []error{mok.ErrCannotTell}, ""},
		"set the password":            {start(), on(mok.Password), nil, ""},
		"set the password twice":      {start("MokPW", record), on(mok.Password), []error{mok.ErrAlreadyPending}, ""},
		"timeout 0":                   {start(), mok.Wish{Kind: mok.Reset, Timeout: new(int32)}, []error{mok.ErrTimeout}, ""},
	} {
		f := mok.ReadFacts(c.store, noRoot, goodBoot, mok.Vendor{Allowed: [][]byte{vendor}, Forbidden: []efivars.SignatureList{forbidden}})
		if c.wish.Kind == mok.TrustList && why != "trust, table not to be seen" {
			f = mok.ReadFacts(c.store, trustTable, goodBoot, mok.Vendor{})
		}
		checkReasons(t, why, f.Preflight(c.wish), c.want, c.says)
	}
	for why, c := range map[string]struct {
		on, now bool
		want    []error
	}{
		"trust": {true, false, nil}, "trust again": {true, true, []error{mok.ErrNoChange}},
		"do not trust": {false, true, nil}, "do not trust again": {false, false, []error{mok.ErrNoChange}},
	} {
		root := noTrustTable
		if c.now {
			root = trustTable
		}
		f := mok.ReadFacts(start(), root, goodBoot, mok.Vendor{})
		checkReasons(t, why, f.Preflight(mok.Wish{Kind: mok.TrustList, On: c.on}), c.want, "")
	}
}

func checkReasons(t *testing.T, why string, err error, want []error, says string) {
	t.Helper()
	var refusal *mok.Refusal
	var got []error
	if errors.As(err, &refusal) {
		for _, r := range refusal.Reasons {
			got = append(got, r.Err)
		}
	}
	if !slices.Equal(got, want) || err != nil && !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v", why, err)
	}
}

// What a wish costs, and what could not be seen, is said beforehand.
func TestWarningsOfWishes(t *testing.T) {
	m := with("MokListRT", keyList(der(900), der(1001), der(1002)))
	for w, part := range map[mok.Kind]string{
		mok.Reset: "2 entries", mok.Validation: "checks nothing|counts Secure Boot as off", mok.Password: "cannot be seen", mok.UseDB: "ignore the keys",
	} {
		p := planFor(t, m, mok.Wish{Kind: w, On: w == mok.Password})
		for _, want := range strings.Split(strings.Replace(part, "checks nothing", "check nothing", 1), "|") {
			if !strings.Contains(strings.Join(p.Warnings, "\n"), want) {
				t.Errorf("%s: no %q in %q", w, want, p.Warnings)
			}
		}
	}
	f := mok.ReadFacts(m, noRoot, goodBoot, mok.Vendor{Err: errors.New("no permission")})
	p, err := mok.NewPlan(f, mok.Wish{Kind: mok.Delete, Certificates: [][]byte{der(1001)}})
	if err != nil || !strings.Contains(strings.Join(p.Warnings, "\n"), "no permission") {
		t.Errorf("%v, %v", p, err)
	}
}

// The screens of every kind: the item to choose, the question, and what to type.
func TestScreensOfWishes(t *testing.T) {
	for name, want := range map[string][]string{
		"delete":          {"Delete MOK", "Delete the key(s)?", "Password:"},
		"block":           {"Enroll MOKX", "Enroll the key(s)?", "Password:"},
		"unblock":         {"Delete MOKX", "Delete the key(s)?", "Password:"},
		"reset":           {"Reset MOK", "Erase all stored keys in MokList?", "Password:"},
		"reset blocklist": {"Reset MOKX", "Erase all stored keys in MokListX?", "Password:"},
		"validation":      {"Change Secure Boot state", "Enter password character", "Disable Secure Boot"},
		"use db":          {"Change DB state", "Enter password character", "Ignore DB certs/hashes"},
		"trust list":      {"Change MOK List Trusted State", "Enter password character", "Do not trust the MOK list"},
		"set password":    {"Set MOK password", "Confirm MOK passphrase:", "Set MOK password?"},
		"clear password":  {"Set MOK password", "Clear MOK password?"},
	} {
		s := stagings(t)[name]
		var got []string
		for _, screen := range planFor(t, s.start.Clone(), s.wish).Screens {
			if len(screen.Items) > 1 && screen.Items[0] == "Continue boot" {
				got = append(got, screen.Items[1])
			} else if screen.Title != "Press any key to perform MOK management" && !strings.HasPrefix(screen.Title, "[") && !strings.HasPrefix(screen.Title, "Perform") {
				got = append(got, screen.Title)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
