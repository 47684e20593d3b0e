package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/urfave/cli/v2"

	"kkeys/initrd"
	"kkeys/machine"
	"kkeys/modsig"
)

// signature is what is kept of a module to verify it.
type signature struct {
	message *modsig.Message // nil when there is nothing to verify
	digests map[string][]byte
	usual   bool // see modsig.Message.Usual
}

// signatures reads the modules that the command line names, and puts what can be said of each without a key into the document.
func (s *session) signatures(c *cli.Context, release string, processors turns, document *verifyDocument) ([]signature, error) {
	switch {
	case c.IsSet("initrd"):
		return s.initramfs(c.String("initrd"), document)
	case !c.Bool("all"):
		paths := c.Args().Slice()
		return s.readAll(paths, processors, document, func(i int, _ []byte) ([]byte, error) { return machine.ReadFile(paths[i]) }), nil
	}
	return s.allOf(release, processors, document)
}

// allOf reads every module of a release.
func (s *session) allOf(release string, processors turns, document *verifyDocument) ([]signature, error) {
	files, err := s.machine.Modules(release)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, failed("%w", err)
	} else if err != nil {
		document.missing("modules", err)
	}
	paths := make([]string, len(files))
	for i, file := range files {
		paths[i] = file.Path
	}
	return s.readAll(paths, processors, document, func(i int, buffer []byte) ([]byte, error) { return s.machine.ReadModuleFile(files[i], buffer) }), nil
}

// buffers are used again for one module after the other.
type buffers struct{ file, unpacked []byte }

func newBuffers() any { return new(buffers) }

// keep keeps the larger of two.
func keep(have *[]byte, came []byte) {
	if cap(came) > cap(*have) {
		*have = came
	}
}

// readAll reads files.
func (s *session) readAll(paths []string, processors turns, document *verifyDocument, read func(i int, buffer []byte) ([]byte, error)) []signature {
	document.Modules = make([]verifiedDocument, len(paths))
	signatures := make([]signature, len(paths))
	pool := sync.Pool{New: newBuffers}
	_ = s.workOn(work{pieces: len(paths), what: "verifying", keepGoing: true, piece: func(i int) error {
		processors.take()
		defer processors.give()
		b := pool.Get().(*buffers)
		defer pool.Put(b)
		data, err := read(i, b.file)
		keep(&b.file, data)
		document.Modules[i].Path = paths[i]
		signatures[i] = document.Modules[i].read(data, err, b)
		return nil
	}})
	return signatures
}

// initramfs reads the modules in an image, one after the other, as they come out of it.
func (s *session) initramfs(path string, document *verifyDocument) (signatures []signature, err error) {
	file, err := machine.OpenFile(path)
	if err != nil {
		return nil, failed("%w", err)
	}
	defer file.Close()
	b := new(buffers)
	err = eachModule(file, func(f initrd.File, data []byte) {
		var err error
		if f.Size > modsig.MaxModule {
			err = fmt.Errorf("%d bytes, more than %d", f.Size, modsig.MaxModule)
		}
		d := verifiedDocument{Path: f.Name}
		signatures = append(signatures, d.read(data, err, b))
		document.Modules = append(document.Modules, d)
	})
	if err != nil {
		return nil, failed("%s: %w", path, err)
	}
	return signatures, nil
}

// eachModule hands over the modules of an initramfs as they come out of it, each until the next; of one that is too large the beginning.
func eachModule(image io.Reader, each func(f initrd.File, data []byte)) error {
	var buffer bytes.Buffer
	return initrd.Walk(image, initrd.MaxUnpacked, func(f initrd.File) error {
		if !f.Regular() || !machine.IsModuleName(f.Name) || f.LinkTo != "" {
			return nil
		}
		buffer.Reset()
		if _, err := io.Copy(&buffer, io.LimitReader(f.Content, modsig.MaxModule)); err != nil {
			return err
		}
		each(f, buffer.Bytes())
		return nil
	})
}

// read takes the signature and the digests out of a module, or gives the result when there is none to verify.
func (d *verifiedDocument) read(data []byte, err error, b *buffers) signature {
	message, payload, text := d.split(data, err, b)
	if message == nil {
		return signature{}
	}
	return signature{message, message.Digests(payload), message.Usual(text)}
}

// split takes a module and its signature apart; no message when there is none to verify, and then it gives the result.
func (d *verifiedDocument) split(data []byte, err error, b *buffers) (message *modsig.Message, payload, text []byte) {
	result := func(word string, why error) (*modsig.Message, []byte, []byte) {
		d.Result, d.Detail = word, known(why.Error())
		return nil, nil, nil
	}
	if err != nil {
		return result("unreadable", err)
	}
	unpacked, err := modsig.UnpackInto(b.unpacked, data, modsig.MaxModule)
	if err != nil {
		return result("unreadable", err)
	}
	if unpacked.Packing != modsig.Plain {
		keep(&b.unpacked, unpacked.Module)
	}
	payload, text, err = modsig.Split(unpacked.Module)
	switch {
	case errors.Is(err, modsig.ErrUnsigned) && unpacked.SignedOutside():
		return result("unsigned", errors.New("it was signed after it was compressed, where nothing looks"))
	case errors.Is(err, modsig.ErrUnsigned):
		return result("unsigned", err)
	case errors.Is(err, modsig.ErrKind):
		return result("unsupported", err)
	case err != nil:
		return result("malformed", err)
	case len(unpacked.Trailing) > 0:
		return result("malformed", fmt.Errorf("%d bytes follow the compressed module: the kernel ignores them, kmod refuses the file or takes them for more of the module", len(unpacked.Trailing)))
	}
	text = bytes.Clone(text) // the next module comes into the same memory
	message, err = modsig.Decode(text)
	switch {
	case errors.Is(err, modsig.ErrNotDER):
		return result("unsupported", err)
	case errors.Is(err, modsig.ErrUnsupported):
		return result("refused", err)
	case err != nil:
		return result("malformed", err)
	}
	return message, payload, text
}
