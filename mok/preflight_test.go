package mok_test

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/evidence"
	"kkeys/internal/certtest"
	"kkeys/mok"
)

// facts of a machine on which everything is as it should be.
func facts(m efivars.Store) mok.Facts { return mok.ReadFacts(m, noRoot, goodBoot, mok.Vendor{}) }

func TestPreflight(t *testing.T) {
	seed := func(pairs map[string][]byte) func(*mok.Facts) {
		return func(f *mok.Facts) {
			m := machine()
			for name, data := range pairs {
				m.Seed(mok.Variable(name), 7, data)
			}
			*f = facts(m)
		}
	}
	record, err := auth(t, "p").Encode()
	if err != nil {
		t.Fatal(err)
	}
	toggle := make([]byte, 40)
	fresh, ours := der(1000), der(900)
	real := certtest.SelfSigned(t, "real").DER
	seconds := func(n int32) *int32 { return &n }
	tests := map[string]struct {
		change  func(*mok.Facts)
		ders    [][]byte
		timeout *int32
		want    []error // exactly these sentinels
	}{
		"all well":            {nil, [][]byte{fresh}, seconds(-1), nil},
		"timeout":             {nil, [][]byte{fresh}, seconds(1), nil},
		"timeout 0":           {nil, [][]byte{fresh}, seconds(0), []error{mok.ErrTimeout}},
		"timeout -2":          {nil, [][]byte{fresh}, seconds(-2), []error{mok.ErrTimeout}},
		"no certificate":      {nil, nil, nil, []error{mok.ErrNothing}},
		"twice":               {nil, [][]byte{fresh, der(1001), fresh}, nil, []error{mok.ErrDuplicate}},
		"enrolled":            {nil, [][]byte{ours}, nil, []error{mok.ErrAlreadyEnrolled}},
		"enrolled and fresh":  {nil, [][]byte{fresh, ours}, nil, []error{mok.ErrAlreadyEnrolled}},
		"pending":             {seed(map[string][]byte{"MokNew": keyList(fresh), "MokAuth": record}), [][]byte{fresh}, nil, []error{mok.ErrAlreadyPending}},
		"another pending key": {seed(map[string][]byte{"MokNew": keyList(der(1001)), "MokAuth": record}), [][]byte{fresh}, nil, nil},
		"corrupt pending":     {seed(map[string][]byte{"MokNew": keyList(fresh)[:99], "MokAuth": record}), [][]byte{fresh}, nil, []error{mok.ErrCorruptPending}},
		"request alone":       {seed(map[string][]byte{"MokNew": keyList(der(1001))}), [][]byte{fresh}, nil, []error{mok.ErrOrphanRequest}},
		"password too short":  {seed(map[string][]byte{"MokNew": keyList(der(1001)), "MokAuth": record[:171]}), [][]byte{fresh}, nil, []error{mok.ErrOrphanRequest}},
		"MokAuth alone":       {seed(map[string][]byte{"MokAuth": record}), [][]byte{fresh}, nil, []error{mok.ErrOrphanAuth}},
		"MokXAuth alone":      {seed(map[string][]byte{"MokXAuth": record}), [][]byte{fresh}, nil, []error{mok.ErrOrphanAuth}},
		"MokDelAuth alone":    {seed(map[string][]byte{"MokDelAuth": record}), [][]byte{fresh}, nil, []error{mok.ErrOrphanAuth}},
		"deletion pending":    {seed(map[string][]byte{"MokDel": keyList(ours), "MokDelAuth": record}), [][]byte{fresh}, nil, []error{mok.ErrOtherPending}},
		"two others pending":  {seed(map[string][]byte{"MokSB": toggle, "MokPW": record}), [][]byte{fresh}, nil, []error{mok.ErrOtherPending, mok.ErrOtherPending}},
		"not booted by shim":  {func(f *mok.Facts) { *f = facts(efivarstest.NewMemory()) }, [][]byte{fresh}, nil, []error{mok.ErrNotShim}},
		"perhaps by shim":     {func(f *mok.Facts) { f.State.Shim = evidence.Reading{} }, [][]byte{fresh}, nil, []error{mok.ErrCannotTell}},
		"next boot elsewhere": {func(f *mok.Facts) { f.Boot.IsShim.Answer = evidence.No }, [][]byte{fresh}, nil, []error{mok.ErrOtherLoader}},
		"next boot unknown":   {func(f *mok.Facts) { f.Boot = mok.BootChain{} }, [][]byte{fresh}, nil, []error{mok.ErrCannotTell}},
		"no MokManager":       {func(f *mok.Facts) { f.Boot.HasManager.Answer = evidence.No }, [][]byte{fresh}, nil, []error{mok.ErrMokManagerMissing}},
		"perhaps MokManager":  {func(f *mok.Facts) { f.Boot.HasManager = evidence.Reading{} }, [][]byte{fresh}, nil, []error{mok.ErrCannotTell}},
		"corrupt list":        {func(f *mok.Facts) { f.State.Enrolled.Err = efivars.ErrCorrupt }, [][]byte{fresh}, nil, []error{mok.ErrCorruptList}},
		"list not seen":       {func(f *mok.Facts) { f.State.Enrolled = mok.List{} }, [][]byte{fresh}, nil, []error{mok.ErrCannotTell}},
		"pending not seen": {func(f *mok.Facts) { f.Pending.NotSeen = []mok.Gap{{Source: "efivars/MokDel", Err: syscall.EACCES}} },
			[][]byte{fresh}, nil, []error{mok.ErrCannotTell}},
		"no room":           {func(f *mok.Facts) { f.Space = efivars.Space{Total: 9000, Free: 1044 + 176 + 5119} }, [][]byte{fresh}, nil, []error{mok.ErrNoSpace}},
		"just enough room":  {func(f *mok.Facts) { f.Space = efivars.Space{Total: 9000, Free: 1044 + 176 + 5120} }, [][]byte{fresh}, nil, nil},
		"room unknown":      {func(f *mok.Facts) { f.Space = efivars.Space{} }, [][]byte{fresh}, nil, nil},
		"beyond 30 KiB":     {nil, [][]byte{der(31000)}, nil, []error{mok.ErrTooLarge}},
		"firmware's limit":  {func(f *mok.Facts) { f.State.Variables = mok.VariableInfo{"bs_rt_max_var_sz": 2000} }, [][]byte{fresh}, nil, []error{mok.ErrTooLarge}},
		"limit of zero":     {func(f *mok.Facts) { f.State.Variables = mok.VariableInfo{"bs_rt_max_var_sz": 0} }, [][]byte{fresh}, nil, nil}, // shim's word for not known
		"firmware has room": {func(f *mok.Facts) { f.State.Variables = mok.VariableInfo{"bs_rt_max_var_sz": 40000} }, [][]byte{der(31000)}, nil, nil},
		"blocked": {func(f *mok.Facts) {
			f.State.Blocked.Lists = []efivars.SignatureList{efivars.X509List(efivars.Shim, fresh)}
		}, [][]byte{fresh}, nil, []error{mok.ErrBlocked}},
		"in dbx": {func(f *mok.Facts) {
			f.Forbidden.Lists = []efivars.SignatureList{efivars.X509List(efivars.Shim, fresh)}
		}, [][]byte{fresh}, nil, []error{mok.ErrForbidden}},
		"another in dbx": {func(f *mok.Facts) {
			f.Forbidden.Lists = []efivars.SignatureList{efivars.X509List(efivars.Shim, ours)}
		}, [][]byte{fresh}, nil, nil},
		"signed part in dbx":           {func(f *mok.Facts) { f.Forbidden.Lists = signedPart(real) }, [][]byte{real}, nil, []error{mok.ErrForbidden}},
		"signed part in the blocklist": {func(f *mok.Facts) { f.State.Blocked.Lists = signedPart(real) }, [][]byte{real}, nil, []error{mok.ErrBlocked}},
		"another's signed part":        {func(f *mok.Facts) { f.Forbidden.Lists = signedPart(real) }, [][]byte{fresh}, nil, nil},
		"a timeout of 0 is there":      {func(f *mok.Facts) { f.Pending.Timeout = seconds(0) }, [][]byte{fresh}, nil, nil},
		"a damaged timeout is there":   {func(f *mok.Facts) { f.Pending.TimeoutErr = efivars.ErrCorrupt }, [][]byte{fresh}, nil, nil},
		"dbx could not be read at all": {func(f *mok.Facts) { f.Forbidden.Err = syscall.EIO }, [][]byte{fresh}, nil, nil},
	}
	for why, test := range tests {
		f := facts(machine())
		if test.change != nil {
			test.change(&f)
		}
		e := mok.Wish{Certificates: test.ders, Timeout: test.timeout}
		err := f.Preflight(e)
		p, perr := mok.NewPlan(f, e)
		var refusal *mok.Refusal
		if (err == nil) != (test.want == nil) || err != nil && !errors.As(err, &refusal) || (p == nil) != (err != nil) || (perr == nil) != (err == nil) {
			t.Errorf("%s: %v, plan %v, %v", why, err, p, perr)
			continue
		}
		if err == nil {
			continue
		}
		var got []error
		for _, r := range refusal.Reasons {
			got = append(got, r.Err)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", why, err)
		}
		cannot := slices.Contains(test.want, mok.ErrCannotTell)
		if errors.Is(err, mok.ErrCannotTell) != cannot || errors.Is(err, mok.ErrRefused) == cannot {
			t.Errorf("%s is in the wrong family: %v", why, err)
		}
	}
}

// Ignoring db is refused where nothing else vouches for what this machine starts with.
func TestPreflightIgnoreDB(t *testing.T) {
	signer, other := certtest.SelfSigned(t, "signer").DER, certtest.SelfSigned(t, "other").DER
	lists := func(ders ...[]byte) (all []efivars.SignatureList) {
		for _, der := range ders {
			all = append(all, efivars.X509List(efivars.Shim, der))
		}
		return all
	}
	program := mok.Program{Path: "/efi/mmx64.efi", Signers: [][]byte{signer}, Digest: make([]byte, 32)}
	byHash := []efivars.SignatureList{{Type: efivars.SHA256, Signatures: []efivars.Signature{{Data: program.Digest}}}}
	for name, test := range map[string]struct {
		change func(*mok.Facts)
		on     bool
		want   error
	}{
		"only db":                {func(f *mok.Facts) {}, false, mok.ErrStarts},
		"only db, by hash":       {func(f *mok.Facts) { f.Allowed.Lists = byHash }, false, mok.ErrStarts},
		"db is not known":        {func(f *mok.Facts) { f.Allowed = mok.List{Err: syscall.EIO} }, false, mok.ErrCannotTell},
		"db on":                  {func(f *mok.Facts) { f.State.IgnoreDB.Answer = evidence.Yes }, true, nil},
		"its vendor":             {func(f *mok.Facts) { f.Vendor.Allowed = [][]byte{other, signer} }, false, nil},
		"another vendor":         {func(f *mok.Facts) { f.Vendor.Allowed = [][]byte{other} }, false, mok.ErrStarts},
		"enrolled":               {func(f *mok.Facts) { f.State.Enrolled.Lists = lists(other, signer) }, false, nil},
		"enrolled by hash":       {func(f *mok.Facts) { f.State.Enrolled.Lists = byHash }, false, nil},
		"what is enrolled?":      {func(f *mok.Facts) { f.State.Enrolled = mok.List{} }, false, mok.ErrCannotTell},
		"nothing vouches for it": {func(f *mok.Facts) { f.Allowed.Lists = lists(other) }, false, nil},
	} {
		f := facts(machine())
		f.State.IgnoreDB = evidence.Reading{Answer: evidence.No}
		f.Allowed.Lists, f.Allowed.Err = lists(signer), nil
		f.Boot.Programs = []mok.Program{program}
		test.change(&f)
		if err := f.Preflight(mok.Wish{Kind: mok.UseDB, On: test.on}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// signedPart is a list with the hash of a certificate's TBSCertificate, as dbx has them.
func signedPart(c []byte) []efivars.SignatureList {
	parsed, err := x509.ParseCertificate(c)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(parsed.RawTBSCertificate)
	return []efivars.SignatureList{{Type: efivars.X509SHA256, Signatures: []efivars.Signature{{Data: append(sum[:], make([]byte, 16)...)}}}}
}

func TestPreflightNotDER(t *testing.T) {
	odd := func(change func(b []byte) []byte) []byte { return change(der(1000)) }
	for why, b := range map[string][]byte{
		"empty": nil, "text": []byte("-----BEGIN CERTIFICATE-----"), "small": der(259),
		"trailing byte": odd(func(b []byte) []byte { return append(b, 0) }),
		"cut":           odd(func(b []byte) []byte { return b[:len(b)-1] }),
		"no sequence":   odd(func(b []byte) []byte { b[0] = 0x31; return b }),
		"other length":  odd(func(b []byte) []byte { b[1] = 0x83; return b }),
	} {
		err := facts(machine()).Preflight(mok.Wish{Certificates: [][]byte{der(1001), b}})
		var reason *mok.Reason
		if !errors.Is(err, mok.ErrNotDER) || !errors.As(err, &reason) || reason.Subject != 1 {
			t.Errorf("%s: %v", why, err)
		}
	}
	if err := facts(machine()).Preflight(mok.Wish{Certificates: [][]byte{der(260)}}); err != nil {
		t.Error(err)
	}
}

// Several reasons come at once, each with the certificate it is about.
func TestPreflightAllReasons(t *testing.T) {
	f := facts(machine())
	f.Boot.HasManager = evidence.Reading{Answer: evidence.No, Evidence: "no such file"}
	f.Boot.Manager = `\EFI\debian\mmx64.efi`
	f.Pending.Orphans = []string{"MokXDelAuth"}
	err := f.Preflight(mok.Wish{Certificates: [][]byte{der(1000), der(900), der(1000)}})
	for _, want := range []error{mok.ErrMokManagerMissing, mok.ErrOrphanAuth, mok.ErrAlreadyEnrolled, mok.ErrDuplicate, mok.ErrRefused} {
		if !errors.Is(err, want) {
			t.Errorf("%v is missing in: %v", want, err)
		}
	}
	for _, want := range []string{`\EFI\debian\mmx64.efi (no such file)`, "MokXDelAuth"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// Without EFI there is one reason, not one for each variable, and the cause is kept.
func TestPreflightNoEFI(t *testing.T) {
	_, err := efivars.Open(t.TempDir() + "/none")
	f := mok.ReadFacts(efivars.Absent(err), noRoot, mok.BootChain{}, mok.Vendor{})
	err = f.Preflight(mok.Wish{Certificates: [][]byte{der(1000)}})
	var refusal *mok.Refusal
	if !errors.As(err, &refusal) || len(refusal.Reasons) != 1 || !errors.Is(err, mok.ErrCannotTell) ||
		errors.Is(err, mok.ErrRefused) || !errors.Is(err, efivars.ErrNotSupported) || !errors.Is(err, syscall.ENOENT) {
		t.Errorf("%v", err)
	}
	f = mok.ReadFacts(efivars.Absent(efivars.ErrNotMounted), noRoot, mok.BootChain{}, mok.Vendor{})
	if err := f.Preflight(mok.Wish{Certificates: [][]byte{der(1000)}}); !errors.As(err, &refusal) || len(refusal.Reasons) != 1 || !errors.Is(err, efivars.ErrNotMounted) {
		t.Errorf("efivarfs not mounted: %v", err)
	}
}

func TestScreens(t *testing.T) {
	forever := int32(-1)
	for _, timeout := range []*int32{nil, &forever} {
		p := plan(t, machine(), [][]byte{der(1000), der(1001), der(1002)}, timeout)
		var titles []string
		for _, s := range p.Screens {
			titles = append(titles, s.Title)
			if s.Title == "[Enroll MOK]" && strings.Join(s.Items, ",") != "View key 0,View key 1,View key 2,Continue" {
				t.Errorf("%q", s.Items)
			}
		}
		want := "Perform MOK management,[Enroll MOK],Enroll the key(s)?,Password:,Perform MOK management"
		if timeout == nil {
			want = "Press any key to perform MOK management," + want
		}
		if got := strings.Join(titles, ","); got != want {
			t.Error(got)
		}
	}
}

// What another user could see is told from what nobody can.
func TestPreflightKeepsDenied(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "MokListRT", Err: fs.ErrPermission}
	for name, test := range map[string]struct {
		change func(*mok.Facts)
		wish   mok.Wish
	}{
		"the list": {func(f *mok.Facts) {
			f.State.Enrolled, f.State.NotSeen = mok.List{}, []mok.Gap{{Source: "mok-variables/MokListRT", Err: denied}}
		}, mok.Wish{Kind: mok.Enroll, Certificates: [][]byte{der(1000)}}},
		"the list, to be erased": {func(f *mok.Facts) {
			f.State.Enrolled, f.State.NotSeen = mok.List{}, []mok.Gap{{Source: "mok-variables/MokListRT", Err: denied}}
		}, mok.Wish{Kind: mok.Reset}},
		"shim":       {func(f *mok.Facts) { f.Boot = mok.BootChain{Err: denied} }, mok.Wish{Kind: mok.Reset}},
		"MokManager": {func(f *mok.Facts) { f.Boot.HasManager, f.Boot.Err = evidence.Reading{}, denied }, mok.Wish{Kind: mok.Reset}},
	} {
		f := facts(machine())
		test.change(&f)
		if err := f.Preflight(test.wish); !errors.Is(err, mok.ErrCannotTell) || !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
