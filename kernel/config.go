package kernel

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// Config is a kernel configuration: option without CONFIG_ to value: "y", "m", or the text after the equals sign.
type Config map[string]string

// configMax bounds a configuration file; the real ones have about 300 KiB.
const configMax = 16 << 20

// Value gives an option's value. known is false when there is no configuration at all; an option that the configuration does not
// name has the value "n".
func (c Config) Value(option string) (value string, known bool) {
	if c == nil {
		return "", false
	}
	if v, ok := c[option]; ok {
		return v, true
	}
	return "n", true
}

// ParseConfig reads the text of a .config file (scripts/kconfig): `CONFIG_X=value` and comments. A text that does not end with a newline
// was cut, and the options that are missing from it would read as off: it is refused.
func ParseConfig(r io.Reader) (Config, error) {
	limited := &io.LimitedReader{R: r, N: configMax + 1}
	end := &lastByte{r: limited}
	lines := bufio.NewScanner(end)
	lines.Buffer(nil, 1<<20)
	config := Config{}
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		option, prefixed := strings.CutPrefix(name, "CONFIG_")
		if !ok || !prefixed || option == "" {
			return nil, fmt.Errorf("kernel configuration: line %d is neither CONFIG_…=… nor a comment", number)
		}
		config[option] = value
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("kernel configuration: %w", err)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("kernel configuration: more than %d bytes", configMax)
	}
	if len(config) == 0 {
		return nil, fmt.Errorf("kernel configuration: no option in it")
	}
	if end.last != '\n' {
		return nil, fmt.Errorf("kernel configuration: its last line is cut")
	}
	return config, nil
}

// lastByte remembers the last byte read.
type lastByte struct {
	r    io.Reader
	last byte
}

func (l *lastByte) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if n > 0 {
		l.last = p[n-1]
	}
	return n, err
}

// configPlaces is the source of an answer for which no configuration was found.
const configPlaces = "/proc/config.gz, /boot/config-*"

// findConfig looks where kernels and distributions keep the running kernel's configuration, the kernel's own copy first. The build tree
// comes last: somebody may have changed the file in it since the kernel was built.
func findConfig(root fs.FS, release string) (Config, string) {
	return findIn(root, append([]string{"proc/config.gz"}, configPaths(release)...))
}

func configPaths(release string) (paths []string) {
	if release == "" {
		return nil
	}
	for _, format := range []string{"boot/config-%s", "lib/modules/%s/config", "usr/lib/modules/%s/config", "lib/modules/%s/build/.config"} {
		paths = append(paths, fmt.Sprintf(format, release))
	}
	return paths
}

func findIn(root fs.FS, paths []string) (Config, string) {
	for _, path := range paths {
		if config, err := readConfig(root, path); err == nil {
			return config, "/" + path
		}
	}
	return nil, ""
}

func readConfig(root fs.FS, path string) (Config, error) {
	file, err := openRegular(root, path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if !strings.HasSuffix(path, ".gz") {
		return ParseConfig(file)
	}
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	return ParseConfig(unpacked)
}
