// Package wire is what the lab's host and guest say to each other: the host puts a Job into the initramfs, the guest answers
// on a virtio serial port, which firmware leaves alone, with one JSON object a line, in the order in which things happen.
package wire

// JobPath is where the Job lies in the guest, as JSON.
const JobPath = "/lab/job.json"

// Ports matches the guest's end of the virtio serial port, the only one.
const Ports = "/dev/vport*p1"

// Job is what the guest is to do.
type Job struct {
	Modules   []string  // files to load, in this order
	Partition string    // GUID of the EFI System Partition, lower case
	Commands  []Command // to run, one after the other
}

// Command is one program to run in the guest.
type Command struct {
	Argv  []string
	Stdin []byte
	Env   []string // "name=value", added to a small fixed environment
	UID   int      // user and group to run as, 0 is root

	// CutAfter is an EFI variable's file name, "MokNew-605dab50-e046-4300-abb6-3dd810dd8b23". The power is cut when the command has
	// created, written or deleted it, before anybody can open a file in efivarfs again; at the latest when the command has ended. If
	// it has changed nothing then, the boot fails.
	CutAfter string
	Cut      bool // cut the power in place of a program
}

// Output is what a command left.
type Output struct {
	Stdout, Stderr []byte
	Code           int    // exit code; -1: killed by a signal or not started
	Failure        string // why it is -1, else empty
}

// Report is one line of the guest's answer; exactly one field is set.
type Report struct {
	Ready   bool     `json:",omitempty"` // the guest is set up
	Failure string   `json:",omitempty"` // the guest could not be set up; the last report
	Started string   `json:",omitempty"` // the command that runs now
	Output  *Output  `json:",omitempty"` // what it left
	Cut     bool     `json:",omitempty"` // the guest has stopped, and the host is to cut its power; the last report
	Log     []string `json:",omitempty"` // the kernel log, whole, as syslog(2) gives it; the last report
}
