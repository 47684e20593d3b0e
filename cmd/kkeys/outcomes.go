package main

import (
	"errors"

	"kkeys/audit"
	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/keyring"
	"kkeys/machine"
	"kkeys/mok"
)

// outcome is what an error means to a script.
type outcome struct {
	is   error
	name string // stable word in JSON; each belongs to one exit code
	code int
	hint string // a command that can be pasted
}

// outcomes by sentinel; the first match counts, so the more particular stand first.
var outcomes = []outcome{
	{mok.ErrTimeout, usageName, exitUsage, ""},
	{mok.ErrPassword, "password", exitUsage, ""},
	{mok.ErrHashString, "password-hash", exitUsage, "mkpasswd -m sha-512"},
	{mok.ErrMethod, "password-hash", exitUsage, "mkpasswd -m sha-512"},
	{mok.ErrMokManagerMissing, "mok-manager-missing", exitNo, reinstallShim},
	{mok.ErrNotShim, "not-booted-through-shim", exitNo, "efibootmgr -v"},
	{mok.ErrOtherLoader, "other-loader-first", exitNo, "efibootmgr -v"},
	{mok.ErrOtherPending, "other-request-pending", exitNo, "kkeys pending"},
	{mok.ErrOrphanAuth, "left-over-password", exitNo, "sudo kkeys cancel"},
	{mok.ErrOrphanRequest, "left-over-request", exitNo, "sudo kkeys cancel"},
	{mok.ErrCorruptPending, "pending-corrupt", exitNo, "sudo kkeys cancel"},
	{mok.ErrCorruptList, "mok-list-corrupt", exitNo, "sudo kkeys mok reset"},
	{mok.ErrCorruptBlocklist, "blocklist-corrupt", exitNo, "sudo kkeys mok blocklist reset"},
	{mok.ErrAlreadyEnrolled, "already-enrolled", exitNo, ""},
	{mok.ErrAlreadyPending, "already-pending", exitNo, "kkeys pending"},
	{mok.ErrBlocked, "blocked", exitNo, ""},
	{mok.ErrForbidden, "forbidden", exitNo, "kkeys uefi dbx"},
	{mok.ErrTooLarge, "too-large", exitNo, ""},
	{mok.ErrNoSpace, "too-little-space", exitNo, ""},
	{mok.ErrNotListed, "not-listed", exitNo, theList},
	{mok.ErrVendor, "vendor", exitNo, ""},
	{mok.ErrStarts, "starts-this-machine", exitNo, ""},
	{mok.ErrNoChange, "no-change", exitNo, "kkeys status"},
	{errListed, "already-there", exitNo, "kkeys uefi"},
	{errMicrosoft, "microsoft-keys", exitNo, ""},
	{errSigner, "signer-refused", exitNo, "kkeys uefi KEK PK"},
	{errUpdate, "update-refused", exitFailed, ""},
	{efivars.ErrSigner, "signer", exitUsage, ""},
	{errNoVerifier, "no-certificate", exitUnsure, ""},
	{errInterrupted, "interrupted", exitFailed, ""},
	{errLacks, "kernel-lacks-it", exitNo, ""},
	{certs.ErrPassphrase, "passphrase", exitFailed, ""},
	{mok.ErrChanged, "changed-meanwhile", exitFailed, "kkeys pending"},
	{errNotOne, "not-one-certificate", exitNo, ""},
	{mok.ErrRefused, "refused", exitNo, ""},
	{keyring.ErrNotVisible, "not-visible", exitUnsure, asRoot},
	{keyring.ErrUnavailable, "no-key-service", exitUnsure, ""},
	{keyring.ErrNotRecorded, "not-recorded", exitUnsure, ""},
	{errNoRecordings, "no-recorded-machine", exitUnsure, ""},
	{efivars.ErrNotMounted, "efivarfs-not-mounted", exitUnsure, mountEfivarfs},
	{efivars.ErrNotSupported, "no-efi", exitUnsure, ""},
	{errUnread, "no-permission", exitUnsure, asRoot},
	{mok.ErrCannotTell, "cannot-tell", exitUnsure, ""},
	{machine.ErrExists, "exists", exitNo, ""},
	{machine.ErrRecorded, "recorded-machine", exitFailed, ""},
	{machine.ErrNoSnapshot, "no-snapshot", exitFailed, ""},
	{efivars.ErrDenied, "write-denied", exitFailed, asRoot},
	{efivars.ErrVolatile, "forgotten-at-reboot", exitNo, ""},
	{efivars.ErrReadOnly, "read-only", exitFailed, remountEfivarfs},
	{efivars.ErrNoSpace, "no-space", exitFailed, ""},
	{efivars.ErrBusy, "busy", exitFailed, ""},
	{certs.ErrPrivateKey, "private-key", exitFailed, ""},
	{certs.ErrConfig, "config", exitFailed, ""},
	{audit.ErrPolicy, "policy", exitFailed, ""},
	{audit.ErrBaseline, "baseline", exitFailed, ""},
}

var (
	// errUnread: what must be known could not be read for want of permission.
	errUnread = errors.New("no permission to look")
	errNotOne = errors.New("not exactly one certificate")
)
