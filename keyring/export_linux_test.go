package keyring

// For the contract test, which cannot be in this package because the model imports it.
var (
	KernelOrSkip = kernelOrSkip
	NewRing      = kernelCalls{}.newRing
	AddRing      = addRing
	AddKey       = addKey
)

// Discard drops a keyring of this thread.
func Discard(ring Serial) error { return kernelCalls{}.unlink(ring, threadKeyring) }
