package kernel

import (
	"testing"
	"testing/fstest"

	"kkeys/evidence"
)

func TestMayLoad(t *testing.T) {
	const all, none, first = "000001ffffffffff", "00000000a80425fb", "         0          0 4294967295\n"
	status := func(uid, capabilities, seccomp string) string {
		return "Name:\tkkeys\nUid:\t" + uid + "\nCapEff:\t" + capabilities + "\nSeccomp:\t" + seccomp + "\n"
	}
	for _, c := range []struct {
		why, status, users string
		want               evidence.Answer
		told               bool
	}{
		{"root", status("0\t0\t0\t0", all, "0"), first, evidence.Yes, true},
		{"sudo", status("1000\t0\t0\t0", all, "0"), first, evidence.Yes, true},
		{"a user, who may have called sudo", status("1000\t1000\t1000\t1000", "0", "0"), first, evidence.Unknown, false},
		{"a container's root", status("0\t0\t0\t0", none, "2"), first, evidence.No, true},
		{"root of a user namespace", status("0\t0\t0\t0", all, "0"), "         0       1000          1\n", evidence.No, true},
		{"a filter", status("0\t0\t0\t0", all, "2"), first, evidence.Unknown, true},
		{"no user namespaces", status("0\t0\t0\t0", all, "0"), "", evidence.Yes, true},
		{"nonsense", "Uid:\t0\t0\nCapEff:\tmany\n", first, evidence.Unknown, false},
		{"nothing", "", "", evidence.Unknown, false},
	} {
		root := fstest.MapFS{"proc/self/status": {Data: []byte(c.status)}}
		if c.users != "" {
			root["proc/self/uid_map"] = &fstest.MapFile{Data: []byte(c.users)}
		}
		if got := MayLoad(root); got.Answer != c.want || (got.Evidence != "") != c.told {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
	if got := MayLoad(fstest.MapFS{}); got.Answer != evidence.Unknown || got.Evidence != "" {
		t.Errorf("no /proc: %+v", got)
	}
}
