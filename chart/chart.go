// Package chart draws who vouches for whom on a machine, or on many: which store of keys has a say about which other, which keys stand
// in them, which of those signed which modules. Facts in, a graph out, and of that a picture: lines of text, or SVG. No file, no clock, no
// system call.
//
// The kernel gives no certificate back, so a key in a keyring is joined with a certificate by the name and the id in its description, and
// a module's signer by issuer and serial number or by key id: a match, no proof. Only that one certificate signed another is computed.
package chart

import (
	"kkeys/certs"
	"kkeys/evidence"
)

// The stores, in the order in which each has its say. Keyrings have the kernel's names.
const (
	PK      = "PK"
	KEK     = "KEK"
	DB      = "db"
	DBX     = "dbx"
	Shim    = "shim" // what is built into shim
	MOK     = "MokListRT"
	MOKX    = "MokListXRT"
	Kernel  = "kernel" // its image
	Modules = "modules"
)

// Facts are what was seen of one machine.
type Facts struct {
	Stores []Store
	Ways   []Way
	// Others are certificates found elsewhere, which give a name to a key or to a signer that only an id is known of.
	Others []*certs.Certificate
	// Signers are those that signatures of modules name; Unsigned counts modules without one, Unread those whose signature could not be read.
	Signers          []Signer
	Unsigned, Unread int
	Gaps             []Gap
}

// Store is a place where keys stand.
type Store struct {
	Name string
	// Seen: No where there is none, Unknown where it could not be looked at; Why says why.
	Seen evidence.Answer
	Why  string
	// Certificates are its keys, where it holds certificates; Keys are the kernel's descriptions of them, where it is a keyring.
	Certificates []*certs.Certificate
	Keys         []string
	// Hashes counts its other entries; Forbids are those of certificates: digests of the signed part (TBSCertificate).
	Hashes  int
	Forbids [][]byte
	// Unseen counts entries that could not be read.
	Unseen int
}

// Way is what one store is to another.
type Way struct {
	From, To string
	Kind     Kind
	Answer   evidence.Answer
	Why      string
}

// Signer is how signatures name a key (RFC 5652 5.3): SKID, or the content of issuer and serial number; and how many modules do.
type Signer struct {
	SKID, Issuer, Serial []byte
	Modules              int
}

// Gap is a source that could not be read.
type Gap struct{ Source, Reason string }

// Kind is what an edge says.
type Kind string

// The kinds of edges: from store to store, from store to key, from key to key, from key to signer.
const (
	Updates  Kind = "updates"  // a key of the one signs what changes the other
	Starts   Kind = "starts"   // nothing of the other runs that the one does not vouch for
	Mirrors  Kind = "mirrors"  // shim's own keys stand first in its list
	Loads    Kind = "loads"    // the kernel takes the entries of the one into the other
	BuiltIn  Kind = "built-in" // the image has the keyring's keys in it
	Links    Kind = "links"    // whoever asks the other keyring asks this one too
	Verifies Kind = "verifies" // the keyring is consulted for modules
	Holds    Kind = "holds"
	Revokes  Kind = "revokes"
	Issued   Kind = "issued"
	Signs    Kind = "signs"
)

// kinds is their order.
var kinds = []Kind{Updates, Starts, Mirrors, Loads, BuiltIn, Links, Verifies, Holds, Revokes, Issued, Signs}

// Graph is what is drawn.
type Graph struct {
	Machines int
	Nodes    []Node // stores in their order, then keys, then signers
	Edges    []Edge
	Gaps     []Gap
}

// The kinds of nodes.
const (
	StoreNode    = "store"
	KeyNode      = "key"
	SignerNode   = "signer"
	UnsignedNode = "unsigned" // modules without a signature
	UnreadNode   = "unread"   // modules whose signature could not be read
)

// Node is a store, a key or a signer.
type Node struct {
	ID, Kind string
	// Name is foreign text, but for stores.
	Name string
	// Key is the certificate of a key, or of a signer; nil when none was found. KeyID is lower-case hex, empty when there is none.
	Key   *certs.Details
	KeyID string
	// Machines counts those where it is, Absent those where it is not, Unseen those where that could not be seen; the first reason of a store
	// that is not there or was not seen is Why.
	Machines, Absent, Unseen int
	Why                      string
	// Hashes and Hidden are the most that a store has on one machine: entries that are no certificates, and entries that could not be read.
	Hashes, Hidden int
	// Modules counts those that a signer signed, on all machines.
	Modules int
}

// Edge joins two nodes, by their ids.
type Edge struct {
	From, To string
	Kind     Kind
	// Yes, No and Unknown count machines.
	Yes, No, Unknown int
	// Refused counts the machines on which the key is refused while the store holds it.
	Refused int
	// Why belongs to the first machine that has one.
	Why string
	// Proven: the signature was computed, and verifies.
	Proven bool
}

// place is where a store stands in the picture: columns from left to right, ranks from top to bottom.
type place struct {
	name   string
	column int
	title  string
	says   string
	forbid bool
}

var columns = []string{"FIRMWARE", "WHAT STARTS", "SHIM", "KERNEL", "MODULES"}

var places = []place{
	{PK, 0, "PK", "owner of the firmware's lists", false},
	{KEK, 0, "KEK", "who may change db and dbx", false},
	{DB, 1, "db", "what the firmware starts", false},
	{DBX, 1, "dbx", "what the firmware refuses", true},
	{Shim, 2, "shim", "keys built into shim", false},
	{MOK, 2, "MokListRT", "shim's list, with the owner's keys (MOK)", false},
	{MOKX, 2, "MokListXRT", "what shim refuses (MOKX)", true},
	{Kernel, 3, "kernel image", "what was started", false},
	{".builtin_trusted_keys", 3, ".builtin_trusted_keys", "keys built into the kernel", false},
	{".secondary_trusted_keys", 3, ".secondary_trusted_keys", "the keyring that is asked first", false},
	{".machine", 3, ".machine", "keys of the owner", false},
	{".platform", 3, ".platform", "keys of the firmware, for kexec", false},
	{".system_keyring", 3, ".system_keyring", "keyring of kernels before 4.7", false},
	{".blacklist", 3, ".blacklist", "what the kernel refuses", true},
	{Modules, 4, "modules", "who signed them", false},
}

// rank is a store's place in their order; after all of them what is none.
func rank(name string) int {
	for i, p := range places {
		if p.name == name {
			return i
		}
	}
	return len(places)
}

// Answer is true or false where all machines agree, nil where it is not known or they do not.
func (e Edge) Answer() *bool {
	switch {
	case e.Unknown > 0 || e.Yes > 0 && e.No > 0 || e.Yes+e.No == 0:
		return nil
	}
	yes := e.Yes > 0
	return &yes
}
