package efivars

// Absent is a store on a machine that has none: every operation fails with the reason, which is what Open returned.
func Absent(reason error) Store { return absent{reason} }

type absent struct{ reason error }

func (a absent) Get(Name) (Attributes, []byte, error) { return 0, nil, a.reason }
func (a absent) Set(Name, Attributes, []byte) error   { return a.reason }
func (a absent) Delete(Name) error                    { return a.reason }
func (a absent) List() ([]Name, error)                { return nil, a.reason }
func (a absent) Space() (Space, error)                { return Space{}, a.reason }
