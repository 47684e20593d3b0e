package audit

import "slices"

// The checks that others speak of.
const (
	LoadedID    = "KK-MOD-001"
	InstalledID = "KK-MOD-002"
	WaiverID    = "KK-POL-001"
	DriftID     = "KK-DRF-001"
)

// rule is a line of the table of checks.
type rule struct {
	id, title  string
	severity   Severity
	references []string
	off        bool // unless a policy switches it on
	judge      func(Facts, Policy) outcome
}

// table has all checks in their order. An id is never used again for something else. docs/audit.md has a row for each. It is filled in by init,
// since rules ask it for ids.
var table []rule

func init() {
	table = []rule{
		{"KK-SB-001", "Secure Boot is on", High, []string{"ANSSI-BP-028 R3", "CCE-86748-1", "ISM-1745", "NIST 800-53 SI-7(9)", "fwupd org.fwupd.hsi.Uefi.SecureBoot",
			"lynis BOOT-5116"}, false, secureBoot},
		{"KK-SB-002", "The firmware is not in setup mode", High, []string{"ANSSI-BP-028 R4", "fwupd org.fwupd.hsi.Uefi.Pk"}, false, setupMode},
		{"KK-SB-003", "shim checks what it starts", High, []string{"ANSSI-BP-028 R3", "NIST 800-53 SI-7(9)"}, false, validation},
		{"KK-SB-004", "Microsoft's certificates of 2011 have their successors beside them", Medium, []string{"fwupd org.fwupd.hsi.Uefi.Db"}, false, successors},
		{"KK-SB-005", "The firmware has room for EFI variables", Medium, nil, false, room},
		{"KK-KRN-001", "The kernel is locked down", High, []string{"CIS Bottlerocket 1.5.2", "fwupd org.fwupd.hsi.Kernel.Lockdown"}, false, lockedDown},
		{"KK-KRN-002", "Modules without a trusted signature are refused", High, []string{"ANSSI-BP-028 R18", "NIST 800-53 CM-14"}, false, enforced},
		{"KK-KRN-003", "No module can be loaded any more", Low, []string{"ANSSI-BP-028 R10", "lynis KRNL-6000"}, true, loadingOff},
		{"KK-KRN-004", "The kernel is not tainted", Medium, []string{"fwupd org.fwupd.hsi.Kernel.Tainted"}, false, taint},
		{LoadedID, "Each loaded module is signed by an allowed key", Critical, []string{"NIST 800-53 CM-14", "NIST 800-53 SI-7(15)"}, false, loadedModules},
		{InstalledID, "Each installed module is signed by an allowed key", High, []string{"NIST 800-53 CM-14", "NIST 800-53 SI-7(15)", "ANSSI-BP-028 R18"}, false, installedModules},
		{"KK-KEY-001", "Each key in the kernel's keyrings is allowed", High, []string{"NIST 800-53 CM-14"}, false, allowedIn(Keyring)},
		{"KK-KEY-002", "Each key in shim's lists is allowed", High, []string{"NIST 800-53 CM-14"}, false, allowedIn(Shim)},
		{"KK-KEY-003", "Each key in the firmware's lists is allowed", High, []string{"ANSSI-BP-028 R4", "fwupd org.fwupd.hsi.Uefi.Db"}, false, allowedIn(Firmware)},
		{"KK-KEY-004", "No private key on the disk is open to others", High, []string{"NIST 800-53 SC-12"}, false, privateKeys},
		{"KK-KEY-005", "No trusted key is weak", High, []string{"NIST 800-53 SC-13"}, false, weakKeys},
		{"KK-KEY-006", "No trusted certificate has expired or is about to", Low, []string{"NIST 800-53 SC-12"}, false, validity},
		{"KK-REV-001", "The firmware's dbx holds what is revoked", Medium, []string{"NIST 800-53 SI-7(9)"}, false, revocations},
		{"KK-REV-002", "The kernel refuses what dbx and MOKX revoke", Medium, []string{"NIST 800-53 CM-14"}, false, effective},
		{"KK-MOK-001", "No request to MokManager is pending or left over", Medium, []string{"NIST 800-53 CM-14"}, false, requests},
		{"KK-MOK-002", "shim's lists are whole", High, []string{"NIST 800-53 SI-7(1)"}, false, wholeLists},
		{WaiverID, "No waiver of the policy has expired", Medium, nil, false, waivers},
		{DriftID, "Nothing has changed since the baseline", High, []string{"NIST 800-53 SI-7(1)"}, false, nil},
	}
}

// IDs are those of all checks, in their order.
func IDs() (ids []string) {
	for _, r := range table {
		ids = append(ids, r.id)
	}
	return ids
}

// IsCheck tells whether there is a check of that id.
func IsCheck(id string) bool { return slices.Contains(IDs(), id) }
