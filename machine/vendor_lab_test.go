//go:build lab

package machine

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"kkeys/internal/lab"
)

// Debian's own shim holds one certificate, its CA.
func TestLabVendor(t *testing.T) {
	parts, err := lab.Find()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"shimx64.efi", "shimx64.efi.signed"} {
		program, err := os.ReadFile(filepath.Join(parts.Folder, "root/usr/lib/shim", name))
		if err != nil {
			t.Fatal(err)
		}
		if ders, forbidden, err := parseVendor(program); err != nil || len(ders) != 1 || !bytes.Equal(ders[0], vendorFixture(t)) || len(forbidden) == 0 {
			t.Errorf("%s: %d certificates, %v", name, len(ders), err)
		}
	}
}
