package keyring

// Recorded is the keyrings of a machine as they were written down.
type Recorded struct {
	Found []Ring
	Err   error // what Rings answers instead, for example [ErrNotVisible]
}

var _ Source = Recorded{}

// Rings gives the recorded keyrings.
func (r Recorded) Rings() ([]Ring, error) { return r.Found, r.Err }

// Ask always fails with [ErrNotRecorded].
func (r Recorded) Ask([]byte, ...Restriction) (*Inquiry, error) { return nil, ErrNotRecorded }
