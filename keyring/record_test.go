package keyring

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kkeys/certs"
	"kkeys/internal/certtest"
)

// answering is a source that gives the same inquiry for every certificate.
type answering struct {
	rings   []Ring
	ringErr error
	inquiry *Inquiry
	err     error
}

func (a answering) Rings() ([]Ring, error) { return a.rings, a.ringErr }

// Ask gives the inquiry, and about a witness that nobody vouches.
func (a answering) Ask(der []byte, _ ...Restriction) (*Inquiry, error) {
	if bytes.Contains(der, []byte("kkeys witness")) && a.err == nil && a.inquiry.Refused == nil {
		return &Inquiry{Description: "witness", Answers: []Answer{{BySecondary, ErrMismatch}}}, nil
	}
	return a.inquiry, a.err
}

func specimen() answering {
	ring := func(serial Serial, name string) Key {
		return Key{Serial: serial, Type: TypeKeyring, Permissions: 0x1f0b0000, Description: name}
	}
	return answering{
		rings: []Ring{
			{Key: ring(0x11, Secondary), Rings: []Key{ring(0x12, Machine)}, Unseen: 1},
			{Key: ring(0x12, Machine), Keys: []Key{
				{Serial: 0x21, Type: TypeAsymmetric, UID: 0, GID: -1, Permissions: 0x1f010000, Description: "evil; \x1b[2J\nname: 05"},
				{Serial: 0x7fffffff, Type: TypeAsymmetric, Description: "not UTF-8 \xff\xfe: 06"},
			}, Missing: 2},
		},
		inquiry: &Inquiry{Description: "me \xff: 01", Answers: []Answer{
			{BySecondary, nil}, {ByBuiltin, fmt.Errorf("%w: errno", ErrNoVoucher)}, {ByRing(0x12), ErrMismatch}, {ByRing(0x11), errors.New("something else")},
		}},
	}
}

func someCertificate(t testing.TB) *certs.Certificate {
	t.Helper()
	c, err := certs.ParseDER(certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("me")}, SKID: []byte{1}}).DER)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func questions(rings []Ring) []Restriction {
	all := []Restriction{BySecondary, ByBuiltin}
	for _, r := range rings {
		all = append(all, ByRing(r.Serial))
	}
	return all
}

// written is what a reader gets of what was written as JSON.
func written(t *testing.T, r Recorded) Recorded {
	t.Helper()
	text, err := json.Marshal(r.Record())
	if err != nil {
		t.Fatal(err)
	}
	var record Record
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&record); err != nil {
		t.Fatal(err)
	}
	back, err := record.Recorded()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return back
}

func TestRecord(t *testing.T) {
	s, c := specimen(), someCertificate(t)
	der := c.Raw
	back := written(t, Take(s, []*certs.Certificate{c, c}, questions))
	rings, err := back.Rings()
	if err != nil || !reflect.DeepEqual(rings, s.rings) {
		t.Errorf("rings %+v, %v\nwant %+v", rings, err, s.rings)
	}
	q, err := back.Ask(der, ByBuiltin, BySecondary, ByRing(0x12), ByRing(0x11), ByRing(0x99))
	if err != nil || q.Description != s.inquiry.Description || q.Refused != nil || len(q.Answers) != 5 {
		t.Fatalf("inquiry %+v, %v", q, err)
	}
	for i, want := range []error{ErrNoVoucher, nil, ErrMismatch, nil, ErrNotRecorded} {
		got := q.Answers[i]
		if want != nil && !errors.Is(got.Err, want) || i == 1 && got.Err != nil || i == 3 && (got.Err == nil || got.Err.Error() != "something else") {
			t.Errorf("answer to %s: %v, want %v", got.Restriction, got.Err, want)
		}
	}
	if got := q.Answers[0].Err.Error(); got != "no key there vouches for it: errno" {
		t.Errorf("the text became %q", got)
	}
	if _, err := back.Ask([]byte("another certificate"), ByBuiltin); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("an unknown certificate: %v", err)
	}
	// A witness is another certificate each time, and the question the same.
	for _, by := range certs.Lookups {
		witness, err := c.Witness(by)
		if err != nil {
			t.Fatal(err)
		}
		if q, err := back.Ask(witness, BySecondary); err != nil || !errors.Is(q.Answers[0].Err, ErrMismatch) {
			t.Errorf("about a witness: %+v, %v", q, err)
		}
	}
	other := certtest.Make(t, certtest.Spec{Subject: certtest.Name{certtest.CN("other")}, SKID: []byte{2}})
	parsed, err := certs.ParseDER(other.DER)
	if err != nil {
		t.Fatal(err)
	}
	witness, err := parsed.Witness(certs.ByKeyID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := back.Ask(witness, BySecondary); !errors.Is(err, ErrNotRecorded) {
		t.Errorf("about a witness for another: %v", err)
	}
}

// Every sentinel comes back as itself, wherever it stood.
func TestRecordErrors(t *testing.T) {
	for _, w := range words {
		is := fmt.Errorf("%w: and why", w.is)
		c := someCertificate(t)
		der := c.Raw
		back := written(t, Take(answering{ringErr: is, err: is}, []*certs.Certificate{c}, questions))
		_, rings := back.Rings()
		_, ask := back.Ask(der)
		if !errors.Is(rings, w.is) || !errors.Is(ask, w.is) || rings.Error() != is.Error() || ask.Error() != is.Error() {
			t.Errorf("%s: rings %v, ask %v", w.word, rings, ask)
		}
		for _, other := range words {
			if other.is != w.is && errors.Is(ask, other.is) {
				t.Errorf("%s became %s too", w.word, other.word)
			}
		}
		taken := Take(answering{inquiry: &Inquiry{Refused: is}}, []*certs.Certificate{c}, questions)
		if !slices.Contains([]error{ErrMalformed, ErrRejected, ErrCrypto}, w.is) {
			if _, err := taken.Record().Recorded(); err == nil || !strings.Contains(err.Error(), "no refusal") {
				t.Errorf("%s as refusal: %v", w.word, err)
			}
			continue
		}
		back = written(t, taken)
		if q, err := back.Ask(der, ByBuiltin); err != nil || !errors.Is(q.Refused, w.is) || len(q.Answers) != 0 {
			t.Errorf("%s as refusal: %+v, %v", w.word, q, err)
		}
	}
}

// Keys that are no matter of trust name servers and people; they are counted, so that a list does not look whole.
func TestTakeLeavesOthersOut(t *testing.T) {
	s := answering{rings: []Ring{{Key: Key{Serial: 5, Type: TypeKeyring, Description: ".dns_resolver"}, Keys: []Key{{Serial: 6, Type: "dns_resolver", Description: "secret.example"}}, Unseen: 1}}}
	r := Take(s, nil, questions)
	if len(r.Found) != 1 || len(r.Found[0].Keys) != 0 || r.Found[0].Unseen != 2 {
		t.Errorf("%+v", r.Found)
	}
	if text, _ := json.Marshal(r.Record()); strings.Contains(string(text), "secret") {
		t.Errorf("%s", text)
	}
	if len(s.rings[0].Keys) != 1 {
		t.Error("the source was changed")
	}
}

const (
	goodKey     = `"serial":"00000011","type":"keyring","uid":0,"gid":0,"permissions":"1f0b0000","description":".machine"`
	goodRing    = `{` + goodKey + `,"keys":[],"linked_keyrings":[],"unseen":0,"missing":0}`
	goodInquiry = `{"description":"me","answers":[{"restriction":"builtin_trusted","outcome":"vouched"}]}`
)

func sum() string { return fmt.Sprintf("%x", sha256.Sum256(nil)) }

var hostile = map[string]string{
	"unknown word":           `{"keyrings_error":{"outcome":"fine"}}`,
	"vouched is no error":    `{"keyrings_error":{"outcome":"vouched"}}`,
	"serial too long":        `{"keyrings":[` + strings.Replace(goodRing, "00000011", "0000000011", 1) + `]}`,
	"serial in capitals":     `{"keyrings":[` + strings.Replace(goodRing, "00000011", "000000AB", 1) + `]}`,
	"permissions no number":  `{"keyrings":[` + strings.Replace(goodRing, "1f0b0000", "1f0b000x", 1) + `]}`,
	"no keyring":             `{"keyrings":[` + strings.Replace(goodRing, `"keyring"`, `"user"`, 1) + `]}`,
	"negative count":         `{"keyrings":[` + strings.Replace(goodRing, `"unseen":0`, `"unseen":-1`, 1) + `]}`,
	"two descriptions":       `{"keyrings":[{` + goodKey + `,"description_hex":"ff"}]}`,
	"hex of plain text":      `{"keyrings":[{` + strings.Replace(goodKey, ".machine", "", 1) + `,"description_hex":"41"}]}`,
	"key in a ring":          `{"keyrings":[` + strings.Replace(goodRing, `"keys":[]`, `"keys":[{"serial":"x"}]`, 1) + `]}`,
	"link in a ring":         `{"keyrings":[` + strings.Replace(goodRing, `"linked_keyrings":[]`, `"linked_keyrings":[{"serial":"x"}]`, 1) + `]}`,
	"no digest":              `{"inquiries":{"00":` + goodInquiry + `}}`,
	"answer of unknown word": `{"inquiries":{"` + sum() + `":` + strings.Replace(goodInquiry, "vouched", "sure", 1) + `}}`,
	"vouched and refused":    `{"inquiries":{"` + sum() + `":` + strings.Replace(goodInquiry, `{"d`, `{"refused":{"outcome":"rejected"},"d`, 1) + `}}`,
	"unknown refusal":        `{"inquiries":{"` + sum() + `":{"refused":{"outcome":"x"}}}}`,
	"unknown error":          `{"inquiries":{"` + sum() + `":{"error":{"outcome":"x"}}}}`,
	"witness vouched for":    `{"witnesses":{"` + sum() + `":` + goodInquiry + `}}`,
	"inquiry's description":  `{"inquiries":{"` + sum() + `":{"description":"x","description_hex":"ff"}}}`,
}

func TestRecordRefuses(t *testing.T) {
	for name, text := range hostile {
		var record Record
		if err := json.Unmarshal([]byte(text), &record); err != nil {
			t.Errorf("%s is no JSON of this form: %v", name, err)
		}
		if r, err := record.Recorded(); err == nil || r.Found != nil || r.Asked != nil {
			t.Errorf("%s: %+v, %v, want an error alone", name, r, err)
		}
	}
	var record Record
	if err := json.Unmarshal([]byte(`{"keyrings":[`+goodRing+`],"inquiries":{"`+sum()+`":`+goodInquiry+`}}`), &record); err != nil {
		t.Fatal(err)
	}
	if _, err := record.Recorded(); err != nil {
		t.Errorf("the base is refused: %v", err)
	}
}

func FuzzRecord(f *testing.F) {
	for _, text := range hostile {
		f.Add([]byte(text))
	}
	s := specimen()
	good, err := json.Marshal(Take(s, []*certs.Certificate{someCertificate(f)}, questions).Record())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		var record Record
		if json.Unmarshal(text, &record) != nil {
			return
		}
		recorded, err := record.Recorded()
		if err != nil {
			return
		}
		first, err := json.Marshal(recorded.Record())
		if err != nil {
			t.Fatal(err)
		}
		var again Record
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatal(err)
		}
		back, err := again.Recorded()
		if err != nil || !reflect.DeepEqual(back, recorded) {
			t.Errorf("%v\n%+v\nbecame\n%+v", err, recorded, back)
		}
	})
}

// A record without keyrings and without a reason shows nothing, rather than a kernel that has none.
func TestEmptyRecord(t *testing.T) {
	read, err := Record{}.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	if rings, err := read.Rings(); rings != nil || !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, %v", rings, err)
	}
}
