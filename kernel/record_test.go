package kernel

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestAttemptRecord(t *testing.T) {
	none, some := uint64(0), uint64(1)<<63
	kept := []Record{{Message: "Loading of unsigned module is rejected"}, {Message: "Lockdown: kkeys: unsigned module loading is restricted; see man kernel_lockdown.7"}}
	for name, a := range map[string]Attempt{
		"quiet":       {Errno: EKEYREJECTED, TaintBefore: &none, TaintAfter: &none},
		"loaded":      {Errno: Loaded, TaintBefore: &none, TaintAfter: &some},
		"with a log":  {Errno: EPERM, Log: kept},
		"without log": {Errno: "errno 524", LogProblem: "open /dev/kmsg: permission denied"},
	} {
		text, err := json.Marshal(a.Record())
		if err != nil {
			t.Fatal(err)
		}
		var r AttemptRecord
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Attempt(); err != nil || !reflect.DeepEqual(*got, a) {
			t.Errorf("%s: %s became %+v, %v, want %+v", name, text, got, err, a)
		}
	}
	// Of the log what is about modules is kept, from the kernel alone.
	noisy := Attempt{Errno: EPERM, Log: []Record{
		{Level: 6, Message: "usb 1-1: new device of somebody"}, {Level: 5, Sequence: 7, Microseconds: 8, Flags: "-", Extra: "caller=T1", Message: kept[0].Message, Properties: " DEVICE=x\n"},
		{Facility: 1, Message: kept[0].Message}, {Message: kept[1].Message},
	}}
	got, err := noisy.Record().Attempt()
	if err != nil || !reflect.DeepEqual(got.Log, kept) || !reflect.DeepEqual(got.Notices(), noisy.Notices()) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAttemptRecordRefused(t *testing.T) {
	for name, r := range map[string]AttemptRecord{
		"nothing": {}, "unknown": {Errno: "EFINE"}, "lower case": {Errno: "eperm"}, "a number alone": {Errno: "1"}, "no number": {Errno: "errno "}, "errno 0": {Errno: "errno 0"},
		"zeros": {Errno: "errno 01"}, "too large": {Errno: "errno 4096"}, "blank": {Errno: "EPERM "}, "two": {Errno: "EPERM EACCES"},
		"another line": {Errno: "EPERM", Log: []string{"all is well"}}, "no line": {Errno: "EPERM", Log: []string{""}},
		"two lines":   {Errno: "EPERM", Log: []string{"Invalid ELF header\nLoading of unsigned module is rejected"}},
		"a long line": {Errno: "EPERM", Log: []string{"Invalid ELF " + strings.Repeat("x", recordMax)}},
	} {
		if a, err := r.Attempt(); a != nil || err == nil {
			t.Errorf("%s: %+v, %v, want an error alone", name, a, err)
		}
	}
}

func FuzzAttemptRecord(f *testing.F) {
	for _, seed := range []string{
		`{"errno":"EPERM","log":["Invalid ELF header"],"taint_before":1,"taint_after":null}`, `{"errno":"loaded"}`, `{"errno":"errno 524","log_problem":"x"}`, `{"log":[""]}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r AttemptRecord
		if json.Unmarshal(text, &r) != nil {
			return
		}
		a, err := r.Attempt()
		if (a == nil) == (err == nil) {
			t.Fatalf("%+v, %v", a, err)
		}
		if err != nil {
			return
		}
		again, err := a.Record().Attempt()
		first, _ := json.Marshal(a)
		second, _ := json.Marshal(again)
		if err != nil || !bytes.Equal(first, second) || len(a.Notices()) != len(r.Log) {
			t.Errorf("%s became %s, %v", first, second, err)
		}
	})
}
