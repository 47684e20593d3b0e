package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// mokutilRows are the rows of docs/mokutil.md: mokutil's option, what is it in kkeys.
func mokutilRows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/mokutil.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\| ([^|]+) \\|").FindAllStringSubmatch(string(text), -1) {
		rows[row[1]] = row[2]
	}
	return rows
}

// Every command that the table for users of mokutil names is there.
func TestMokutilTable(t *testing.T) {
	rows := mokutilRows(t)
	if len(rows) < 39 {
		t.Errorf("%d rows", len(rows))
	}
	for option, ours := range rows {
		words, isCommand := strings.CutPrefix(strings.Trim(ours, "`"), "kkeys ")
		if !isCommand {
			if ours != "none" && ours != "`--hash-file`" {
				t.Errorf("%s: %s", option, ours)
			}
			continue
		}
		if words == "--version" { // the one that is no command
			if got := runOn(t, nil, words); got.code != exitYes || got.out == "" {
				t.Errorf("%s: exit code %d\n%s%s", option, got.code, got.out, got.err)
			}
			continue
		}
		args := strings.Fields(strings.TrimSuffix(words, "--help"))
		if strings.HasPrefix(words, "cancel ") { // a kind is an argument
			if _, err := kindsOf(args[1:]); err != nil {
				t.Errorf("%s: %v", option, err)
			}
			args = args[:1]
		}
		if len(args) > 0 && args[0] == "uefi" { // and so is a variable
			args = args[:1]
		}
		want := strings.Join(append([]string{"kkeys"}, args...), " ") + " - "
		if got := runOn(t, nil, append(args, "--help")...); got.code != exitYes || !strings.HasPrefix(got.out, want) {
			t.Errorf("%s: `kkeys %s`: exit code %d\n%s%s", option, words, got.code, got.out, got.err)
		}
	}
}
