package keyring

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Record is [Recorded] in the form that encoding/json writes and reads. Serial numbers and permissions are eight lower-case hex digits,
// errors are words that stand for the sentinels of this package, and the texts that went with them.
type Record struct {
	Keyrings      []RingRecord             `json:"keyrings"`
	KeyringsError *Outcome                 `json:"keyrings_error,omitempty"`
	Inquiries     map[string]InquiryRecord `json:"inquiries"` // by the certificate's SHA-256 in hex
	Witnesses     map[string]InquiryRecord `json:"witnesses"` // by the SHA-256 of the signed part, in hex
}

// KeyRecord is a [Key].
type KeyRecord struct {
	Serial      string `json:"serial"`
	Type        string `json:"type"`
	UID         int    `json:"uid"`
	GID         int    `json:"gid"`
	Permissions string `json:"permissions"`
	Description string `json:"description"`
	// Raw is the description in hex where it is not UTF-8, which JSON cannot hold; Description is empty then.
	Raw string `json:"description_hex,omitempty"`
}

// RingRecord is a [Ring].
type RingRecord struct {
	KeyRecord
	Keys    []KeyRecord `json:"keys"`
	Linked  []KeyRecord `json:"linked_keyrings"`
	Unseen  int         `json:"unseen"`
	Missing int         `json:"missing"`
}

// InquiryRecord is [Asked]: Error when nothing was asked, Refused when the kernel does not take the certificate, otherwise the answers.
type InquiryRecord struct {
	Error       *Outcome       `json:"error,omitempty"`
	Refused     *Outcome       `json:"refused,omitempty"`
	Description string         `json:"description"`
	Raw         string         `json:"description_hex,omitempty"`
	Answers     []AnswerRecord `json:"answers"`
}

// AnswerRecord is an [Answer].
type AnswerRecord struct {
	Restriction string `json:"restriction"`
	Outcome
}

// Outcome is an error as a word and its text; the word "vouched" stands for none.
type Outcome struct {
	Word    string `json:"outcome"`
	Message string `json:"message,omitempty"`
}

// The words of outcomes.
const (
	wordVouched = "vouched" // a nil error in an answer
	wordFailed  = "failed"  // an error that is none of this package's sentinels
)

// words are those of the sentinels. They are in files: they may be added to, never changed.
var words = []struct {
	word string
	is   error
}{
	{"not-visible", ErrNotVisible}, {"unavailable", ErrUnavailable}, {"not-recorded", ErrNotRecorded},
	{"no-voucher", ErrNoVoucher}, {"mismatch", ErrMismatch}, {"no-crypto", ErrCrypto}, {"excluded", ErrExcluded},
	{"malformed", ErrMalformed}, {"rejected", ErrRejected}, {"quota", ErrQuota},
}

// recordedError has the text of the error that was recorded and is the sentinel that it wrapped. The errno under it is of another
// machine and is kept in the text only.
type recordedError struct {
	text string
	is   error
}

func (e *recordedError) Error() string { return e.text }
func (e *recordedError) Unwrap() error { return e.is }

// outcome is nil for nil.
func outcome(err error) *Outcome {
	if err == nil {
		return nil
	}
	for _, w := range words {
		if errors.Is(err, w.is) {
			return &Outcome{w.word, err.Error()}
		}
	}
	return &Outcome{wordFailed, err.Error()}
}

// err gives the error that an outcome stands for; bad is set for a word that nobody writes.
func (o *Outcome) err() (is, bad error) {
	if o == nil {
		return nil, nil
	}
	if o.Word == wordFailed {
		return &recordedError{text: o.Message}, nil
	}
	for _, w := range words {
		if o.Word == w.word {
			return &recordedError{o.Message, w.is}, nil
		}
	}
	return nil, fmt.Errorf("outcome %q is unknown", o.Word)
}

// Record gives the form for writing.
func (r Recorded) Record() Record {
	record := Record{Keyrings: []RingRecord{}, KeyringsError: outcome(r.Err)}
	for _, ring := range r.Found {
		record.Keyrings = append(record.Keyrings, RingRecord{
			KeyRecord: keyRecord(ring.Key), Keys: keyRecords(ring.Keys), Linked: keyRecords(ring.Rings), Unseen: ring.Unseen, Missing: ring.Missing,
		})
	}
	record.Inquiries, record.Witnesses = inquiryRecords(r.Asked), inquiryRecords(r.Witnesses)
	return record
}

func inquiryRecords(all map[[sha256.Size]byte]Asked) map[string]InquiryRecord {
	records := map[string]InquiryRecord{}
	for sum, asked := range all {
		q := InquiryRecord{Error: outcome(asked.Err), Answers: []AnswerRecord{}}
		if asked.Err == nil {
			q.Refused = outcome(asked.Inquiry.Refused)
			q.Description, q.Raw = textOrHex(asked.Inquiry.Description)
			for _, a := range asked.Inquiry.Answers {
				answer := AnswerRecord{string(a.Restriction), Outcome{Word: wordVouched}}
				if a.Err != nil {
					answer.Outcome = *outcome(a.Err)
				}
				q.Answers = append(q.Answers, answer)
			}
		}
		records[hex.EncodeToString(sum[:])] = q
	}
	return records
}

// Recorded reads what Record wrote. An error says which part is not of that form.
func (r Record) Recorded() (Recorded, error) {
	var recorded Recorded
	var err error
	if recorded.Err, err = r.KeyringsError.err(); err != nil {
		return Recorded{}, fmt.Errorf("keyrings_error: %w", err)
	}
	for i, ring := range r.Keyrings {
		read, err := ring.ring()
		if err != nil {
			return Recorded{}, fmt.Errorf("keyring %d: %w", i, err)
		}
		recorded.Found = append(recorded.Found, read)
	}
	if recorded.Asked, err = inquiries(r.Inquiries); err != nil {
		return Recorded{}, err
	}
	if recorded.Witnesses, err = inquiries(r.Witnesses); err != nil {
		return Recorded{}, fmt.Errorf("witnesses: %w", err)
	}
	for sum, asked := range recorded.Witnesses {
		if asked.Inquiry != nil && slices.ContainsFunc(asked.Inquiry.Answers, func(a Answer) bool { return a.Err == nil }) {
			return Recorded{}, fmt.Errorf("witness %x: vouched for, which noise cannot be", sum)
		}
	}
	return recorded, nil
}

func inquiries(records map[string]InquiryRecord) (map[[sha256.Size]byte]Asked, error) {
	all := map[[sha256.Size]byte]Asked{}
	for name, q := range records {
		sum, err := hex.DecodeString(name)
		if err != nil || len(sum) != sha256.Size || hex.EncodeToString(sum) != name {
			return nil, fmt.Errorf("inquiry %.80q: not a SHA-256 in lower-case hex", name)
		}
		asked, err := q.asked()
		if err != nil {
			return nil, fmt.Errorf("inquiry %s: %w", name, err)
		}
		all[[sha256.Size]byte(sum)] = asked
	}
	return all, nil
}

func (q InquiryRecord) asked() (Asked, error) {
	failed, err := q.Error.err()
	if err != nil || failed != nil {
		return Asked{Err: failed}, err
	}
	inquiry := &Inquiry{}
	if inquiry.Refused, err = q.Refused.err(); err != nil {
		return Asked{}, err
	}
	if r := inquiry.Refused; r != nil && !errors.Is(r, ErrMalformed) && !errors.Is(r, ErrRejected) && !errors.Is(r, ErrCrypto) {
		return Asked{}, fmt.Errorf("%.80q is no refusal of a certificate", q.Refused.Word)
	}
	if inquiry.Description, err = fromTextOrHex(q.Description, q.Raw); err != nil {
		return Asked{}, err
	}
	for _, a := range q.Answers {
		answer := Answer{Restriction: Restriction(a.Restriction)}
		if a.Word != wordVouched {
			if answer.Err, err = a.err(); err != nil {
				return Asked{}, fmt.Errorf("answer to %.80q: %w", a.Restriction, err)
			}
		}
		inquiry.Answers = append(inquiry.Answers, answer)
	}
	// A refused certificate was not asked about further; a "vouched" beside it would be believed.
	if inquiry.Refused != nil && len(inquiry.Answers) > 0 {
		return Asked{}, errors.New("answers beside a refusal")
	}
	return Asked{Inquiry: inquiry}, nil
}

func keyRecord(k Key) KeyRecord {
	r := KeyRecord{Serial: k.Serial.String(), Type: k.Type, UID: k.UID, GID: k.GID, Permissions: fmt.Sprintf("%08x", k.Permissions)}
	r.Description, r.Raw = textOrHex(k.Description)
	return r
}

func keyRecords(keys []Key) []KeyRecord {
	records := make([]KeyRecord, len(keys))
	for i, k := range keys {
		records[i] = keyRecord(k)
	}
	return records
}

func (r RingRecord) ring() (Ring, error) {
	ring := Ring{Unseen: r.Unseen, Missing: r.Missing}
	var err error
	if ring.Key, err = r.key(); err != nil {
		return Ring{}, err
	}
	if ring.Type != TypeKeyring || ring.Unseen < 0 || ring.Missing < 0 {
		return Ring{}, fmt.Errorf("%s is no keyring, or counts are negative", ring.Serial)
	}
	for _, k := range r.Keys {
		key, err := k.key()
		if err != nil {
			return Ring{}, err
		}
		ring.Keys = append(ring.Keys, key)
	}
	for _, k := range r.Linked {
		key, err := k.key()
		if err != nil {
			return Ring{}, err
		}
		ring.Rings = append(ring.Rings, key)
	}
	return ring, nil
}

func (r KeyRecord) key() (Key, error) {
	serial, err := hex32(r.Serial)
	if err != nil {
		return Key{}, fmt.Errorf("serial: %w", err)
	}
	permissions, err := hex32(r.Permissions)
	if err != nil {
		return Key{}, fmt.Errorf("permissions of key %s: %w", r.Serial, err)
	}
	k := Key{Serial: Serial(int32(serial)), Type: r.Type, UID: r.UID, GID: r.GID, Permissions: permissions}
	if k.Description, err = fromTextOrHex(r.Description, r.Raw); err != nil {
		return Key{}, fmt.Errorf("key %s: %w", r.Serial, err)
	}
	return k, nil
}

// hex32 reads eight lower-case hex digits and no other form.
func hex32(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 16, 32)
	if err != nil || fmt.Sprintf("%08x", n) != text {
		return 0, fmt.Errorf("%.80q is not 8 lower-case hex digits", text)
	}
	return uint32(n), nil
}

// textOrHex gives a kernel text as it is, or in hex where JSON would change it.
func textOrHex(s string) (text, raw string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	return "", hex.EncodeToString([]byte(s))
}

func fromTextOrHex(text, raw string) (string, error) {
	if raw == "" {
		return text, nil
	}
	b, err := hex.DecodeString(raw)
	if err != nil || text != "" || utf8.Valid(b) || hex.EncodeToString(b) != raw {
		return "", errors.New("description_hex is not hex of what JSON cannot hold")
	}
	return string(b), nil
}
