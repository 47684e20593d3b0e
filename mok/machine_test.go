package mok_test

import (
	"slices"
	"testing"
	"testing/fstest"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/evidence"
	"kkeys/mok"
)

// volatile are the attributes of what shim mirrors.
const volatile = efivars.BootService | efivars.Runtime

var noRoot = fstest.MapFS{}

// placeholder is shim's list of one zero digest.
func placeholder() []byte {
	b, _ := efivars.EncodeSignatureLists([]efivars.SignatureList{{
		Type: efivars.SHA256, Signatures: []efivars.Signature{{Owner: efivars.Shim, Data: make([]byte, 32)}}}})
	return b
}

// machine is one with Secure Boot that was booted through shim and where the user enrolled nothing.
func machine() *efivarstest.Memory {
	m := efivarstest.NewMemory()
	m.Seed(efivars.SecureBoot, volatile, []byte{1})
	m.Seed(efivars.SetupMode, volatile, []byte{0})
	m.Seed(mok.Variable("MokListRT"), volatile, keyList(der(900)))
	m.Seed(mok.Variable("MokListXRT"), volatile, placeholder())
	m.Seed(mok.Variable("MokListTrustedRT"), volatile, []byte{1})
	m.Seed(mok.Variable("SbatLevelRT"), volatile, []byte("sbat,1,2025021800\n"))
	return m
}

// goodBoot goes through shim, with MokManager beside it.
var goodBoot = mok.BootChain{
	Loader: `\EFI\debian\shimx64.efi`, IsShim: evidence.Reading{Answer: evidence.Yes},
	Manager: `\EFI\debian\mmx64.efi`, HasManager: evidence.Reading{Answer: evidence.Yes},
}

// der looks like a certificate of n bytes to shim, and is another one for each n.
func der(n int) []byte {
	b := make([]byte, n)
	copy(b, []byte{0x30, 0x82, byte((n - 4) >> 8), byte(n - 4)})
	return b
}

func keyList(ders ...[]byte) []byte {
	var lists []efivars.SignatureList
	for _, d := range ders {
		lists = append(lists, efivars.X509List(efivars.Shim, d))
	}
	b, err := efivars.EncodeSignatureLists(lists)
	if err != nil {
		panic(err)
	}
	return b
}

// auth is a record of the right form, quickly made.
func auth(t testing.TB, password string) mok.Auth {
	t.Helper()
	a, err := mok.NewAuth(password)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func plan(t testing.TB, s efivars.Store, ders [][]byte, timeout *int32) *mok.Plan {
	t.Helper()
	return planFor(t, s, mok.Wish{Certificates: ders, Timeout: timeout})
}

func planFor(t testing.TB, s efivars.Store, w mok.Wish) *mok.Plan {
	t.Helper()
	root := noRoot
	if w.Kind == mok.TrustList { // which is told in the table alone
		root = table(map[string][]byte{"MokListRT": keyList(der(900)), "MokListTrustedRT": {1}})
	}
	p, err := mok.NewPlan(mok.ReadFacts(s, root, goodBoot, mok.Vendor{Allowed: [][]byte{der(900)}}), w)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func stage(t testing.TB, s efivars.Store, ders [][]byte, password string, timeout *int32) {
	t.Helper()
	if err := plan(t, s, ders, timeout).Stage(s, auth(t, password)); err != nil {
		t.Fatal(err)
	}
}

// holds tells which of shim's request variables are there.
func holds(t testing.TB, m *efivarstest.Memory) []string {
	t.Helper()
	names, err := m.Clone().List()
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	requests := []string{"MokNew", "MokAuth", "MokDel", "MokDelAuth", "MokXNew", "MokXAuth", "MokXDel", "MokXDelAuth",
		"MokSB", "MokDB", "MokPW", "MokListTrustedNew", "MokTimeout"}
	for _, n := range names {
		if n.Vendor == efivars.Shim && slices.Contains(requests, n.Name) {
			there = append(there, n.Name)
		}
	}
	return there
}
