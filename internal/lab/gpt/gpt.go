// Package gpt writes the partition table of the lab's disk and reads it back in the guest: a GUID partition table (UEFI
// specification, section 5) with one partition.
package gpt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf16"
)

const (
	// Sector is the size of a logical block in bytes.
	Sector = 512
	// First is the block where the partition starts: one MiB, as every partitioning program does it.
	First = 2048

	entries      = 128
	entrySize    = 128
	tableSectors = entries * entrySize / Sector
	headerSize   = 92
)

// system is the type of an EFI System Partition, c12a7328-f81f-11d2-ba4b-00a0c93ec93b.
var system = GUID{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}

// GUID is an identifier in the byte order of the disk: the first three fields are little endian.
type GUID [16]byte

// order maps the bytes of the text form to those on the disk.
var order = [16]int{3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15}

// Parse reads the text form, 8-4-4-4-12 hexadecimal digits.
func Parse(text string) (GUID, error) {
	var guid GUID
	raw, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(raw) != len(guid) {
		return GUID{}, fmt.Errorf("%q is no GUID", text)
	}
	for i, b := range raw {
		guid[order[i]] = b
	}
	if guid.String() != strings.ToLower(text) {
		return GUID{}, fmt.Errorf("%q is no GUID", text)
	}
	return guid, nil
}

// String is the text form in lower case, as Linux writes it.
func (g GUID) String() string {
	var raw [16]byte
	for i := range raw {
		raw[i] = g[order[i]]
	}
	h := hex.EncodeToString(raw[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Last is the last block of the partition on a disk of so many blocks: all but the backup table.
func Last(sectors uint64) uint64 { return sectors - tableSectors - 2 }

// Write partitions a disk of so many blocks: an EFI System Partition from First to Last.
func Write(disk io.WriterAt, sectors uint64, id, partition GUID) error {
	if sectors < 2*First {
		return fmt.Errorf("a disk of %d blocks is too small", sectors)
	}
	table := make([]byte, entries*entrySize)
	copy(table[0:], system[:])
	copy(table[16:], partition[:])
	binary.LittleEndian.PutUint64(table[32:], First)
	binary.LittleEndian.PutUint64(table[40:], Last(sectors))
	for i, unit := range utf16.Encode([]rune("EFI System Partition")) {
		binary.LittleEndian.PutUint16(table[56+2*i:], unit)
	}
	backup := sectors - 1
	for _, block := range []struct {
		at   uint64
		data []byte
	}{
		{0, protectiveMBR(sectors)},
		{1, header(1, backup, 2, sectors, id, table)},
		{2, table},
		{backup - tableSectors, table},
		{backup, header(backup, 1, backup-tableSectors, sectors, id, table)},
	} {
		if _, err := disk.WriteAt(block.data, int64(block.at*Sector)); err != nil {
			return err
		}
	}
	return nil
}

// header is one of the two headers: at block own, with its twin at other and its table at first.
func header(own, other, first, sectors uint64, id GUID, table []byte) []byte {
	h := make([]byte, Sector)
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint32(h[8:], 0x00010000)
	binary.LittleEndian.PutUint32(h[12:], headerSize)
	binary.LittleEndian.PutUint64(h[24:], own)
	binary.LittleEndian.PutUint64(h[32:], other)
	binary.LittleEndian.PutUint64(h[40:], 2+tableSectors)
	binary.LittleEndian.PutUint64(h[48:], Last(sectors))
	copy(h[56:], id[:])
	binary.LittleEndian.PutUint64(h[72:], first)
	binary.LittleEndian.PutUint32(h[80:], entries)
	binary.LittleEndian.PutUint32(h[84:], entrySize)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(table))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:headerSize]))
	return h
}

// protectiveMBR claims the whole disk, so that programs which know no GPT keep away.
func protectiveMBR(sectors uint64) []byte {
	mbr := make([]byte, Sector)
	p := mbr[446:]
	copy(p, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(p[8:], 1)
	binary.LittleEndian.PutUint32(p[12:], uint32(min(sectors-1, 0xffffffff)))
	mbr[510], mbr[511] = 0x55, 0xaa
	return mbr
}

// ErrNone says that a disk has no partition of that number, or no valid table.
var ErrNone = errors.New("no such partition")

// Partition reads the GUID of a partition, counted from 1, from the primary table.
func Partition(disk io.ReaderAt, number int) (GUID, error) {
	h := make([]byte, Sector)
	if _, err := disk.ReadAt(h, Sector); err != nil {
		return GUID{}, fmt.Errorf("reading the partition table: %w", err)
	}
	sum := binary.LittleEndian.Uint32(h[16:])
	clear(h[16:20])
	switch {
	case !bytes.HasPrefix(h, []byte("EFI PART")), crc32.ChecksumIEEE(h[:headerSize]) != sum,
		binary.LittleEndian.Uint32(h[84:]) != entrySize,
		number < 1, number > int(binary.LittleEndian.Uint32(h[80:])):
		return GUID{}, fmt.Errorf("partition %d: %w", number, ErrNone)
	}
	entry := make([]byte, entrySize)
	first := binary.LittleEndian.Uint64(h[72:])
	if _, err := disk.ReadAt(entry, int64(first)*Sector+int64(number-1)*entrySize); err != nil {
		return GUID{}, fmt.Errorf("reading partition %d: %w", number, err)
	}
	if GUID(entry[:16]) == (GUID{}) {
		return GUID{}, fmt.Errorf("partition %d: %w", number, ErrNone)
	}
	return GUID(entry[16:32]), nil
}
