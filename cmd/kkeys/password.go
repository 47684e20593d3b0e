package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"kkeys/mok"
)

// passwordFlags are the ways to give the password that MokManager will ask for, in the form that it wants.
func passwordFlags(form mok.Form) []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "password-file", Usage: "read the password from `FILE`, - for standard input"},
		&cli.StringFlag{Name: "hash-file", Usage: "read its hash from `FILE`: a $6$ or $5$ string as mkpasswd makes"},
		&cli.BoolFlag{Name: "generate-password", Usage: "make one that types alike on QWERTY, AZERTY and QWERTZ keyboards, and show it once", DisableDefaultText: true},
	}
	switch form {
	case mok.NoSecret:
		return nil
	case mok.Typed: // MokManager asks for single characters of it
		return append(flags[:1], flags[2])
	}
	return flags
}

// sameKeys are the letters at the same place on QWERTY, AZERTY and QWERTZ keyboards; MokManager reads every keyboard as a US one and
// shows nothing of what is typed. Digits need Shift on AZERTY.
const sameKeys = "bcdefghijklnoprstuvx"

// generatedLength gives 51 bits with 20 letters: nobody can try them at MokManager's prompt, and the hash is worth nothing after it.
const generatedLength = 12

// checkPasswordFlags refuses two ways at once before anything else happens, and none where there is no terminal to ask on.
func (s *session) checkPasswordFlags(c *cli.Context, form mok.Form) error {
	if form == mok.NoSecret {
		return nil
	}
	var given []string
	for _, name := range []string{"password-file", "hash-file"} {
		if c.IsSet(name) {
			given = append(given, "--"+name)
		}
	}
	if c.Bool("generate-password") {
		given = append(given, "--generate-password")
	}
	if len(given) > 1 {
		return usage("%s: one way to give the password is enough", strings.Join(given, " and "))
	}
	if c.Bool("generate-password") && s.quiet {
		return usage("--generate-password shows the password, --quiet shows nothing")
	}
	if c.Bool("generate-password") && s.unread {
		return usage("--generate-password shows the password, and standard output is closed or %s", os.DevNull)
	}
	if len(given) == 0 && s.prompt == nil && !c.Bool("dry-run") {
		return usage("no terminal to ask for the password on: use --password-file or --generate-password")
	}
	return nil
}

// secret gets the password in the way that the flags say, in the form that MokManager wants. generated is the one to show, if one was made.
func (s *session) secret(c *cli.Context, form mok.Form, caution func(string)) (secret mok.Secret, generated string, err error) {
	if form == mok.NoSecret {
		return nil, "", nil
	}
	password := ""
	switch {
	case c.IsSet("hash-file"):
		text, err := s.readSecret(c.String("hash-file"))
		if err != nil {
			return nil, "", err
		}
		auth, err := mok.AuthFromCrypt(text)
		return auth, "", err
	case c.Bool("generate-password"):
		if password, err = generatePassword(); err != nil {
			return nil, "", err
		}
		generated = password
	case c.IsSet("password-file"):
		if password, err = s.readSecret(c.String("password-file")); err != nil {
			return nil, "", err
		}
	default:
		if password, err = s.askPassword(); err != nil {
			return nil, "", err
		}
	}
	if err := mok.CheckPassword(password); err != nil {
		return nil, "", err
	}
	if generated == "" && strings.Trim(password, sameKeys) != "" {
		caution("MokManager takes every keyboard for a US one and shows nothing of what is typed; only the letters " + sameKeys + " sit at the same place on QWERTY, AZERTY and QWERTZ keyboards")
	}
	if form == mok.Typed {
		return mok.Characters(password), generated, nil
	}
	if len(password) < mok.PasswordShort {
		caution(fmt.Sprintf("the password has fewer than %d characters", mok.PasswordShort))
	}
	auth, err := mok.NewAuth(password)
	return auth, generated, err
}

func (s *session) askPassword() (string, error) {
	first, err := s.ask("Password for MokManager: ", true)
	if err != nil {
		return "", err
	}
	if err := mok.CheckPassword(first); err != nil {
		return "", err
	}
	second, err := s.ask("Once more: ", true)
	if err == nil && first != second {
		err = coded(exitNo, "the two passwords differ; nothing was staged")
	}
	return first, err
}

// secretMax bounds a password or hash file in bytes.
const secretMax = 4096

// readSecret reads one line from a file or standard input. The line's end is no part of it.
func (s *session) readSecret(path string) (string, error) {
	reader := s.in
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", failed("%w", err)
		}
		defer file.Close()
		reader = file
	}
	data, err := io.ReadAll(io.LimitReader(reader, secretMax+1))
	if err != nil {
		return "", failed("read %s: %w", path, err)
	}
	if len(data) > secretMax {
		return "", failed("%s: more than %d bytes", path, secretMax)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if strings.ContainsAny(line, "\r\n") {
		return "", failed("%s: more than one line", path)
	}
	return line, nil
}

func generatePassword() (string, error) {
	var b strings.Builder
	for range generatedLength {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(sameKeys))))
		if err != nil {
			return "", fmt.Errorf("random numbers: %w", err)
		}
		b.WriteByte(sameKeys[n.Int64()])
	}
	return b.String(), nil
}
