package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kkeys/efivars"
	"kkeys/machine"
	"kkeys/mok"
)

// Where only the firmware's db vouches for MokManager, nobody could take an ignored db back.
func TestIgnoreDBRecorded(t *testing.T) {
	own := filepath.Join(machines, "6.1-own-keys.kks")
	got := runOn(t, nil, "--snapshot", own, "mok", "use-db", "off", "-n")
	if got.code != exitNo || !strings.Contains(got.err, "this machine starts with it: nothing but the firmware's db vouches for /boot/efi/EFI/debian/mmx64.efi") {
		t.Errorf("exit code %d\n%s%s", got.code, got.out, got.err)
	}
	if !strings.Contains(got.err, "cannot be told of /boot/vmlinuz-6.1.0-56-cloud-amd64: a recording does not hold the kernel's program\n") {
		t.Errorf("of the kernel it is said: %s", got.err)
	}
	if got := runOn(t, nil, "--snapshot", filepath.Join(machines, "6.1-enrolled.kks"), "mok", "use-db", "off", "-n"); got.code != exitYes {
		t.Errorf("shim's vendor vouches for it: exit code %d\n%s%s", got.code, got.out, got.err)
	}
}

// A file has the reason that is its own, and not that of another.
func TestReasonsApart(t *testing.T) {
	foreign, mine := filepath.Join(machines, "foreign.der"), filepath.Join(machines, "mine.der")
	got := runOn(t, nil, "--snapshot", filepath.Join(machines, "6.1-enrolled.kks"), "enroll", foreign, mine, "-n", "--json")
	var document stagingDocument
	if err := json.Unmarshal([]byte(got.out), &document); err != nil || len(document.Requests) != 2 {
		t.Fatalf("%v\n%s", err, got.out)
	}
	for i, want := range []string{errSubject.Error(), "already enrolled: in "} {
		if why := document.Requests[i].Why; why == nil || !strings.HasPrefix(*why, want) {
			t.Errorf("request %d: %v, want %q", i, why, want)
		}
	}
	if first := document.Requests[0].Action; got.code != exitNo || first != "refused" {
		t.Errorf("exit code %d, the first is %s", got.code, first)
	}
}

// What is enrolled and not loaded is told with the gate that failed, or that nothing explains it: a certificate that no keyring of the recorded
// machine has, in the list that shim left it.
func TestEnrolledNotLoaded(t *testing.T) {
	const r612 = "6.12.117+deb12-cloud-amd64"
	for name, c := range map[string]struct {
		change func(*machine.Machine)
		says   string
	}{
		"no authority":      {option(r612, "CONFIG_INTEGRITY_CA_MACHINE_KEYRING=y"), "enrolled, but the kernel has not loaded it: it is no authority (basicConstraints CA:TRUE), which this kernel wants"},
		"nothing explains":  {func(*machine.Machine) {}, "enrolled, but the kernel has not loaded it, and nothing that can be seen says why: its log may (dmesg)"},
		"links are missing": {cut, "enrolled, but the kernel has not loaded it: .machine is not linked"},
	} {
		m, err := machine.Snapshot(filepath.Join(machines, "6.12-enrolled.kks"))
		if err != nil {
			t.Fatal(err)
		}
		enrollForeign(t, m)
		c.change(m)
		got := runOn(t, m, "status")
		if want := "finding: enroll CN=lab: foreign: " + c.says; !strings.Contains(got.out, want) {
			t.Errorf("%s: exit code %d, want %q\n%s%s", name, got.code, want, got.out, got.err)
		}
		document := runOn(t, m, "pending", "--json")
		if err := validate("pending", []byte(document.out)); err != nil || !strings.Contains(document.out, `"outcome": "enrolled-not-loaded"`) {
			t.Errorf("%s: %v\n%s", name, err, document.out)
		}
	}
}

// enrollForeign adds foreign.der to what shim left, and the receipt of asking for it in an earlier boot.
func enrollForeign(t *testing.T, m *machine.Machine) {
	t.Helper()
	der, err := os.ReadFile(filepath.Join(machines, "foreign.der"))
	if err != nil {
		t.Fatal(err)
	}
	const list = "sys/firmware/efi/mok-variables/MokListRT"
	enrolled, err := fs.ReadFile(m.Files, list)
	if err != nil {
		t.Fatal(err)
	}
	more, err := efivars.EncodeSignatureLists([]efivars.SignatureList{efivars.X509List(efivars.Shim, der)})
	if err != nil {
		t.Fatal(err)
	}
	receipt := mok.NewReceipt(mok.Wish{Kind: mok.Enroll}, time.Unix(1e9, 0), "01234567-89ab-cdef-0123-456789abcdef", mok.NewAsked(der, "", "CN=lab: foreign", ""))
	receipts, err := mok.EncodeReceipts([]mok.Receipt{receipt})
	if err != nil {
		t.Fatal(err)
	}
	with(map[string]string{list: string(enrolled) + string(more), mok.ReceiptsFile[1:]: string(receipts)})(m)
}
