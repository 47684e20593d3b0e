package kernel

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"kkeys/evidence"
)

// logReads is a log that answers each read with the next of these: a text or an error.
type logReads []any

func (l *logReads) Read(buffer []byte) (int, error) {
	if len(*l) == 0 {
		return 0, errDrained
	}
	next := (*l)[0]
	*l = (*l)[1:]
	if err, ok := next.(error); ok {
		return 0, err
	}
	return copy(buffer, next.(string)), nil
}

func TestReadLog(t *testing.T) {
	failure := errors.New("no")
	for name, c := range map[string]struct {
		reads   logReads
		notices []Notice
		want    error
	}{
		"nothing":              {},
		"two":                  {logReads{records[1], records[5], records[4]}, []Notice{NoticeKey, NoticeELF}, nil},
		"some were lost":       {logReads{records[1], errLost, records[0]}, []Notice{NoticeKey, NoticeUnsigned}, errLost},
		"the read fails":       {logReads{records[0], failure, records[1]}, []Notice{NoticeUnsigned}, failure},
		"it has an end":        {logReads{records[0], io.EOF}, []Notice{NoticeUnsigned}, io.EOF},
		"more than one probe":  {slices.Repeat(logReads{records[6]}, logMax+1), nil, errLost},
		"a process writes one": {logReads{strings.Replace(records[1], "5", "13", 1)}, nil, nil},
	} {
		got, err := readLog(&c.reads)
		if notices := (&Attempt{Log: got}).Notices(); !slices.Equal(notices, c.notices) || !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, %v", name, notices, err)
		}
	}
	if _, err := readLog(&logReads{"no record\n"}); err == nil {
		t.Error("what is no record passes")
	}
}

func TestTainted(t *testing.T) {
	none, some := uint64(0), uint64(8192)
	for _, c := range []struct {
		before, after *uint64
		want          evidence.Answer
	}{{&none, &none, evidence.No}, {&some, &some, evidence.No}, {&none, &some, evidence.Yes}, {&some, &none, evidence.Yes}, {nil, &none, evidence.Unknown}, {&none, nil, evidence.Unknown}, {nil, nil, evidence.Unknown}} {
		if got := (&Attempt{TaintBefore: c.before, TaintAfter: c.after}).Tainted(); got != c.want {
			t.Errorf("%v to %v: %v", c.before, c.after, got)
		}
	}
}
