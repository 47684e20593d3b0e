package mok

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kkeys/efivars"
)

// Receipt is a request that kkeys staged: what, when, and in which boot. Nothing else remembers it: MokManager deletes a request before
// anybody has answered it, and neither firmware nor shim keeps a trace of one that was turned down. It holds nothing secret.
type Receipt struct {
	Kind Kind
	// Time of staging, UTC, in whole seconds, by the system's clock: for people, no order rests on it.
	Time time.Time
	// Boot is the kernel's boot_id (drivers/char/random.c), a UUID in lower case that is new with each start of a kernel, by kexec too, and
	// the same after hibernation; empty when it was not known.
	Boot string
	// Wish of a switch or about MokManager's own password, in the words of [Wish]; empty for other kinds.
	Wish string
	// Certificates that were to be enrolled, deleted, blocked or unblocked. For a reset, some of what it was to erase, as far as that was known:
	// they tell afterwards whether it was done. None for other kinds.
	Certificates []Asked
}

// Asked is a certificate, or a hash, in a receipt.
type Asked struct {
	// SHA256 of the whole DER, or of the hash, is what identifies it.
	SHA256 [sha256.Size]byte
	// KeyID in lower-case hex and Name are for people. Both may be empty.
	KeyID, Name string
	// File is the absolute path that it came from, to ask for it again; empty when it was in none.
	File string
}

// The bounds of a file of receipts.
const (
	// ReceiptsMax is how many are kept. Only the newest about a certificate counts, and nobody asks for a hundred between two boots; without a
	// bound a job that asks at each update would let the file grow for ever, and with it what every look at it costs.
	ReceiptsMax = 100
	// ReceiptsSize is the largest file in bytes. All that the other bounds allow fits.
	ReceiptsSize = 1 << 20

	askedMax = 512 // certificates in all receipts; 400 hashes fit into a request of 30 KiB
	resetMax = 16  // certificates in the receipt of a reset
	keyIDMax = 128 // hex digits
	nameMax  = 200 // bytes
	fileMax  = 300 // bytes
)

// receiptsFormat is the version of the file. A reader refuses any other, since its fields may mean something else.
const receiptsFormat = 1

// timeForm is RFC 3339 in UTC without fractions.
const timeForm = "2006-01-02T15:04:05Z"

// The JSON of the file.
type (
	receiptsFile struct {
		Format   int           `json:"format"`
		Receipts []receiptFile `json:"receipts"`
	}
	receiptFile struct {
		Kind         string      `json:"kind"`
		Time         string      `json:"time"`
		Boot         string      `json:"boot"`
		Wish         string      `json:"wish,omitempty"`
		Certificates []askedFile `json:"certificates"`
	}
	askedFile struct {
		SHA256 string `json:"sha256"`
		KeyID  string `json:"key_id"`
		Name   string `json:"name"`
		File   string `json:"file,omitempty"`
	}
)

// NewReceipt is a receipt for a wish staged now. A boot that is no boot_id is taken for unknown. A certificate that is named twice, as MokManager
// stores one that is enrolled twice, stands in it once. Of more than a receipt holds the first are kept.
func NewReceipt(w Wish, now time.Time, boot string, certificates ...Asked) Receipt {
	if !bootID.MatchString(boot) {
		boot = ""
	}
	most := askedMax
	if w.Kind.resets() {
		most = resetMax
	}
	var once []Asked
	for _, a := range certificates {
		if !slices.ContainsFunc(once, func(o Asked) bool { return o.SHA256 == a.SHA256 }) {
			once = append(once, a)
		}
	}
	once = once[:min(len(once), most)]
	return Receipt{Kind: w.Kind, Time: now.UTC().Truncate(time.Second), Boot: boot, Wish: w.words(), Certificates: once}
}

// NewAsked describes a certificate or a hash for a receipt. What of its name would not be printed is replaced, and a long one is cut; a key id
// longer than any in use is left out, and so is a path that is not absolute, too long, or would move a cursor.
func NewAsked(data []byte, keyID, name, file string) Asked {
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, name)
	for len(name) > nameMax {
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	if len(keyID) > keyIDMax {
		keyID = ""
	}
	if !plainFile(file) {
		file = ""
	}
	return Asked{SHA256: sha256.Sum256(data), KeyID: keyID, Name: name, File: file}
}

// Newest gives the receipts that fit the bounds of a file, dropping the oldest, which stand first.
func Newest(receipts []Receipt) []Receipt {
	asked, from := 0, len(receipts)
	for from > 0 && len(receipts)-from < ReceiptsMax && asked+len(receipts[from-1].Certificates) <= askedMax {
		from--
		asked += len(receipts[from].Certificates)
	}
	return receipts[from:]
}

// Forget takes certificates and hashes, given by their sums, out of all receipts of a kind, and receipts that are then empty: what was taken
// back was never answered by anybody. Of a switch it takes all
// receipts; of a reset the newest, because an older one tells what became of the certificates before it.
func Forget(receipts []Receipt, k Kind, sums [][sha256.Size]byte) []Receipt {
	var kept []Receipt
	newest := -1
	for i, r := range receipts {
		if r.Kind == k {
			newest = i
		}
	}
	for i, r := range receipts {
		if r.Kind == k && k.listed() {
			r.Certificates = slices.DeleteFunc(slices.Clone(r.Certificates), func(a Asked) bool { return slices.Contains(sums, a.SHA256) })
		}
		if r.Kind == k && (i == newest || !k.resets()) && (!k.listed() || len(r.Certificates) == 0) {
			continue
		}
		kept = append(kept, r)
	}
	return kept
}

// ParseReceipts reads a file of receipts, the oldest first. It takes no other form than that of [EncodeReceipts], to the byte. Its error is a
// *efivars.CorruptError, also for a version of the file that it does not know.
func ParseReceipts(b []byte) ([]Receipt, error) {
	bad := func(at int, err error) ([]Receipt, error) {
		return nil, &efivars.CorruptError{What: "file of receipts", Offset: at, Why: err.Error()}
	}
	if len(b) > ReceiptsSize {
		return bad(ReceiptsSize, fmt.Errorf("%d bytes, more than %d", len(b), ReceiptsSize))
	}
	var version struct{ Format int }
	if err := json.Unmarshal(b, &version); err != nil {
		return bad(jsonOffset(err), err)
	}
	if version.Format != receiptsFormat {
		return bad(0, fmt.Errorf("format %d, known is %d", version.Format, receiptsFormat))
	}
	var file receiptsFile
	if err := json.Unmarshal(b, &file); err != nil {
		return bad(jsonOffset(err), err)
	}
	receipts, err := file.receipts()
	if err != nil {
		return bad(0, err)
	}
	again, err := EncodeReceipts(receipts)
	if err != nil {
		return bad(0, err)
	}
	// encoding/json takes unknown fields, fields that stand twice or in capitals, null, and any white space.
	if at := differ(b, again); at >= 0 {
		return bad(at, errors.New("not in the form that kkeys writes"))
	}
	return receipts, nil
}

// jsonOffset is where encoding/json stopped.
func jsonOffset(err error) int {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return int(syntax.Offset)
	case errors.As(err, &kind):
		return int(kind.Offset)
	}
	return 0
}

// differ is the offset of the first difference, -1 if there is none.
func differ(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return at
}

// receipts decodes the texts.
func (f receiptsFile) receipts() ([]Receipt, error) {
	if len(f.Receipts) > ReceiptsMax {
		return nil, fmt.Errorf("%d receipts, more than %d", len(f.Receipts), ReceiptsMax)
	}
	var receipts []Receipt
	for i, from := range f.Receipts {
		r := Receipt{Kind: kinds, Boot: from.Boot, Wish: from.Wish}
		for _, k := range Kinds() {
			if k.String() == from.Kind {
				r.Kind = k
			}
		}
		if !r.Kind.valid() {
			return nil, fmt.Errorf("receipt %d: unknown kind %.40q", i, from.Kind)
		}
		var err error
		if r.Time, err = time.Parse(timeForm, from.Time); err != nil {
			return nil, fmt.Errorf("receipt %d: time %.40q is not as in %s", i, from.Time, timeForm)
		}
		if len(from.Certificates) > askedMax {
			return nil, fmt.Errorf("receipt %d: %d certificates, more than %d", i, len(from.Certificates), askedMax)
		}
		for j, c := range from.Certificates {
			a := Asked{KeyID: c.KeyID, Name: c.Name, File: c.File}
			if len(c.SHA256) != hex.EncodedLen(len(a.SHA256)) || !isHex(c.SHA256) {
				return nil, fmt.Errorf("receipt %d, certificate %d: %.80q is no SHA-256 in lower-case hex", i, j, c.SHA256)
			}
			_, _ = hex.Decode(a.SHA256[:], []byte(c.SHA256)) // it is hex
			r.Certificates = append(r.Certificates, a)
		}
		receipts = append(receipts, r)
	}
	return receipts, nil
}

// EncodeReceipts writes a file of receipts: indented JSON, for people too. ErrInvalid of efivars for what no receipt holds, and for more than
// the bounds allow; see [Newest].
func EncodeReceipts(receipts []Receipt) ([]byte, error) {
	bad := func(format string, args ...any) ([]byte, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{efivars.ErrInvalid}, args...)...)
	}
	file, asked := receiptsFile{Format: receiptsFormat, Receipts: []receiptFile{}}, 0
	for i, r := range receipts {
		if err := r.check(); err != nil {
			return bad("receipt %d: %w", i, err)
		}
		to := receiptFile{Kind: r.Kind.String(), Time: r.Time.Format(timeForm), Boot: r.Boot, Wish: r.Wish, Certificates: []askedFile{}}
		for _, a := range r.Certificates {
			to.Certificates = append(to.Certificates, askedFile{hex.EncodeToString(a.SHA256[:]), a.KeyID, a.Name, a.File})
		}
		asked += len(r.Certificates)
		file.Receipts = append(file.Receipts, to)
	}
	if len(receipts) > ReceiptsMax || asked > askedMax {
		return bad("%d receipts for %d certificates, more than %d for %d", len(receipts), asked, ReceiptsMax, askedMax)
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(file); err != nil {
		return bad("%w", err)
	}
	return b.Bytes(), nil
}

// listed tells the kinds whose requests are lists.
func (k Kind) listed() bool { return k == Enroll || k == Delete || k == Block || k == Unblock }

// resets tells the kinds that erase a list.
func (k Kind) resets() bool { return k == Reset || k == ResetBlocked }

// check tells what is wrong with a receipt.
func (r Receipt) check() error {
	switch {
	case !r.Kind.valid():
		return errors.New("unknown kind")
	case r.Kind.listed() && len(r.Certificates) == 0, !r.Kind.listed() && !r.Kind.resets() && len(r.Certificates) > 0:
		return fmt.Errorf("%d certificates to %s", len(r.Certificates), r.Kind)
	case r.Wish != wishes[r.Kind][0] && r.Wish != wishes[r.Kind][1]:
		return fmt.Errorf("%.40q is no wish about %s", r.Wish, r.Kind)
	case r.Time.Location() != time.UTC || r.Time.Nanosecond() != 0 || r.Time.Year() < 0 || r.Time.Year() > 9999:
		return errors.New("the time is not in UTC and whole seconds")
	case r.Boot != "" && !bootID.MatchString(r.Boot):
		return fmt.Errorf("%.40q is no boot_id", r.Boot)
	}
	seen := map[[sha256.Size]byte]bool{}
	for i, a := range r.Certificates {
		switch {
		case seen[a.SHA256]:
			return fmt.Errorf("certificate %d stands twice", i)
		case len(a.KeyID) > keyIDMax || len(a.KeyID)%2 != 0 || !isHex(a.KeyID):
			return fmt.Errorf("certificate %d: key id %.40q is not lower-case hex of at most %d digits", i, a.KeyID, keyIDMax)
		case len(a.Name) > nameMax || !utf8.ValidString(a.Name) || strings.ContainsFunc(a.Name, unicode.IsControl):
			return fmt.Errorf("certificate %d: the name is longer than %d bytes, no UTF-8, or moves a cursor", i, nameMax)
		case a.File != "" && !plainFile(a.File):
			return fmt.Errorf("certificate %d: the file's path is not absolute, longer than %d bytes, no UTF-8, or moves a cursor", i, fileMax)
		}
		seen[a.SHA256] = true
	}
	return nil
}

func plainFile(path string) bool {
	return strings.HasPrefix(path, "/") && len(path) <= fileMax && utf8.ValidString(path) && !strings.ContainsFunc(path, unicode.IsControl)
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// bootID is the form of a boot_id, a UUID in lower case.
var bootID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
