package main

import (
	"kkeys/certs"
	"kkeys/efivars"
	"kkeys/keyring"
	"kkeys/mok"
)

// outcomes gives each sentinel its stable name in JSON, its exit code and the hint that helps; the first match counts, so the more
// particular stand first.
var outcomes = []struct {
	is   error
	name string
	code int
	hint string
}{
	{mok.ErrMokManagerMissing, "mok-manager-missing", exitNo, "reinstall the distribution's shim package (Debian: apt-get install --reinstall shim-helpers-amd64-signed shim-signed grub-efi-amd64-signed)"},
	{mok.ErrNotShim, "not-booted-through-shim", exitNo, "efibootmgr -v"},
	{mok.ErrOtherLoader, "other-loader-first", exitNo, "efibootmgr -v"},
	{mok.ErrOtherPending, "other-request-pending", exitNo, "kkeys pending"},
	{mok.ErrOrphanAuth, "left-over-password", exitNo, "kkeys cancel"},
	{mok.ErrOrphanRequest, "left-over-request", exitNo, "kkeys cancel"},
	{mok.ErrCorruptPending, "pending-corrupt", exitNo, "kkeys cancel"},
	{mok.ErrCorruptList, "mok-list-corrupt", exitNo, "mokutil --reset"},
	{mok.ErrAlreadyEnrolled, "already-enrolled", exitNo, ""},
	{mok.ErrAlreadyPending, "already-pending", exitNo, "kkeys pending"},
	{mok.ErrBlocked, "blocked", exitNo, ""},
	{mok.ErrTooLarge, "too-large", exitNo, ""},
	{mok.ErrNoSpace, "no-space", exitNo, ""},
	{mok.ErrTimeout, "usage", exitUsage, ""},
	{mok.ErrPassword, "password", exitUsage, ""},
	{mok.ErrHashString, "password-hash", exitUsage, "mkpasswd -m sha-512"},
	{mok.ErrMethod, "password-hash", exitUsage, "mkpasswd -m sha-512"},
	{errNotOne, "not-one-certificate", exitNo, ""},
	{errPrivateKey, "private-key", exitNo, "openssl x509 -in CERT.pem -outform DER -out CERT.der"},
	{mok.ErrRefused, "refused", exitNo, ""},
	{keyring.ErrNotVisible, "not-visible", exitUnsure, "sudo kkeys list"},
	{keyring.ErrUnavailable, "no-key-service", exitUnsure, ""},
	{keyring.ErrNotRecorded, "not-recorded", exitUnsure, ""},
	{efivars.ErrNotSupported, "no-efi", exitUnsure, ""},
	{mok.ErrCannotTell, "cannot-tell", exitUnsure, ""},
	{efivars.ErrDenied, "no-permission", exitFailed, "run it as root"},
	{efivars.ErrReadOnly, "read-only", exitFailed, "mount -o remount,rw /sys/firmware/efi/efivars"},
	{efivars.ErrNoSpace, "no-space", exitFailed, ""},
	{certs.ErrPrivateKey, "private-key", exitFailed, ""},
}
