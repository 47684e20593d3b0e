//go:build !linux

package keyring

import "errors"

var (
	errNoKey       = errors.New("ENOKEY")
	errKeyRejected = errors.New("EKEYREJECTED")
	errNoPackage   = errors.New("ENOPKG")
	errNotLinux    = errors.New("keyrings are a thing of Linux")
)

type kernelCalls struct{}

func describeSerial(Serial) (string, error)            { return "", errNotLinux }
func members(Serial) ([]Serial, error)                 { return nil, errNotLinux }
func (kernelCalls) newRing(string) (Serial, error)     { return 0, errNotLinux }
func (kernelCalls) restrict(Serial, Restriction) error { return errNotLinux }
func (kernelCalls) add([]byte, Serial) (Serial, error) { return 0, errNotLinux }
func (kernelCalls) describe(Serial) (string, error)    { return "", errNotLinux }
func (kernelCalls) unlink(Serial, Serial) error        { return errNotLinux }
func gone(error) bool                                  { return false }
func hidden(error) bool                                { return false }
