package main

import (
	"bytes"
	"crypto/elliptic"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kkeys/efivars"
	"kkeys/efivars/efivarstest"
	"kkeys/internal/certtest"
	"kkeys/mok"
)

// firmware is a machine whose firmware has these lists, in user mode unless PK is missing.
func firmware(store *efivarstest.Memory, lists map[efivars.Name][][]byte) {
	for name, ders := range lists {
		var all []efivars.SignatureList
		for _, der := range ders {
			all = append(all, efivars.X509List(efivars.Shim, der))
		}
		data, _ := efivars.EncodeSignatureLists(all)
		store.Seed(name, efivars.AuthenticatedAttributes, data)
	}
	setup := byte(1)
	if lists[efivars.PK] != nil {
		setup = 0
	}
	store.Seed(efivars.SetupMode, efivars.BootService|efivars.Runtime, []byte{setup})
}

// What may be written is written and read back, what may not is refused before, and what the firmware refuses leaves what was there.
func TestUEFIEnroll(t *testing.T) {
	owner := func(cn string, n int) *certtest.Cert { return certtest.SelfSignedWith(t, cn, certtest.RSA(2048, n)) }
	pk, kek, db, fresh, foreign := owner("PK", 21), owner("KEK", 22), owner("db", 23), owner("fresh", 24), owner("foreign", 25)
	microsoft := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.O("Microsoft Corporation"), certtest.CN("a CA")}, SKID: []byte{1}, Key: certtest.RSA(2048, 11)})
	small, curve := certtest.SelfSignedWith(t, "small", certtest.RSA(1024, 26)), certtest.SelfSignedWith(t, "curve", certtest.ECDSA(t, elliptic.P256()))
	dir := t.TempDir()
	for name, c := range map[string]*certtest.Cert{"pk": pk, "kek": kek, "db": db, "fresh": fresh, "foreign": foreign, "small": small, "curve": curve} {
		for file, data := range map[string][]byte{name + ".der": c.DER, name + ".key": c.KeyPEM(t)} {
			if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	own := map[efivars.Name][][]byte{efivars.PK: {pk.DER}, efivars.KEK: {kek.DER}, efivars.DB: {db.DER}}
	theirs := map[efivars.Name][][]byte{efivars.PK: {pk.DER}, efivars.KEK: {kek.DER, microsoft.DER}, efivars.DB: {db.DER}}
	forbidden := map[efivars.Name][][]byte{efivars.PK: {pk.DER}, efivars.KEK: {kek.DER}, efivars.DB: {db.DER}, efivars.DBX: {fresh.DER}}
	none := map[efivars.Name][][]byte{}
	for name, c := range map[string]struct {
		lists map[efivars.Name][][]byte
		args  string
		code  int
		says  string
		holds map[efivars.Name][][]byte // what the variable has then
	}{
		"with the KEK":              {own, "fresh.der --key kek.key --cert kek.der --write", exitYes, "is now in db", map[efivars.Name][][]byte{efivars.DB: {db.DER, fresh.DER}}},
		"with the PK":               {own, "fresh.der --key pk.key --cert pk.der --write", exitNo, "is not in KEK", own},
		"two at once":               {own, "fresh.der foreign.der --key kek.key --cert kek.der --write", exitYes, "", map[efivars.Name][][]byte{efivars.DB: {db.DER, fresh.DER, foreign.DER}}},
		"a KEK with the PK":         {own, "fresh.der --to kek --key pk.key --cert pk.der --write", exitYes, "is now in KEK", map[efivars.Name][][]byte{efivars.KEK: {kek.DER, fresh.DER}}},
		"another PK, only shown":    {own, "fresh.der --to PK --key pk.key --cert pk.der", exitYes, "would replace CN=PK as PK: CN=fresh", own},
		"first PK, only shown":      {none, "pk.der --to PK --key pk.key --cert pk.der", exitYes, "would become PK", none},
		"a KEK too small":           {own, "small.der --to KEK --key pk.key --cert pk.der --write", exitNo, "another key than RSA of at least 2048 bits", own},
		"a PK of another algorithm": {own, "curve.der --to PK --key pk.key --cert pk.der --write", exitNo, "another key than RSA of at least 2048 bits", own},
		"a small one for db":        {own, "small.der --key kek.key --cert kek.der", exitYes, "would be added to db", own},
		"another PK":                {own, "fresh.der --to PK --key pk.key --cert pk.der --write", exitYes, "is now PK, in the place of CN=PK: CN=fresh", map[efivars.Name][][]byte{efivars.PK: {fresh.DER}}},
		"only shown":                {own, "fresh.der --key kek.key --cert kek.der", exitYes, "nothing was written", own},
		"a KEK with a KEK":          {own, "fresh.der --to KEK --key kek.key --cert kek.der --write", exitNo, "is not in PK", own},
		"a foreign key":             {own, "fresh.der --key foreign.key --cert foreign.der --write", exitNo, "is not in KEK", own},
		"another's certificate":     {own, "fresh.der --key foreign.key --cert kek.der --write", exitUsage, "not that of the certificate", own},
		"there already":             {own, "db.der --key kek.key --cert kek.der --write", exitNo, "already in the list", own},
		"twice":                     {own, "fresh.der fresh.der --key kek.key --cert kek.der --write", exitNo, "given twice", own},
		"in dbx":                    {forbidden, "fresh.der --key kek.key --cert kek.der --write", exitNo, "forbidden by the firmware's dbx", forbidden},
		"Microsoft's keys":          {theirs, "fresh.der --key kek.key --cert kek.der --write", exitNo, "--with-microsoft-keys", theirs},
		"Microsoft's keys, named":   {theirs, "fresh.der --key kek.key --cert kek.der --write --with-microsoft-keys", exitYes, "", map[efivars.Name][][]byte{efivars.DB: {db.DER, fresh.DER}}},
		"setup mode":                {none, "fresh.der --key kek.key --cert kek.der --write", exitYes, "", map[efivars.Name][][]byte{efivars.DB: {fresh.DER}}},
		"setup mode, PK":            {none, "pk.der --to PK --key pk.key --cert pk.der --write", exitYes, "db is empty", map[efivars.Name][][]byte{efivars.PK: {pk.DER}}},
		"setup mode, PK of another": {none, "pk.der --to PK --key kek.key --cert kek.der --write", exitNo, "signed by itself", none},
		"two PKs":                   {none, "pk.der kek.der --to PK --key pk.key --cert pk.der --write", exitUsage, "holds one", none},
		"no key":                    {own, "fresh.der --cert kek.der --write", exitUsage, "--key and --cert", own},
		"a certificate for a key":   {own, "fresh.der --key kek.der --cert kek.der --write", exitFailed, "no private key in PEM", own},
		"dbx":                       {own, "fresh.der --to dbx --key kek.key --cert kek.der", exitUsage, "db, KEK or PK", own},
		"no certificate":            {own, "--key kek.key --cert kek.der", exitUsage, "no certificate", own},
		"no file":                   {own, "nowhere.der --key kek.key --cert kek.der", exitFailed, "nowhere.der", own},
	} {
		t.Run(name, func(t *testing.T) {
			m, store, _ := installed(t)
			firmware(store, c.lists)
			args := []string{"uefi", "enroll"}
			for _, word := range strings.Fields(c.args) {
				if strings.HasSuffix(word, ".der") || strings.HasSuffix(word, ".key") {
					word = filepath.Join(dir, word)
				}
				args = append(args, word)
			}
			before := store.Dump()
			got := runOn(t, m, args...)
			if got.code != c.code || !strings.Contains(got.out+got.err, c.says) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", got.code, c.code, c.says, got.out, got.err)
			}
			if c.code != exitYes && store.Dump() != before {
				t.Error("something was written")
			}
			for variable, ders := range c.holds {
				if list := mok.ReadFirmwareList(m.Variables, variable); list.Err != nil || !slicesEqual(list.Certificates(), ders) {
					t.Errorf("%s has %d certificates: %v", variable.Name, len(list.Certificates()), list.Err)
				}
			}
			document := runOn(t, m, append(args, "--json")...)
			if err := validate("uefi-enroll", []byte(document.out)); err != nil {
				t.Error(err)
			}
		})
	}
}

func slicesEqual(a, b [][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

// Whatever the firmware does to the write, it is told truly.
func TestUEFIEnrollFaults(t *testing.T) {
	kek, fresh := certtest.SelfSignedWith(t, "KEK", certtest.RSA(2048, 22)), certtest.SelfSignedWith(t, "fresh", certtest.RSA(2048, 24))
	dir := t.TempDir()
	path := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	args := []string{"uefi", "enroll", path("fresh.der", fresh.DER), "--key", path("kek.key", kek.KeyPEM(t)), "--cert", path("kek.der", kek.DER), "--write"}
	lists := map[efivars.Name][][]byte{efivars.PK: {kek.DER}, efivars.KEK: {kek.DER}}
	m, store, _ := installed(t)
	firmware(store, lists)
	first := store.Operations()
	runOn(t, m, args...)
	last := store.Operations()
	if last-first < 6 {
		t.Errorf("%d operations on the variables", last-first)
	}
	for at := first + 1; at <= last; at++ {
		for _, effect := range []efivarstest.Effect{efivarstest.Refused, efivarstest.Applied, efivarstest.Lie, efivarstest.Truncated} {
			t.Run(fmt.Sprintf("operation %d, effect %d", at, effect), func(t *testing.T) {
				t.Parallel()
				m, store, _ := installed(t)
				firmware(store, lists)
				before := store.Dump()
				store.Fault = &efivarstest.Fault{At: at, Effect: effect}
				got := runOn(t, m, args...)
				store.Fault = nil
				changed := store.Dump() != before
				switch {
				case got.code == exitYes && !mok.ReadFirmwareList(m.Variables, efivars.DB).Has(fresh.DER):
					t.Error("success without effect")
				case got.code != exitYes && strings.Contains(got.err, "was not changed") && changed:
					t.Errorf("it was changed: %s", got.err)
				}
			})
		}
	}
}

// One after the other, as a script does; a clock that was set back; and a file, which is written once and never over another.
func TestUEFIEnrollAgain(t *testing.T) {
	kek, fresh := certtest.SelfSignedWith(t, "KEK", certtest.RSA(2048, 22)), certtest.SelfSignedWith(t, "fresh", certtest.RSA(2048, 24))
	dir := t.TempDir()
	lists := map[efivars.Name][][]byte{efivars.PK: {kek.DER}, efivars.KEK: {kek.DER}}
	for name, data := range map[string][]byte{"fresh.der": fresh.DER, "kek.der": kek.DER, "kek.key": kek.KeyPEM(t)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	enroll := func(cert string, more ...string) []string {
		return append([]string{"uefi", "enroll", filepath.Join(dir, cert), "--key", filepath.Join(dir, "kek.key"), "--cert", filepath.Join(dir, "kek.der")}, more...)
	}
	m, store, _ := installed(t)
	firmware(store, lists)
	for _, cert := range []string{"fresh", "kek"} {
		if got := runOn(t, m, enroll(cert+".der", "--write")...); got.code != exitYes {
			t.Errorf("%s: exit code %d %s", cert, got.code, got.err)
		}
	}
	m, store, _ = installed(t)
	firmware(store, lists)
	store.SeedAt(efivars.DB, time.Now().Add(time.Hour))
	if got := runOn(t, m, enroll("fresh.der", "--write")...); got.code != exitFailed || !strings.Contains(got.err, "db was not changed") || !strings.Contains(got.err, "by this machine's clock") {
		t.Errorf("exit code %d %s", got.code, got.err)
	}
	m, store, _ = installed(t)
	firmware(store, lists)
	file := filepath.Join(dir, "db.auth")
	without := enroll("fresh.der", "--output", file)
	if got := runOn(t, m, without...); got.code != exitYes {
		t.Errorf("exit code %d %s", got.code, got.err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := efivars.ParseUpdate(data); err != nil || !bytes.Contains(u.Content, fresh.DER) {
		t.Errorf("%d bytes of content, %v", len(u.Content), err)
	}
	if got := runOn(t, m, without...); got.code != exitNo || !strings.Contains(got.err, "nothing was written") {
		t.Errorf("exit code %d %s", got.code, got.err)
	}
	got := runOn(t, m, enroll("fresh.der", "--output", "-")...)
	if u, err := efivars.ParseUpdate([]byte(got.out)); got.code != exitYes || err != nil || !bytes.Contains(u.Content, fresh.DER) {
		t.Errorf("exit code %d, %d bytes, %v %s", got.code, len(got.out), err, got.err)
	}
	if got := runOn(t, m, enroll("fresh.der", "--output", "-", "--json")...); got.code != exitUsage {
		t.Errorf("two things on standard output: exit code %d", got.code)
	}
	if got := runOn(t, m, enroll("fresh.der", "--output", os.DevNull)...); got.code != exitNo || !strings.Contains(got.err, os.DevNull+": it is there and is no regular file") {
		t.Errorf("exit code %d %s", got.code, got.err)
	}
	got = runOn(t, m, enroll("fresh.der", filepath.Join(dir, "kek.key"), "--json")...)
	if err := validate("uefi-enroll", []byte(got.out)); err != nil || !strings.Contains(got.out, `"why": "not staged because of another"`) || strings.Count(got.out, `"why": "not exactly one`) != 1 {
		t.Errorf("%v: exit code %d %s", err, got.code, got.out)
	}
}
