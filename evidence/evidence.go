// Package evidence is how a fact about a machine is told: an answer in three values, what it rests on, and where that was seen.
package evidence

// Answer has three values: the evidence for yes or no may not be there.
type Answer int

// The zero value is Unknown, so that what nobody looked at is not taken for a no.
const (
	Unknown Answer = iota
	Yes
	No
)

// String gives "yes", "no" or "unknown".
func (a Answer) String() string { return [...]string{"unknown", "yes", "no"}[a] }

// Reading is an answer with what it rests on.
type Reading struct {
	Answer   Answer
	Evidence string // what was seen, or why nothing could be; may be empty where the answer says it all
	Source   string // the file, absolute, or the variable as in "efivars/SecureBoot"
}
