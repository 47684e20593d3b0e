package lab

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// variable is one of a store, with attributes that replacing it must keep.
func variable(state byte, name, content string) []byte {
	v := make([]byte, variableHeader)
	copy(v, []byte{0xaa, 0x55, state, 0, 0x27})
	for _, unit := range utf16.Encode([]rune(name + "\x00")) {
		v = binary.LittleEndian.AppendUint16(v, unit)
	}
	binary.LittleEndian.PutUint32(v[nameSize:], uint32(len(v)-variableHeader))
	binary.LittleEndian.PutUint32(v[dataSize:], uint32(len(content)))
	v = append(v, content...)
	return append(v, bytes.Repeat([]byte{0xff}, -len(v)&3)...)
}

func volume(room int, variables ...[]byte) store {
	data := make([]byte, 72+storeHeader)
	binary.LittleEndian.PutUint16(data[volumeLength:], 72)
	data = append(data, slices.Concat(variables...)...)
	data = append(data, bytes.Repeat([]byte{0xff}, room)...)
	binary.LittleEndian.PutUint32(data[72+storeSize:], uint32(len(data)-72))
	return store{data}
}

func TestReplace(t *testing.T) {
	gone, other := variable(deleted, "db", "gone"), variable(added, "dbx", "stays")
	s := volume(100, gone, variable(deleting, "db", "old"), other)
	if err := s.replace("db", []byte("newer")); err != nil {
		t.Fatal(err)
	}
	want := volume(100-len(variable(added, "db", "newer")), gone, variable(deleted, "db", "old"), other, variable(added, "db", "newer"))
	if !bytes.Equal(s.data, want.data) {
		t.Errorf("got  %q\nwant %q", s.data, want.data)
	}
	for _, c := range []struct {
		why string
		s   store
	}{
		{"not there", volume(100, gone, other)},
		{"no room", volume(10, variable(added, "db", "old"))},
		{"cut short", store{volume(10, other).data[:150]}},
		{"cut short", store{make([]byte, 40)}},
		{"cut short", store{volume(0).data[:90]}},
	} {
		before := bytes.Clone(c.s.data)
		if err := c.s.replace("db", []byte("new")); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%v, want %s", err, c.why)
		}
		if !bytes.Equal(before, c.s.data) {
			t.Errorf("%s: it was changed", c.why)
		}
	}
}
