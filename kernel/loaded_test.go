package kernel

import (
	"slices"
	"strings"
	"testing"
)

const procModules = "nvidia 56823808 1 nvidia_modeset, Live 0xffffffffc1200000 (POE)\nvboxdrv 1 0 - Loading 0x0 (OE+)\next4 12345 1 - Live 0xffffffffc0000000\n"

func TestParseLoaded(t *testing.T) {
	got, err := ParseLoaded(strings.NewReader(procModules))
	want := []LoadedModule{{"nvidia", "POE"}, {"vboxdrv", "OE"}, {"ext4", ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v, %v", got, err)
	}
	for _, bad := range []string{"ext4\n", "ext4 1 1 - Live 0x0 POE\n", "a b c d e f g h\n", "\n"} {
		if got, err := ParseLoaded(strings.NewReader(bad)); err == nil || got != nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
	if got, err := ParseLoaded(strings.NewReader("")); err != nil || len(got) != 0 || got == nil {
		t.Errorf("no module at all: %v, %v", got, err)
	}
}

func FuzzParseLoaded(f *testing.F) {
	f.Add(procModules)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		loaded, err := ParseLoaded(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := ParseLoaded(strings.NewReader(LoadedText(loaded)))
		if err != nil || !slices.Equal(loaded, again) {
			t.Fatalf("%q: %v, again %v, %v", text, loaded, again, err)
		}
	})
}
