package lab

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"testing"
)

// entries reads an archive as the kernel does (init/initramfs.c): "mode name data" of each.
func entries(t *testing.T, data []byte) []string {
	t.Helper()
	var all []string
	for {
		if len(data) < 110 || string(data[:6]) != "070701" {
			t.Fatalf("no header at %.20q", data)
		}
		field := func(n int) int {
			v, err := strconv.ParseUint(string(data[6+8*n:14+8*n]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		mode, size, length := field(1), field(6), field(11)
		name := string(data[110 : 110+length-1])
		if data[110+length-1] != 0 {
			t.Fatalf("name %q does not end", name)
		}
		data = data[(110+length+3)&^3:]
		if name == "TRAILER!!!" {
			return all
		}
		all = append(all, fmt.Sprintf("%o %s %q", mode, name, data[:size]))
		data = data[(size+3)&^3:]
	}
}

func TestArchive(t *testing.T) {
	a := archive{}
	for i := range 5 { // every padding of name and data
		a.add("/files/"+"name"[:i]+"x", 0o640, []byte("data!"[:i]))
	}
	a.folder("/tmp", 0o1777)
	a.link("/a/b/link", "/init")
	var out bytes.Buffer
	if err := a.write(&out); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`40755 a ""`, `40755 a/b ""`, `120777 a/b/link "/init"`,
		`40755 files ""`, `100640 files/namex "data"`, `100640 files/namx "dat"`, `100640 files/nax "da"`, `100640 files/nx "d"`,
		`100640 files/x ""`, `41777 tmp ""`,
	}
	if got := entries(t, out.Bytes()); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
