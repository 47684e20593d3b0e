package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"testing"
)

// disk is a disk in memory.
type disk []byte

func (d disk) WriteAt(p []byte, off int64) (int, error) { return copy(d[off:], p), nil }

const sectors = 3 * First

func written(t testing.TB) disk {
	t.Helper()
	id, err := Parse("00112233-4455-6677-8899-aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	partition, err := Parse("0f0e0d0c-0b0a-0908-0706-050403020100")
	if err != nil {
		t.Fatal(err)
	}
	d := make(disk, sectors*Sector)
	if err := Write(d, sectors, id, partition); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWrite(t *testing.T) {
	d := written(t)
	if d[510] != 0x55 || d[511] != 0xaa || d[450] != 0xee {
		t.Error("no protective MBR")
	}
	for own, other := range map[uint64]uint64{1: sectors - 1, sectors - 1: 1} {
		h := bytes.Clone(d[own*Sector:][:92])
		if string(h[:8]) != "EFI PART" || binary.LittleEndian.Uint64(h[24:]) != own || binary.LittleEndian.Uint64(h[32:]) != other {
			t.Errorf("header in block %d: %x", own, h)
		}
		table := d[binary.LittleEndian.Uint64(h[72:])*Sector:][:128*128]
		if crc32.ChecksumIEEE(table) != binary.LittleEndian.Uint32(h[88:]) {
			t.Errorf("checksum of the table of block %d", own)
		}
		sum := binary.LittleEndian.Uint32(h[16:])
		clear(h[16:20])
		if crc32.ChecksumIEEE(h) != sum {
			t.Errorf("checksum of the header in block %d", own)
		}
		// The disk's GUID as the specification orders its bytes.
		if !bytes.Equal(h[56:72], []byte{0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}) {
			t.Errorf("GUID %x", h[56:72])
		}
		if first, last := binary.LittleEndian.Uint64(table[32:]), binary.LittleEndian.Uint64(table[40:]); first != First || last != sectors-34 {
			t.Errorf("partition from %d to %d", first, last)
		}
	}
	if err := Write(d, First, GUID{}, GUID{}); err == nil {
		t.Error("a disk without room was partitioned")
	}
}

func TestPartition(t *testing.T) {
	d := written(t)
	guid, err := Partition(bytes.NewReader(d), 1)
	if err != nil || guid.String() != "0f0e0d0c-0b0a-0908-0706-050403020100" {
		t.Errorf("partition 1: %v, %v", guid, err)
	}
	for _, number := range []int{-1, 0, 2, 128, 129} {
		if guid, err := Partition(bytes.NewReader(d), number); !errors.Is(err, ErrNone) {
			t.Errorf("partition %d: %v, %v", number, guid, err)
		}
	}
	d[Sector+56] ^= 1
	if _, err := Partition(bytes.NewReader(d), 1); !errors.Is(err, ErrNone) {
		t.Errorf("a header with a wrong checksum: %v", err)
	}
	if _, err := Partition(bytes.NewReader(d[:700]), 1); err == nil {
		t.Error("a disk that ends in the header")
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "0f0e0d0c", "0f0e0d0c-0b0a-0908-0706-05040302010", "0f0e0d0c0b0a-0908-0706-050403020100-",
		"0f0e0d0c-0b0a-0908-0706-05040302010g"} {
		if guid, err := Parse(text); err == nil {
			t.Errorf("%q is %v", text, guid)
		}
	}
	if guid, err := Parse("C12A7328-F81F-11D2-BA4B-00A0C93EC93B"); err != nil || guid != system {
		t.Errorf("the type of an EFI System Partition: %v, %v", guid, err)
	}
}

func FuzzPartition(f *testing.F) {
	d := written(f)
	f.Add([]byte(d[:40*Sector]), 1)
	f.Add([]byte(d[:Sector+100]), 1)
	far := bytes.Clone(d[:4*Sector])
	binary.LittleEndian.PutUint64(far[Sector+72:], 1<<62) // the table is beyond what an offset can say
	clear(far[Sector+16 : Sector+20])
	binary.LittleEndian.PutUint32(far[Sector+16:], crc32.ChecksumIEEE(far[Sector:][:92]))
	f.Add(far, 1)
	f.Fuzz(func(t *testing.T, data []byte, number int) {
		if guid, err := Partition(bytes.NewReader(data), number); err != nil && guid != (GUID{}) {
			t.Errorf("%v beside an error: %v", guid, err)
		}
	})
}
