package certs_test

import (
	"bytes"
	"testing"

	"kkeys/certs"
)

func BenchmarkSearchImage(b *testing.B) {
	const size = 32 << 20
	kernel := make([]byte, 0, size)
	for part := x86Like(1 << 20); len(kernel) < size; {
		kernel = append(kernel, part...)
		part[0]++
	}
	der := fixtures(b)["debian-ca.der"]
	copy(kernel[size/2:], der)
	for name, pack := range packings {
		image := bzImage(sized(name, pack(b, kernel), size))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if found, err := certs.SearchImage(bytes.NewReader(image)); err != nil || len(found) != 1 {
					b.Fatal(len(found), err)
				}
			}
		})
	}
}

// FuzzSearchImage: no panic, nothing beside an error, each certificate once and one that ParseDER takes.
func FuzzSearchImage(f *testing.F) {
	all := imagesOf(f, join(x86Like(50), fixtures(f)["odd-p521.der"], x86Like(50)))
	if len(all) < 17 {
		f.Fatalf("only %d seeds", len(all))
	}
	for _, image := range all {
		f.Add(image)
	}
	f.Add(bzImage(sized("xz", x86XZ(f), 0)))
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := certs.SearchImageWithin(bytes.NewReader(data), 1<<16, 1<<20, 100)
		if err != nil {
			if found != nil {
				t.Fatal("certificates beside an error")
			}
			return
		}
		known := map[string]bool{}
		for _, c := range found {
			if again, err := certs.ParseDER(c.Raw); err != nil || again.KernelName() != c.KernelName() || known[string(c.Raw)] {
				t.Fatal(c.KernelName(), err)
			}
			known[string(c.Raw)] = true
		}
	})
}
