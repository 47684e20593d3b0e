package efivars

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"
)

// Node is one element of a device path (UEFI 2.10 section 10.3). Data is what follows its four bytes of header.
type Node struct {
	Type, SubType byte
	Data          []byte
}

// Types of nodes and the subtypes that matter here.
const (
	nodeMessaging = 0x03
	nodeMedia     = 0x04
	nodeBIOS      = 0x05
	nodeEnd       = 0x7f

	endAll = 0xff

	mediaHardDrive    = 0x01
	mediaCDROM        = 0x02
	mediaFile         = 0x04
	mediaFirmwareFile = 0x06
	mediaFirmware     = 0x07
	mediaRAMDisk      = 0x09

	messagingMAC       = 0x0b
	messagingIPv4      = 0x0c
	messagingIPv6      = 0x0d
	messagingURI       = 0x18
	messagingBluetooth = 0x1b
	messagingWiFi      = 0x1c
)

const (
	nodeHeader     = 4
	hardDriveSize  = 38
	hardDriveGUID  = 2 // signature type: the 16 bytes are a GPT partition's GUID
	whatDevicePath = "EFI device path"
)

// parseDevicePath reads nodes up to the end of the first path and tells how many bytes that was.
func parseDevicePath(b []byte) ([]Node, int, *CorruptError) {
	bad := func(at int, format string, args ...any) ([]Node, int, *CorruptError) {
		return nil, 0, &CorruptError{What: whatDevicePath, Offset: at, Why: fmt.Sprintf(format, args...)}
	}
	var nodes []Node
	for at := 0; ; {
		left := len(b) - at
		if left < nodeHeader {
			return bad(at, "%d bytes are left and the path has no end", left)
		}
		size := int(binary.LittleEndian.Uint16(b[at+2:]))
		if size < nodeHeader || size > left {
			return bad(at+2, "a node claims %d bytes, %d are left", size, left)
		}
		n := Node{Type: b[at], SubType: b[at+1], Data: b[at+nodeHeader : at+size : at+size]}
		if n.Type == nodeEnd && n.SubType == endAll {
			if size != nodeHeader {
				return bad(at+2, "the end of the path claims %d bytes instead of 4", size)
			}
			return nodes, at + size, nil
		}
		if why := n.check(); why != "" {
			return bad(at+nodeHeader, "%s", why)
		}
		nodes = append(nodes, n)
		at += size
	}
}

func appendDevicePath(b []byte, nodes []Node) []byte {
	for _, n := range nodes {
		b = append(b, n.Type, n.SubType)
		b = binary.LittleEndian.AppendUint16(b, uint16(nodeHeader+len(n.Data)))
		b = append(b, n.Data...)
	}
	return append(b, nodeEnd, endAll, nodeHeader, 0)
}

// check says what is wrong with the nodes that are looked into.
func (n Node) check() string {
	switch {
	case n.is(nodeMedia, mediaHardDrive) && len(n.Data) != hardDriveSize:
		return fmt.Sprintf("a hard drive node has %d bytes instead of %d", len(n.Data), hardDriveSize)
	case n.is(nodeMedia, mediaFile):
		if len(n.Data)%2 != 0 {
			return fmt.Sprintf("a file path of %d bytes is not UTF-16", len(n.Data))
		}
		if _, ended := n.units(); !ended {
			return "a file path has no end"
		}
	}
	return ""
}

func (n Node) is(kind, sub byte) bool { return n.Type == kind && n.SubType == sub }

// units gives the UTF-16 text before the NUL, and whether there was one.
func (n Node) units() ([]uint16, bool) {
	var units []uint16
	for i := 0; i+1 < len(n.Data); i += 2 {
		unit := binary.LittleEndian.Uint16(n.Data[i:])
		if unit == 0 {
			return units, true
		}
		units = append(units, unit)
	}
	return units, false
}

func (n Node) file() (string, bool) {
	if !n.is(nodeMedia, mediaFile) {
		return "", false
	}
	units, ended := n.units()
	return string(utf16.Decode(units)), ended
}

func (n Node) partition() (GUID, bool) {
	if !n.is(nodeMedia, mediaHardDrive) || len(n.Data) != hardDriveSize || n.Data[37] != hardDriveGUID {
		return GUID{}, false
	}
	return wireGUID(n.Data[20:]), true
}

// Kind is what a load option starts from.
type Kind string

// Kinds of load options, told by the nodes of the device path.
const (
	KindFile     Kind = "file"                      // a program named by path
	KindDevice   Kind = "removable media"           // a device or partition: firmware looks for \EFI\BOOT\BOOT<arch>.EFI
	KindNetwork  Kind = "network (PXE)"             // MAC, IPv4 or IPv6 without a URI
	KindHTTP     Kind = "network (HTTP)"            // a URI
	KindFirmware Kind = "firmware application"      // setup, shell: a file of the firmware volume
	KindBIOS     Kind = "legacy BIOS"               // BIOS boot specification
	KindRAMDisk  Kind = "RAM disk"                  //
	KindUnknown  Kind = "unknown kind of boot path" // hardware or vendor nodes only
)

// Kind tells what the option starts from.
func (o LoadOption) Kind() Kind {
	has := func(kind byte, subs ...byte) bool {
		for _, n := range o.Path {
			for _, sub := range subs {
				if n.is(kind, sub) {
					return true
				}
			}
		}
		return false
	}
	_, file := o.File()
	switch {
	case has(nodeMessaging, messagingURI):
		return KindHTTP
	case has(nodeMessaging, messagingMAC, messagingIPv4, messagingIPv6, messagingWiFi, messagingBluetooth):
		return KindNetwork
	case has(nodeMedia, mediaRAMDisk):
		return KindRAMDisk
	case file:
		return KindFile
	case has(nodeMedia, mediaFirmwareFile, mediaFirmware):
		return KindFirmware
	case has(nodeMedia, mediaHardDrive, mediaCDROM), o.device():
		return KindDevice
	}
	for _, n := range o.Path {
		if n.Type == nodeBIOS {
			return KindBIOS
		}
	}
	return KindUnknown
}

// device reports whether the path ends at a device on a bus that carries disks: SATA, NVMe, USB, SCSI, SD.
func (o LoadOption) device() bool {
	return len(o.Path) > 0 && o.Path[len(o.Path)-1].Type == nodeMessaging
}
