// Package efivars reads and writes EFI variables and decodes what is in them.
//
// An EFI variable is a name, a vendor GUID, 32 bits of attributes and data (UEFI 2.10 section 8.2). Linux shows them as
// files of efivarfs (fs/efivarfs, since 3.8), mounted at [DefaultDir]: a file is the attributes, four bytes little-endian,
// and then the data, and one write(2) is one call of the firmware's SetVariable. Anybody may read what the firmware
// listed at boot (mode 0644); writing needs root, and CAP_LINUX_IMMUTABLE because the kernel marks every variable that it
// does not know as immutable (since 4.5).
//
// Not to be known from here: variables without the run-time attribute (shim keeps MokList so); whether the firmware that
// answered "success" stored anything, except by reading back; and free space on kernels before 6.7 and on firmware
// without QueryVariableInfo.
package efivars

import "strings"

// DefaultDir is where efivarfs is mounted, below the root of the file system.
const DefaultDir = "sys/firmware/efi/efivars"

// Store is a set of EFI variables: the firmware's through efivarfs, a directory of files of the same form, or a fake.
// Errors wrap one of the sentinels of this package and, where there was one, the errno.
type Store interface {
	// Get returns attributes and data. ErrNotFound when there is no such variable, which includes the empty file that
	// efivarfs keeps after a failed creation.
	Get(Name) (Attributes, []byte, error)
	// Set creates the variable or replaces its data, in one write. The attributes of an existing variable cannot be
	// changed and data cannot be empty: both are ErrInvalid. When it fails, what was there is still there.
	Set(Name, Attributes, []byte) error
	// Delete removes the variable; ErrNotFound when there is none.
	Delete(Name) error
	// List names all variables, sorted as their file names are.
	List() ([]Name, error)
	// Space tells how much room there is; zeros mean unknown.
	Space() (Space, error)
}

// Locker is a store that several programs may share. Lock waits a few seconds for the others that take the lock; mokutil does not.
type Locker interface {
	// Lock gives what ends it. ErrBusy when another program keeps it.
	Lock() (unlock func(), err error)
}

// Keeper is a store whose variables other users may read: efivarfs gives those that were there at boot the mode 0644, and one that is
// overwritten keeps its mode.
type Keeper interface {
	// Private lets nobody but the owner read the variable, until the next boot. ErrNotFound when there is none.
	Private(Name) error
}

// Guarded is a store that can tell beforehand that every write will be refused or lost.
type Guarded interface {
	// Writable gives the reason: ErrDenied, ErrReadOnly, ErrVolatile; nil if there is none that can be seen.
	Writable() error
}

// Space is the firmware's variable storage in bytes, as statfs(2) on efivarfs gives it (fs/efivarfs/super.c,
// efivarfs_statfs, since 6.7). All zero: not known.
type Space struct {
	Total uint64
	// Free is what the firmware has left.
	Free uint64
	// Available is what the kernel will let be written: on x86 it keeps 5120 bytes back
	// (arch/x86/platform/efi/quirks.c, EFI_MIN_RESERVE) because some firmware dies when its storage is full.
	Available uint64
}

// Known reports whether the numbers mean anything.
func (s Space) Known() bool { return s.Total != 0 }

// Attributes of a variable, UEFI 2.10 section 8.2.1.
type Attributes uint32

// The attribute bits. The kernel refuses every other bit (include/linux/efi.h, EFI_VARIABLE_MASK).
const (
	NonVolatile    Attributes = 1 << iota // kept over a reset
	BootService                           // visible before ExitBootServices
	Runtime                               // visible to the operating system
	HardwareError                         // hardware error record
	AuthWrite                             // authenticated by counter, withdrawn in UEFI 2.8
	TimeAuthWrite                         // authenticated by time: PK, KEK, db, dbx
	AppendWrite                           // add to the data; only in a write
	maskAttributes = NonVolatile | BootService | Runtime | HardwareError | AuthWrite | TimeAuthWrite | AppendWrite
)

// Has reports whether every bit of mask is set.
func (a Attributes) Has(mask Attributes) bool { return a&mask == mask }

// Writable reports whether the operating system may create a variable with these attributes and change it afterwards:
// no unknown bit, no append, and non-volatile with both kinds of access. After ExitBootServices firmware refuses to
// create or change volatile variables and those without run-time access (UEFI 2.10 section 8.2.3).
func (a Attributes) Writable() bool {
	return a&^maskAttributes == 0 && !a.Has(AppendWrite) && a.Has(NonVolatile|BootService|Runtime)
}

// String names the bits, as in "NV|BS|RT".
func (a Attributes) String() string {
	names := []string{"NV", "BS", "RT", "HR", "AW", "AT", "AP"}
	var set []string
	for i, n := range names {
		if a&(1<<i) != 0 {
			set = append(set, n)
		}
	}
	if a&^maskAttributes != 0 {
		set = append(set, "unknown")
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, "|")
}
