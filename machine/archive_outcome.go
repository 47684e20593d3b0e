package machine

import (
	"errors"
	"fmt"
	"io/fs"

	"kkeys/efivars"
)

// outcome is an error as a snapshot holds it: a word that stands for what errors.Is finds, and the text.
type outcome struct {
	Word   string `json:"outcome"`
	Reason string `json:"reason"`
}

// The words that stand for no sentinel.
const (
	wordFailed = "failed" // any other error
	wordHidden = "hidden" // the file is there and gives fewer bytes than it has
)

// wordEFIUnseen is that of a machine without variables of which [Machine.EFI] was not known.
const wordEFIUnseen = "efi-not-seen"

// ErrEFIUnseen stands where [Machine.EFI] is not known.
var ErrEFIUnseen = errors.New("whether EFI has started this machine could not be seen in /sys/firmware")

// words are those of the sentinels, the more particular first. They are in files: they may be added to, never changed.
var words = []struct {
	word string
	is   error
}{
	{wordEFIUnseen, ErrEFIUnseen}, {"variable-not-found", efivars.ErrNotFound}, {"variable-read-only", efivars.ErrReadOnly}, {"variable-no-space", efivars.ErrNoSpace},
	{"variable-denied", efivars.ErrDenied}, {"variable-invalid", efivars.ErrInvalid}, {"no-variables", efivars.ErrNotSupported},
	{"variable-io", efivars.ErrIO}, {"variable-malformed", efivars.ErrMalformed}, {"variable-unavailable", efivars.ErrUnavailable},
	{"variable-busy", efivars.ErrBusy}, {"variables-not-mounted", efivars.ErrNotMounted},
	{"left-out", ErrLeftOut}, {"permission", fs.ErrPermission},
}

// recordedError has the text of the error that was recorded and is the sentinel that it wrapped.
type recordedError struct {
	text string
	is   error
}

func (e *recordedError) Error() string { return e.text }
func (e *recordedError) Unwrap() []error {
	switch e.is {
	case nil:
		return nil
	case efivars.ErrDenied: // an error of package efivars has that of the system beneath
		return []error{e.is, fs.ErrPermission}
	case ErrEFIUnseen:
		return []error{e.is, efivars.ErrNotSupported}
	}
	return []error{e.is}
}

func outcomeOf(err error) outcome {
	for _, w := range words {
		if errors.Is(err, w.is) {
			return outcome{w.word, err.Error()}
		}
	}
	return outcome{wordFailed, err.Error()}
}

// err gives the error that an outcome stands for; bad is set for a word that nobody writes.
func (o outcome) err() (is, bad error) {
	if o.Word == wordFailed || o.Word == wordHidden {
		return &recordedError{text: o.Reason}, nil
	}
	for _, w := range words {
		if o.Word == w.word {
			return &recordedError{o.Reason, w.is}, nil
		}
	}
	return nil, fmt.Errorf("outcome %q is unknown", o.Word)
}
