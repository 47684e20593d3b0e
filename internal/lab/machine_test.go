package lab

import (
	"context"
	"errors"
	"strings"
	"testing"

	"kkeys/internal/lab/wire"
)

func TestTake(t *testing.T) {
	ready := wire.Report{Ready: true}
	started := wire.Report{Started: "prog"}
	output := wire.Report{Output: &wire.Output{Stdout: []byte("out")}}
	log := wire.Report{Log: []string{"line"}}
	cut := wire.Report{Cut: true}
	cause := errors.New("cause")
	for _, c := range []struct {
		name    string
		reports []wire.Report
		cause   error
		want    string // in the error; empty: none
	}{
		{"whole", []wire.Report{ready, started, output, log}, nil, ""},
		{"no set-up", []wire.Report{{Failure: "no disk"}}, nil, "no disk"},
		{"nothing", nil, nil, "before the guest was set up"},
		{"hangs", []wire.Report{ready, started}, cause, `while it ran "prog": cause`},
		{"resets", []wire.Report{ready, started}, nil, `while it ran "prog": it reset`},
		{"output lost", []wire.Report{ready, log}, nil, "it reset"},
		{"log lost", []wire.Report{ready, started, output}, nil, "it reset"},
		{"cut", []wire.Report{ready, started, output, started, cut}, ErrCut, ""},
		{"not cut", []wire.Report{ready, started, {Failure: "nothing changed"}}, nil, "nothing changed"},
		{"killed late", []wire.Report{ready, started, output, log}, context.Canceled, "canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var run Run
			err := run.take(&session{reports: c.reports, cause: c.cause}, 1)
			switch {
			case c.want == "" && (err != nil || len(run.Outputs) != 1 || c.cause == nil && run.Log() != "line"):
				t.Errorf("%+v, %v", run, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("the error is %v, without %q", err, c.want)
			case c.want != "" && c.cause != nil && !errors.Is(err, c.cause):
				t.Errorf("the error %v does not wrap its cause", err)
			}
		})
	}
}

func TestStrip(t *testing.T) {
	signed := func(length byte) []byte {
		return []byte("module" + "sig" + "\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00" + string(length) + "~Module signature appended~\n")
	}
	if got, err := strip(signed(3)); err != nil || string(got) != "module" {
		t.Errorf("%q, %v", got, err)
	}
	for name, module := range map[string][]byte{
		"unsigned":       []byte("module"),
		"empty":          nil,
		"marker alone":   []byte("~Module signature appended~\n"),
		"long signature": signed(10),
	} {
		if got, err := strip(module); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestGuard(t *testing.T) {
	for text, want := range map[string]error{
		prompt: ErrMokManager, menu: ErrMokManager, protected: ErrMokManager,
		"Something has gone seriously wrong: import_mok_state() failed: Not Found": ErrRefused, grub: nil,
	} {
		for _, attended := range []bool{false, true} {
			ctx, stop := context.WithCancelCause(t.Context())
			guard(attended, stop)(text)
			wanted := want
			if attended && want == ErrMokManager {
				wanted = nil
			}
			if got := context.Cause(ctx); got != wanted {
				t.Errorf("%q, attended %v: %v", text, attended, got)
			}
			stop(nil)
		}
	}
}
