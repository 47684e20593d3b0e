package mok_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"kkeys/efivars"
	"kkeys/mok"
)

// The hashes of the password hunter22 with the salt abcdefgh and 5000 rounds, which MokManager 16.1 accepts.
const (
	golden512 = "ba621f96b33f82cd333e42543012aabc991aa2dad8ea224dfc05d26626f21f0eaa390406a2d2252640b39804bae908789acfb5c403c25eeabae7bd4eb0792634"
	golden256 = "a348f183b6e24711842e36567ab055bf430088112e46c88cff54a7e6b16137f0"
	// bcrypt, cost 5: only recognised
	goldenSalt = "$2y$05$abcdefghijklmnopqrstuu\x00"
	goldenTail = "Z6QNu0NKXZkZHC5hsQUItfxcGamvB8i"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record is 172 bytes with these fields.
func record(method byte, rounds uint16, salt, hash string) []byte {
	b := make([]byte, 172)
	b[0], b[2], b[3], b[10] = method, byte(rounds), byte(rounds>>8), byte(len(salt))
	copy(b[12:44], salt)
	copy(b[44:], hash)
	return b
}

func TestGolden(t *testing.T) {
	for method, golden := range map[mok.Method]string{mok.SHA512: golden512, mok.SHA256: golden256} {
		b := record(byte(method), 5000, "abcdefgh", string(unhex(t, golden)))
		if method == mok.SHA512 && !bytes.HasPrefix(b, unhex(t, "04008813000000000000080061626364656667680000")) {
			t.Fatalf("% x", b[:20])
		}
		a, err := mok.ParseAuth(b)
		if err != nil || a.Method != method || a.Rounds != 5000 || string(a.Salt) != "abcdefgh" {
			t.Fatalf("%+v, %v", a, err)
		}
		if ok, err := a.Verify("hunter22"); !ok || err != nil {
			t.Errorf("%s: %v, %v", method, ok, err)
		}
		for _, wrong := range []string{"", "hunter2", "hunter222", "Hunter22"} {
			if ok, _ := a.Verify(wrong); ok {
				t.Errorf("%s accepts %q", method, wrong)
			}
		}
		if again, err := a.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x, %v", again, err)
		}
	}
}

func TestNewAuth(t *testing.T) {
	seen := map[string]bool{}
	for range 5 {
		a := auth(t, "hunter22")
		if a.Method != mok.SHA512 || a.Rounds != 5000 || len(a.Salt) != 16 || len(a.Hash) != 64 || seen[string(a.Salt)] {
			t.Errorf("%+v", a)
		}
		seen[string(a.Salt)] = true
		if strings.Trim(string(a.Salt), "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("salt %q", a.Salt)
		}
		b, err := a.Encode()
		if err != nil || len(b) != mok.AuthSize {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
		back, err := mok.ParseAuth(b)
		if ok, verr := back.Verify("hunter22"); err != nil || verr != nil || !ok {
			t.Errorf("%v, %v, %v", ok, err, verr)
		}
	}
	for _, p := range []string{strings.Repeat("x", 256), " ", "~", "a b!\"$"} {
		if a := auth(t, p); a.Method != mok.SHA512 {
			t.Errorf("%q: %+v", p, a)
		}
	}
	for _, p := range []string{"", strings.Repeat("x", 257), "grün", "tab\there", "line\n", "nul\x00", "\x7f", "\xff"} {
		if a, err := mok.NewAuth(p); !errors.Is(err, mok.ErrPassword) || a.Hash != nil {
			t.Errorf("%q: %+v, %v", p, a, err)
		}
	}
}

func TestOtherMethods(t *testing.T) {
	for method, b := range map[mok.Method][]byte{
		mok.DES: record(0, 25, "ab", "abJnggxhB/yWI"), mok.BSDI: record(1, 0, "", "x"),
		mok.MD5: record(2, 1000, "abcdefgh", "0123456789abcdef"), mok.Bcrypt: record(5, 0, goldenSalt, goldenTail),
	} {
		a, err := mok.ParseAuth(b)
		if err != nil || a.Method != method || method.Usable() {
			t.Errorf("%s: %+v, %v", method, a, err)
		}
		if again, err := a.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: %x, %v", method, again, err)
		}
		if ok, err := a.Verify("hunter22"); ok || !errors.Is(err, mok.ErrMethod) {
			t.Errorf("%s: %v, %v", method, ok, err)
		}
		m := machine()
		if err := plan(t, m, [][]byte{der(1000)}, nil).Stage(m, a); !errors.Is(err, mok.ErrMethod) || len(holds(t, m)) != 0 {
			t.Errorf("%s was staged: %v", method, err)
		}
	}
}

// hostileAuths are records that nobody writes.
func hostileAuths() map[string][]byte {
	good := record(4, 5000, "abcdefgh", strings.Repeat("h", 64))
	patch := func(at int, v byte) []byte { b := slices.Clone(good); b[at] = v; return b }
	return map[string][]byte{
		"empty": {}, "legacy": make([]byte, 32), "one short": good[:171], "one long": append(slices.Clone(good), 0),
		"unknown method": patch(0, 6), "method of two bytes": patch(1, 1), "salt of 17": patch(10, 17), "salt of 33": patch(10, 33),
		"salt of 64 KiB": patch(11, 0xff), "salt goes on": patch(20, 'x'), "salt's last byte": patch(43, 1),
		"hash goes on": patch(44+64, 1), "hash's last byte": patch(171, 1),
	}
}

func TestHostileAuths(t *testing.T) {
	for why, b := range hostileAuths() {
		if a, err := mok.ParseAuth(b); !errors.Is(err, efivars.ErrCorrupt) && !errors.Is(err, mok.ErrMethod) || a.Hash != nil {
			t.Errorf("%s: %+v, %v", why, a, err)
		}
	}
	for _, a := range []mok.Auth{
		{Method: mok.SHA512, Rounds: 5000, Salt: make([]byte, 33), Hash: make([]byte, 64)},
		{Method: mok.SHA512, Rounds: 5000, Hash: make([]byte, 32)}, {Method: mok.MD5, Hash: make([]byte, 129)},
	} {
		if b, err := a.Encode(); !errors.Is(err, mok.ErrMethod) || b != nil {
			t.Errorf("%+v: %v", a, err)
		}
	}
	// Such rounds fit the record, but glibc and shim would disagree about them.
	for _, rounds := range []uint64{0, 999, 1000000000, 1 << 40} {
		a := mok.Auth{Method: mok.SHA256, Rounds: rounds, Hash: make([]byte, 32)}
		if ok, err := a.Verify("x"); ok || !errors.Is(err, mok.ErrMethod) {
			t.Errorf("%d rounds: %v, %v", rounds, ok, err)
		}
	}
}

const (
	crypt6 = "$6$saltsalt$" // what follows is in testdata/mokutil/hash6
	tail5  = "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"

	tail10000 = "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA"
)

func TestAuthFromCrypt(t *testing.T) {
	hash6 := strings.TrimSpace(string(fixture(t, "hash6")))
	if !strings.HasPrefix(hash6, crypt6) {
		t.Fatal(hash6)
	}
	tail := strings.TrimPrefix(hash6, crypt6)
	// From openssl passwd -5, the second with rounds and a newline after it.
	for _, text := range []string{"$5$saltstring$" + tail5, "$5$rounds=10000$saltstringsaltst$" + tail10000 + "\n"} {
		a, err := mok.AuthFromCrypt(text)
		if ok, verr := a.Verify("Hello world!"); err != nil || verr != nil || !ok {
			t.Errorf("%q: %+v, %v, %v", text, a, err, verr)
		}
	}
	for _, s := range []string{hash6, hash6 + "\n", "$6$rounds=5000$saltsalt$" + tail} {
		a, err := mok.AuthFromCrypt(s)
		if ok, verr := a.Verify("hunter22"); err != nil || verr != nil || !ok || a.Rounds != 5000 {
			t.Errorf("%q: %+v, %v, %v", s, a, err, verr)
		}
	}
	for s, want := range map[string]error{
		"":                                   mok.ErrHashString,
		"hunter22":                           mok.ErrHashString,
		"$":                                  mok.ErrMethod,
		"$1$abcdefgh$G5uVkb1LT4CpTKmwCuLHf.": mok.ErrMethod,
		"$y$j9T$x$y":                         mok.ErrMethod,
		"$2y$05$abc":                         mok.ErrMethod,
		"!" + hash6:                          mok.ErrHashString,
		"*":                                  mok.ErrHashString,
		"$6$":                                mok.ErrHashString,
		"$6$salt":                            mok.ErrHashString,
		"$6$saltsalt$":                       mok.ErrHashString,
		hash6[:len(hash6)-1]:                 mok.ErrHashString,
		hash6 + ".":                          mok.ErrHashString,
		hash6 + "$":                          mok.ErrHashString,
		hash6 + "\n\n":                       mok.ErrHashString,
		hash6[:len(hash6)-1] + "!":           mok.ErrHashString,
		hash6[:len(hash6)-1] + "z":           mok.ErrHashString, // bits that no digest has
		crypt6 + "rounds=5000$" + tail:       mok.ErrHashString,
		"$6$rounds=5000$" + tail:             mok.ErrHashString,
		"$6$rounds=$saltsalt$" + tail:        mok.ErrHashString,
		"$6$rounds=05000$saltsalt$" + tail:   mok.ErrHashString,
		"$6$rounds=-1$saltsalt$" + tail:      mok.ErrHashString,
		"$6$rounds=999$saltsalt$" + tail:     mok.ErrMethod,
		"$6$rounds=1000000000$salt$" + tail:  mok.ErrMethod,
		"$6$saltsaltsaltsalts$" + tail:       mok.ErrMethod,
		"$6$salt salt$" + tail:               mok.ErrHashString,
		"$6$salt:salt$" + tail:               mok.ErrHashString,
		"$6$s\xffalt$" + tail:                mok.ErrHashString,
		"$5$saltsalt$" + tail:                mok.ErrHashString,
	} {
		if a, err := mok.AuthFromCrypt(s); !errors.Is(err, want) || a.Hash != nil {
			t.Errorf("%q: %+v, %v", s, a, err)
		}
	}
}

func FuzzAuth(f *testing.F) {
	f.Add(recorded(f, "one-mokauth"))
	f.Add(recorded(f, "hash5-mokauth"))
	f.Add(recorded(f, "clear-password"))
	f.Add(record(5, 0, goldenSalt, goldenTail))
	for _, b := range hostileAuths() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := mok.ParseAuth(b)
		if err != nil {
			if a.Hash != nil || a.Salt != nil {
				t.Fatalf("%+v with %v", a, err)
			}
			return
		}
		if again, err := a.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded as %x, %v", again, err)
		}
	})
}

func FuzzCryptString(f *testing.F) {
	f.Add(string(fixture(f, "hash6")))
	f.Add(string(fixture(f, "hash5")))
	f.Add("$6$rounds=1000$$")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := mok.AuthFromCrypt(s)
		if err != nil {
			if a.Hash != nil {
				t.Fatalf("%+v with %v", a, err)
			}
			return
		}
		b, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := mok.ParseAuth(b); err != nil || !bytes.Equal(again.Hash, a.Hash) || !bytes.Equal(again.Salt, a.Salt) {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}
