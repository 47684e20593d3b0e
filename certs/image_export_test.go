package certs

import "io"

// SearchImageWithin is SearchImage with other bounds.
func SearchImageWithin(image io.Reader, unpacked int64, window uint64, found int) ([]*Certificate, error) {
	return searchImage(image, bounds{unpacked, window, found, nil})
}

// UnpackXZ unpacks an xz stream whole.
func UnpackXZ(r io.Reader) ([]byte, error) {
	x, err := openXZ(r, imageBounds.window)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(x)
}

// WindowSize is how much of a kernel is looked at at a time.
const WindowSize = windowSize
