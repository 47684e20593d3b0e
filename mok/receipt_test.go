package mok_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kkeys/efivars"
	"kkeys/mok"
)

// The boots of these tests.
const (
	earlier = "00000000-1111-2222-3333-444444444444"
	now     = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
)

var noon = time.Date(2026, 7, 29, 12, 0, 1, 999, time.FixedZone("two hours east", 2*3600))

// receipt is one of kkeys' for these certificates.
func receipt(k mok.Kind, boot string, ders ...[]byte) mok.Receipt {
	var asked []mok.Asked
	for i, der := range ders {
		asked = append(asked, mok.NewAsked(der, fmt.Sprintf("%04x", i), "CN=one & <two>", ""))
	}
	return mok.NewReceipt(mok.Wish{Kind: k}, noon, boot, asked...)
}

func encoded(t testing.TB, receipts ...mok.Receipt) []byte {
	t.Helper()
	b, err := mok.EncodeReceipts(receipts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The form of the file is that of testdata/receipts.json: whoever changes it changes the format's number.
func TestReceiptsForm(t *testing.T) {
	want, err := os.ReadFile(filepath.Join("testdata", "receipts.json"))
	if err != nil {
		t.Fatal(err)
	}
	receipts := []mok.Receipt{receipt(mok.Enroll, earlier, der(900), der(901)), receipt(mok.ResetBlocked, "")}
	if got := encoded(t, receipts...); !bytes.Equal(got, want) {
		t.Errorf("written:\n%s", got)
	}
	got, err := mok.ParseReceipts(want)
	if err != nil || !reflect.DeepEqual(got, receipts) {
		t.Fatalf("read: %+v, %v", got, err)
	}
	if want := time.Date(2026, 7, 29, 10, 0, 1, 0, time.UTC); !got[0].Time.Equal(want) {
		t.Errorf("time %v, want %v", got[0].Time, want)
	}
	none, err := mok.ParseReceipts(encoded(t))
	if err != nil || len(none) != 0 {
		t.Errorf("no receipts: %v, %v", none, err)
	}
}

// MokManager stores a key that is enrolled twice: a reset names it twice, and the receipt once.
func TestReceiptOnce(t *testing.T) {
	ders := [][]byte{der(900), der(900)}
	for n := range 20 {
		ders = append(ders, der(901+n))
	}
	r := receipt(mok.Reset, earlier, ders...)
	if len(r.Certificates) != 16 || r.Certificates[1].SHA256 != sha256.Sum256(der(901)) {
		t.Errorf("%d certificates", len(r.Certificates))
	}
	encoded(t, r)
}

// hostile is what must be refused, each made from a good file by one change.
func hostile(t testing.TB) map[string][]byte {
	good := string(encoded(t, receipt(mok.Enroll, earlier, der(900)), receipt(mok.Reset, earlier)))
	sum := fmt.Sprintf("%x", sha256.Sum256(der(900)))
	change := func(old, new string) []byte {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in %s", old, good)
		}
		return []byte(strings.Replace(good, old, new, 1))
	}
	certificate := good[strings.Index(good, `        {`) : strings.Index(good, `        }`)+9]
	return map[string][]byte{
		"nothing":                     {},
		"cut":                         []byte(good[:len(good)-3]),
		"more behind it":              []byte(good + "{}"),
		"no newline":                  []byte(good[:len(good)-1]),
		"byte order mark":             []byte("\ufeff" + good),
		"an array":                    []byte("[]"),
		"no format":                   change(`  "format": 1,`+"\n", ""),
		"another format":              change(`"format": 1`, `"format": 2`),
		"another format, as text":     change(`"format": 1`, `"format": "1"`),
		"format 1.0":                  change(`"format": 1`, `"format": 1.0`),
		"unknown field":               change(`"kind"`, `"colour": 1, "kind"`),
		"unknown field outside":       change(`"format": 1,`, `"format": 1, "colour": 1,`),
		"field twice":                 change(`"kind": "enroll",`, `"kind": "enroll", "kind": "enroll",`),
		"field in capitals":           change(`"kind"`, `"Kind"`),
		"no list":                     change(`"certificates": []`, `"certificates": null`),
		"white space":                 change(`"kind": `, `"kind":  `),
		"needless escape":             change(`CN=one`, `\u0043N=one`),
		"unknown kind":                change(`"enroll"`, `"enrol"`),
		"no kind":                     change(`"enroll"`, `""`),
		"time of another zone":        change(`01Z`, `01+00:00`),
		"time with a fraction":        change(`01Z`, `01.5Z`),
		"no such time":                change(`2026-07-29`, `2026-02-30`),
		"boot in capitals":            change(earlier, strings.ToUpper(now)),
		"boot without dashes":         change(earlier, strings.ReplaceAll(earlier, "-", "0")),
		"boot with a dash elsewhere":  change(earlier, "0000000-01111-2222-3333-444444444444"),
		"hash in capitals":            change(sum, strings.ToUpper(sum)),
		"hash too short":              change(sum, sum[2:]),
		"hash too long":               change(sum, sum+"00"),
		"hash of odd length":          change(sum, sum[1:]),
		"hash of something else":      change(sum, "zz"+sum[2:]),
		"the same certificate twice":  change(certificate, certificate+",\n"+certificate),
		"no certificate to enroll":    change("[\n"+certificate+"\n      ]", "[]"),
		"certificates for a switch":   change(`"enroll"`, `"use db"`),
		"key id in capitals":          change(`"0000"`, `"AA"`),
		"key id of odd length":        change(`"0000"`, `"000"`),
		"key id too long":             change(`"0000"`, `"`+strings.Repeat("00", 65)+`"`),
		"name too long":               change(`CN=one`, strings.Repeat("n", 200)),
		"name that moves the cursor":  change(`CN=one`, `\u001b[31m`),
		"name with a C1 control":      change(`CN=one`, "\u009b31m"),
		"name that is no UTF-8":       change(`CN=one`, "\xff"),
		"more receipts than are kept": []byte(strings.Replace(good, "  \"receipts\": [\n", "  \"receipts\": [\n"+strings.Repeat("    {\n      \"kind\": \"reset\",\n      \"time\": \"2026-07-29T10:00:01Z\",\n      \"boot\": \"\",\n      \"certificates\": []\n    },\n", mok.ReceiptsMax-1), 1)),
		"larger than any":             append([]byte(good), bytes.Repeat([]byte("\n"), mok.ReceiptsSize)...),
	}
}

func TestReceiptsRefused(t *testing.T) {
	for why, b := range hostile(t) {
		got, err := mok.ParseReceipts(b)
		var corrupt *efivars.CorruptError
		if got != nil || !errors.As(err, &corrupt) || corrupt.Why == "" || corrupt.Offset < 0 || corrupt.Offset > len(b) {
			t.Errorf("%s: %v, %v", why, got, err)
		}
	}
	// Where it is wrong is told.
	b := hostile(t)["field in capitals"]
	_, err := mok.ParseReceipts(b)
	var corrupt *efivars.CorruptError
	if !errors.As(err, &corrupt) || corrupt.Offset != bytes.Index(b, []byte(`Kind"`)) {
		t.Errorf("a field in capitals: %v", err)
	}
}

func TestReceiptsNotWritten(t *testing.T) {
	good := receipt(mok.Enroll, now, der(900))
	for why, change := range map[string]func(*mok.Receipt){
		"unknown kind":     func(r *mok.Receipt) { r.Kind = mok.Kind(99) },
		"a fraction":       func(r *mok.Receipt) { r.Time = r.Time.Add(1) },
		"another zone":     func(r *mok.Receipt) { r.Time = r.Time.In(time.FixedZone("", 0)) },
		"the year 10000":   func(r *mok.Receipt) { r.Time = r.Time.AddDate(8000, 0, 0) },
		"no boot_id":       func(r *mok.Receipt) { r.Boot = "now" },
		"no certificates":  func(r *mok.Receipt) { r.Certificates = nil },
		"a certificate":    func(r *mok.Receipt) { r.Kind, r.Wish = mok.UseDB, mok.Wish{Kind: mok.UseDB}.String() },
		"no such wish":     func(r *mok.Receipt) { r.Wish = "enable validation" },
		"another's wish":   func(r *mok.Receipt) { r.Kind, r.Certificates, r.Wish = mok.UseDB, nil, "enable validation" },
		"a relative path":  func(r *mok.Receipt) { r.Certificates[0].File = "der" },
		"a path with bell": func(r *mok.Receipt) { r.Certificates[0].File = "/\a" },
		"no UTF-8":         func(r *mok.Receipt) { r.Certificates[0].Name = "\xff" },
		"no hex":           func(r *mok.Receipt) { r.Certificates[0].KeyID = "xx" },
		"twice":            func(r *mok.Receipt) { r.Certificates = append(r.Certificates, r.Certificates[0]) },
		"too many for any": func(r *mok.Receipt) { r.Certificates = many(513) },
	} {
		r := good
		r.Certificates = append([]mok.Asked(nil), good.Certificates...)
		change(&r)
		if b, err := mok.EncodeReceipts([]mok.Receipt{r}); b != nil || !errors.Is(err, efivars.ErrInvalid) {
			t.Errorf("%s: %s, %v", why, b, err)
		}
	}
	if b, err := mok.EncodeReceipts(make([]mok.Receipt, mok.ReceiptsMax+1)); b != nil || !errors.Is(err, efivars.ErrInvalid) {
		t.Errorf("too many: %s, %v", b, err)
	}
}

// many are so many different certificates with everything as long as it can be.
func many(n int) []mok.Asked {
	var all []mok.Asked
	for i := range n {
		all = append(all, mok.NewAsked(fmt.Append(nil, i), strings.Repeat("0f", 64), strings.Repeat(`"`, 300), "/"+strings.Repeat(`"`, 299)))
	}
	return all
}

// What a hostile certificate calls itself can be written and shown.
func TestAsked(t *testing.T) {
	a := mok.NewAsked([]byte("der"), strings.Repeat("00", 65), "a\x1b[31m\n\u202e\xff\u009b"+strings.Repeat("ö", 200), "relative")
	if a.SHA256 != sha256.Sum256([]byte("der")) || a.KeyID != "" || a.File != "" || !strings.HasPrefix(a.Name, "a\ufffd[31m\ufffd\ufffd\ufffd\ufffdö") || len(a.Name) > 200 || len(a.Name) < 199 {
		t.Errorf("%+v", a)
	}
	r := mok.NewReceipt(mok.Wish{}, noon, "something else\n", a)
	if r.Boot != "" {
		t.Errorf("boot %q", r.Boot)
	}
	if got, err := mok.ParseReceipts(encoded(t, r)); err != nil || !reflect.DeepEqual(got, []mok.Receipt{r}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// The newest are kept, and all that is kept fits the file.
func TestNewest(t *testing.T) {
	var receipts []mok.Receipt
	for i := range mok.ReceiptsMax + 5 {
		receipts = append(receipts, receipt(mok.Enroll, now, der(900+i)))
	}
	got := mok.Newest(receipts)
	if len(got) != mok.ReceiptsMax || !reflect.DeepEqual(got, receipts[5:]) {
		t.Errorf("%d receipts", len(got))
	}
	encoded(t, got...)
	var large []mok.Receipt
	for range 60 {
		large = append(large, mok.NewReceipt(mok.Wish{}, noon, now, many(10)...))
	}
	got = mok.Newest(append(large, receipts[:1]...))
	if len(got) != 52 || !reflect.DeepEqual(got[51], receipts[0]) {
		t.Errorf("%d receipts", len(got))
	}
	// One that is larger than any loses its end, and is not lost.
	if got := mok.Newest([]mok.Receipt{receipts[0], mok.NewReceipt(mok.Wish{}, noon, now, many(600)...)}); len(got) != 1 || len(got[0].Certificates) != 512 {
		t.Errorf("%d receipts", len(got))
	}
	if got := mok.Newest(nil); len(got) != 0 {
		t.Error(got)
	}
	// As much as there can be.
	var most []mok.Receipt
	for range mok.ReceiptsMax - 1 {
		most = append(most, mok.NewReceipt(mok.Wish{Kind: mok.ResetBlocked}, noon, now))
	}
	b := encoded(t, append(most, mok.NewReceipt(mok.Wish{Kind: mok.Unblock}, noon, now, many(512)...))...)
	if len(b) > mok.ReceiptsSize {
		t.Errorf("%d bytes, more than %d", len(b), mok.ReceiptsSize)
	}
	if got, err := mok.ParseReceipts(b); err != nil || len(got) != mok.ReceiptsMax {
		t.Errorf("%d receipts, %v", len(got), err)
	}
}

func TestForget(t *testing.T) {
	receipts := []mok.Receipt{
		receipt(mok.Enroll, earlier, der(900)), receipt(mok.Delete, earlier, der(900)), receipt(mok.Reset, earlier), receipt(mok.Enroll, now, der(900), der(901)),
	}
	before := encoded(t, receipts...)
	got := mok.Forget(receipts, mok.Enroll, sums(der(900), der(905)))
	want := []mok.Receipt{receipts[1], receipts[2], {Kind: mok.Enroll, Time: receipts[3].Time, Boot: now, Certificates: receipts[3].Certificates[1:]}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if !bytes.Equal(encoded(t, receipts...), before) {
		t.Error("the receipts given were changed")
	}
	if got := mok.Forget(receipts, mok.Enroll, nil); !reflect.DeepEqual(got, receipts) {
		t.Errorf("%+v", got)
	}
	twice := append(slices.Clone(receipts), receipt(mok.Reset, now))
	if got := mok.Forget(twice, mok.Reset, nil); !reflect.DeepEqual(got, receipts) { // the older one still tells what was erased
		t.Errorf("%+v", got)
	}
}

func FuzzParseReceipts(f *testing.F) {
	seeds := hostile(f)
	seeds["good"] = encoded(f, receipt(mok.Enroll, earlier, der(900), der(901)), receipt(mok.Password, ""), mok.NewReceipt(mok.Wish{Kind: mok.TrustList, On: true}, noon, now), mok.NewReceipt(mok.Wish{}, noon, now, many(1)...), receipt(mok.Delete, now, der(900)))
	if len(seeds) < 30 {
		f.Fatalf("%d seeds", len(seeds))
	}
	for _, b := range seeds {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		receipts, err := mok.ParseReceipts(b)
		if err != nil {
			var corrupt *efivars.CorruptError
			if receipts != nil || !errors.As(err, &corrupt) {
				t.Errorf("%v, %v", receipts, err)
			}
			return
		}
		if again := encoded(t, receipts...); !bytes.Equal(again, b) {
			t.Errorf("read\n%s\nwritten\n%s", b, again)
		}
		if kept := mok.Newest(receipts); len(kept) != len(receipts) {
			t.Errorf("%d of %d are kept", len(kept), len(receipts))
		}
	})
}
